// Text that knows where each part of it came from, so that special tokens are read in the
// template's own words and nowhere else.
#ifndef LOOPLM_CHAT_JINJA_TEXT_H_
#define LOOPLM_CHAT_JINJA_TEXT_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace looplm::jinja {

// Bits of a part's origin.
using Marks = uint8_t;
inline constexpr Marks kForeign = 1;    // from the conversation, not from the template
inline constexpr Marks kGenerated = 2;  // inside {% generation %}: what the model itself writes

// UTF-8. Equality looks at the bytes alone.
class Text {
 public:
  Text() = default;
  explicit Text(std::string bytes, Marks marks = 0) : bytes_(std::move(bytes)), last_(marks) {}

  std::string_view view() const { return bytes_; }
  size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }

  void append(std::string_view bytes, Marks marks);
  // Bytes [from, to) of another text, with their marks.
  void append(const Text& other, size_t from, size_t to);
  void append(const Text& other) { append(other, 0, other.size()); }
  // Adds marks to all of it.
  void mark(Marks marks);

  // Calls visit(part, marks) for each stretch of equal marks in [from, to).
  template <typename Visit>
  void for_each_run(size_t from, size_t to, Visit visit) const {
    for (const Run& run : runs_) {
      if (from >= to) return;
      if (run.end <= from) continue;
      const size_t end = std::min(run.end, to);
      visit(view().substr(from, end - from), run.marks);
      from = end;
    }
    if (from < to) visit(view().substr(from, to - from), last_);
  }

  // Markup as the filters `safe` and `escape` return it: joined with plain text, that is escaped.
  bool markup = false;

 private:
  struct Run {
    size_t end;
    Marks marks;
  };
  std::string bytes_;
  std::vector<Run> runs_;  // all but the last one
  Marks last_ = 0;
};

}  // namespace looplm::jinja

#endif  // LOOPLM_CHAT_JINJA_TEXT_H_
