// Guesses from the text itself: where its last tokens have stood before, what followed them then.
#ifndef LOOPLM_INFER_TEXT_DRAFTS_H_
#define LOOPLM_INFER_TEXT_DRAFTS_H_

#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

namespace looplm {

// Results never depend on it, passes do: guesses are checked by the loops. How many are made at a
// time is learnt from what became of the last ones.
class TextDrafts {
 public:
  // The text is what is certain: the prompt, then the tokens that are reported.
  void append(std::span<const int32_t> tokens);

  // What may follow the text and then `later`, of which `guesses` in a row at the end are guesses
  // already.
  std::optional<int32_t> next(std::span<const int32_t> later, int64_t guesses) const;

  // Most new guesses in one pass.
  int64_t at_once() const { return at_once_; }
  // Whether the text has lately been a better guide than the first half of the loops, whose other
  // opinion is then not asked.
  bool trusted() const { return at_once_ >= kTrusted; }
  // How likely the next guess is right, by what became of the last ones.
  double chance() const { return chance_; }
  void was_right();
  void was_wrong();

 private:
  static constexpr size_t kSuffix = 3;  // tokens that have to be the same
  static constexpr int64_t kMostAtOnce = 16;
  static constexpr int64_t kTrusted = 4;
  static constexpr double kFade = 1.0 / 8;  // weight of the last outcome

  static uint64_t key(std::span<const int32_t> suffix);

  std::vector<int32_t> text_;
  std::unordered_map<uint64_t, size_t> after_;  // key of a suffix: where what followed last stands
  int64_t at_once_ = 1;
  double chance_ = 0.5;
};

}  // namespace looplm

#endif  // LOOPLM_INFER_TEXT_DRAFTS_H_
