// Examples to score a model on: documents of a .jsonl file, with the fields that came with them, or
// of a token shard.
#ifndef LOOPLM_EVAL_EXAMPLES_H_
#define LOOPLM_EVAL_EXAMPLES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "looplm/chat.h"
#include "looplm/status.h"
#include "looplm/tokenizer.h"

#include "base/json.h"

namespace looplm {

struct EvalExample {
  std::vector<int32_t> ids;
  std::vector<bool> scored;  // per id; the first one never is
  Json fields;               // the whole object, for grouping
};

struct ExampleLimits {
  int64_t vocab_size = 0;
  int64_t max_positions = 0;
  int64_t examples = 0;  // maximum number to read; 0: all
};

// Each line as `looplm data build` reads it, or {"prompt_ids": [...], "completion_ids": [...]},
// which needs no tokenizer (`tokenizer` may be null). Prompts are not scored. `chat` is as in
// CorpusOptions. A file named .tokens is a token shard. Errors name file and line; a file without
// examples is one, and so is a preference.
Result<std::vector<EvalExample>> read_examples(const std::string& path, const Tokenizer* tokenizer,
                                               const ExampleLimits& limits,
                                               const Result<ChatTemplate>* chat = nullptr);

}  // namespace looplm

#endif  // LOOPLM_EVAL_EXAMPLES_H_
