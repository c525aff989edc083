// Answers of a model at a given depth to many prompts.
#ifndef LOOPLM_EXPERIMENTS_SAFETY_ANSWERS_H_
#define LOOPLM_EXPERIMENTS_SAFETY_ANSWERS_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "looplm/engine.h"

namespace looplm {

enum class ChatTemplate { kRaw, kChatMl };

struct AskOptions {
  ChatTemplate chat = ChatTemplate::kRaw;
  std::string system;   // of ChatML: a turn before, if not empty
  std::string opening;  // what the answer begins with: "<think>\n" makes thinking models think
};

// The ids that ask a model: the text as it is, or as the user's turn of ChatML
//
//   <|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{prompt}<|im_end|>\n
//   <|im_start|>assistant\n{opening}
//
// Special tokens are read in `opening` alone: in the prompt and the system's turn they are text.
// Fails where the vocabulary lacks ChatML's tokens.
Result<std::vector<int32_t>> ask_ids(const Tokenizer& tokenizer, const AskOptions& options,
                                     const std::string& prompt);

struct Answer {
  std::string text;    // special tokens too, but for the one that ended it
  int64_t tokens = 0;  // that one too
  bool ended = false;  // by itself, before max_tokens
};

// Generates the answers to prompts[i] for i in `which` with the engine, as many at once as
// `kv_bytes` of keys and values allow (0: all). The seed of prompt i is `options.sampling.seed` +
// i. `done` is called with each index as its answer ends; an error of it, or `stop`, ends the work.
// The model must have a tokenizer.
Status answer_all(Model& model, const std::vector<std::vector<int32_t>>& prompts,
                  const std::vector<size_t>& which, const GenerateOptions& options,
                  uint64_t kv_bytes, const std::atomic<bool>* stop,
                  const std::function<Status(size_t index, const Answer&)>& done);

// What a judge is shown of an answer: the text after the last `mark` ("</think>"; empty: all of
// it), without spaces around. None where the mark is missing: the answer was cut off before it
// began.
std::optional<std::string> final_answer(const std::string& text, const std::string& mark);

// The normed state (what head and gate read) at the last position of the prompt after each of
// `loops` loops: (loops, E). Each loop attends to its own keys and values, so row t is the state of
// a model of t + 1 loops. Fails on a prompt or number of loops that trace() would refuse.
Result<std::vector<float>> last_states(Model& model, std::span<const int32_t> prompt,
                                       int64_t loops);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_SAFETY_ANSWERS_H_
