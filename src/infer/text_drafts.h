// Guesses from the text itself: what followed its last tokens where they occurred before.
#ifndef LOOPLM_INFER_TEXT_DRAFTS_H_
#define LOOPLM_INFER_TEXT_DRAFTS_H_

#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

namespace looplm {

// Results never depend on it, only the number of passes: the loops check each guess. The outcome of
// the last guesses decides how many are made at a time.
class TextDrafts {
 public:
  // The text is what is certain: the prompt, then the tokens that are reported.
  void append(std::span<const int32_t> tokens);

  // What may follow the text and then `later`, whose last `guesses` tokens are guesses.
  std::optional<int32_t> next(std::span<const int32_t> later, int64_t guesses) const;

  // Maximum number of new guesses in one pass.
  int64_t at_once() const { return at_once_; }
  // Whether the text has lately guessed better than the first half of the loops, which then do not
  // overrule it.
  bool trusted() const { return at_once_ >= kTrusted; }
  // How likely the next guess is right, by the outcome of the last ones.
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
