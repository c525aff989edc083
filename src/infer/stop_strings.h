// Watches streamed text for stop strings and holds back what might be the beginning of one.
#ifndef LOOPLM_INFER_STOP_STRINGS_H_
#define LOOPLM_INFER_STOP_STRINGS_H_

#include <string>
#include <string_view>
#include <vector>

#include "looplm/generate.h"

namespace looplm {

class StopStrings {
 public:
  // Empty strings are ignored.
  explicit StopStrings(std::vector<std::string> stops, StopFree free = {});

  // Adds text and returns what can be shown: everything that is neither part of a stop string nor
  // may become one. After a stop string has been seen, stopped() is true and nothing more is
  // returned. The stop string that is complete first counts, and of those that end together the
  // longest: so the cut does not depend on how the text is divided into pushes.
  std::string push(std::string_view text);
  // Adds the text of a special token, which is never shown. A stop string can hold it whole
  // ("<|im_end|>\n"), but neither begins nor ends inside it. What is shown before and after such a
  // token can be a stop string together, since that is what a reader sees.
  std::string push_special(std::string_view text);
  // What was held back, when no more text will come.
  std::string finish();

  bool stopped() const { return stopped_; }

 private:
  enum Place : char { kShown, kSpecialBegin, kSpecialRest };

  // A text in which stop strings are looked for, and where its bytes stand in held_.
  struct View {
    std::string text;
    std::vector<size_t> places;
  };
  View view(bool with_special) const;
  // What can be shown of held_.
  std::string search();
  std::string search_stops();
  // The longest end of the text that begins `wanted`: where it stands in held_.
  size_t begin_of_partial(const View& v, const std::string& wanted) const;
  bool splits_special(size_t at) const {
    return at < places_.size() && places_[at] == kSpecialRest;
  }
  // Removes the first `size` bytes of held_ and returns those that are shown.
  std::string take(size_t size);

  enum class State { kMayBeFree, kFree, kSearched };

  std::vector<std::string> stops_;
  const StopFree free_;
  State state_;
  std::string held_;
  std::string places_;  // a Place for each byte of held_
  bool stopped_ = false;
};

}  // namespace looplm

#endif  // LOOPLM_INFER_STOP_STRINGS_H_
