// Learning a byte-level BPE vocabulary from text.
#ifndef LOOPLM_TOKENIZER_TRAINER_H_
#define LOOPLM_TOKENIZER_TRAINER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "looplm/status.h"

namespace looplm {

struct TokenizerTrainerOptions {
  int64_t vocab_size = 8192;  // special tokens and the 256 bytes included; 256 + specials .. 2^20
  int64_t min_frequency = 2;  // a pair seen less often is not merged
  bool single_digits = true;  // each decimal digit is a token of its own
  // Ids 0, 1, ...; the first is also the end of text.
  std::vector<std::string> special_tokens = {"<|endoftext|>"};
};

// Counts the words of texts, then repeatedly merges the most frequent pair. Ties go to the pair
// with the lower ids, so the same text gives the same file.
class TokenizerTrainer {
 public:
  static Result<TokenizerTrainer> create(const TokenizerTrainerOptions& options);
  TokenizerTrainer(TokenizerTrainer&&) noexcept;
  ~TokenizerTrainer();

  void add(std::string_view text);
  // Returns the text of a tokenizer.json. Fails if no text was added. Calls `progress` after every
  // hundredth merge with the number of tokens so far.
  Result<std::string> train(const std::function<void(int64_t tokens)>& progress = {});

 private:
  struct State;
  explicit TokenizerTrainer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace looplm

#endif  // LOOPLM_TOKENIZER_TRAINER_H_
