// A tokenizer.json as the keys of a GGUF file: the inverse of gguf_tokenizer.h.
#ifndef LOOPLM_MODEL_GGUF_TOKENIZER_WRITE_H_
#define LOOPLM_MODEL_GGUF_TOKENIZER_WRITE_H_

#include <string>
#include <string_view>

#include "looplm/config.h"
#include "looplm/status.h"
#include "looplm/tokenizer.h"

#include "model/gguf_writer.h"

namespace looplm {

// Adds tokenizer.ggml.model, pre, tokens, token_type, merges, add_bos_token and add_eos_token of a
// byte-level BPE file, which `tokenizer` was read from. Ids without a token, up to
// config.vocab_size, get one that is never used. Error (kUnsupported): a way of cutting text into
// words, or of putting ids around one, for which llama.cpp has no name.
Status add_gguf_tokenizer(std::string_view tokenizer_json, const Tokenizer& tokenizer,
                          const ModelConfig& config, GgufKeys& keys);

}  // namespace looplm

#endif  // LOOPLM_MODEL_GGUF_TOKENIZER_WRITE_H_
