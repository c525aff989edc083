// Cutting text into words, each of which is tokenised by itself: the "pre_tokenizer" of a
// tokenizer.json.
#ifndef LOOPLM_TEXT_PRE_TOKENIZER_H_
#define LOOPLM_TEXT_PRE_TOKENIZER_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "looplm/status.h"

#include "base/json.h"
#include "text/regex.h"

namespace looplm {

// What becomes of the parts that match.
enum class SplitBehavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

// One step of the sequence. Every step cuts the pieces of the step before, each by itself: a
// regular expression cannot look beyond its piece.
struct PreTokenizerStep {
  enum class Kind { kDigits, kSplit, kByteLevel };
  Kind kind = Kind::kByteLevel;
  SplitBehavior behavior = SplitBehavior::kIsolated;
  bool invert = false;            // kSplit: the parts between matches take the matches' role
  bool add_prefix_space = false;  // kByteLevel: before each piece that does not begin with one
  std::optional<Regex> regex;     // kSplit, and kByteLevel unless the file turns it off
};

// Steps that end with ByteLevel. May be used by several threads at once.
class PreTokenizer {
 public:
  // `node` is the file's "pre_tokenizer".
  static Result<PreTokenizer> read(const Json& node);

  // State of one user: reused from text to text.
  class Cutter {
   public:
    explicit Cutter(const PreTokenizer& pre_tokenizer);
    // Cuts `text`, valid UTF-8. An error: a pattern that needs too many steps on it.
    Status cut(std::string_view text);
    // The words, in order. Views into the text or into this object, good until the next cut.
    const std::vector<std::string_view>& words() const { return words_; }

   private:
    struct Part {
      size_t begin;
      size_t end;
      bool match;
    };
    Status run_step(size_t index);
    Status find_parts(size_t index, std::string_view piece);
    void put_parts(const PreTokenizerStep& step, std::string_view piece);

    const PreTokenizer& pre_tokenizer_;
    std::vector<std::optional<Regex::Matcher>> matchers_;  // per step
    std::vector<std::string_view> words_, next_;
    std::vector<Part> parts_, merged_;
    std::vector<std::string> prefixed_;  // pieces that got a space
  };

 private:
  std::vector<PreTokenizerStep> steps_;
};

}  // namespace looplm

#endif  // LOOPLM_TEXT_PRE_TOKENIZER_H_
