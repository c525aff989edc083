// The tokenizer that a GGUF file's keys describe, as the text of the tokenizer.json it came from.
#ifndef LOOPLM_MODEL_GGUF_TOKENIZER_H_
#define LOOPLM_MODEL_GGUF_TOKENIZER_H_

#include <cstdint>
#include <string>

#include "looplm/status.h"

#include "model/gguf_value.h"

namespace looplm {

// Reads tokenizer.ggml.*: model (gpt2, which is byte-level BPE), pre (how text is cut into words:
// a name of llama.cpp's for a family of tokenizer.json files), tokens, token_type, merges, and what
// is put around a text (add_bos_token, add_eos_token). What llama.cpp's converter does not keep is
// as in the families' files: qwen2 normalises to NFC, added tokens strip no space around them.
//
// Empty where the file has no tokenizer. Errors: kUnsupported where it has one that looplm does not
// read (another model or pre); else what is damaged, by key and index. More than `vocab_size`
// tokens are an error, fewer are not.
Result<std::string> gguf_tokenizer_json(const GgufMetadata& metadata, int64_t vocab_size);

}  // namespace looplm

#endif  // LOOPLM_MODEL_GGUF_TOKENIZER_H_
