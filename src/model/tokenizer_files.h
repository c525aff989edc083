// The tokenizer that lies with a model's files, and what the files say about its tokens.
#ifndef LOOPLM_MODEL_TOKENIZER_FILES_H_
#define LOOPLM_MODEL_TOKENIZER_FILES_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "looplm/status.h"
#include "looplm/tokenizer.h"

#include "model/checkpoint.h"

namespace looplm {

// The tokenizer.json in a directory or beside a GGUF file, else the GGUF file's own tokenizer.
// Needs no weights that looplm runs. A path without a tokenizer is an error.
Result<std::unique_ptr<Tokenizer>> load_tokenizer(const std::string& path);
// The same of an open checkpoint; null where it has none that looplm reads.
Result<std::unique_ptr<Tokenizer>> checkpoint_tokenizer(const Checkpoint& checkpoint);

// The token that tokenizer_config.json, or else special_tokens_map.json, names under `key`, such as
// "eos_token": written as its text, or as an object that describes it. None where both are silent.
struct NamedToken {
  std::string content;
  std::string file;
};
Result<std::optional<NamedToken>> named_token(const std::string& directory, const char* key);

// The id that ends a document: eos_token as named_token() reads it in a directory or beside a GGUF
// file, else the GGUF file's tokenizer.ggml.eos_token_id. None where neither says one.
Result<std::optional<int32_t>> end_token_of(const std::string& path, const Tokenizer& tokenizer);

}  // namespace looplm

#endif  // LOOPLM_MODEL_TOKENIZER_FILES_H_
