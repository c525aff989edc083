// Which tokens end a text, from all the places where a model's files say so.
//
// No place is complete: the config.json of a chat model often names the end of a document alone,
// and the end of a turn stands in generation_config.json (which transformers' generate reads), in
// tokenizer_config.json (vLLM), under a GGUF key of its own, or nowhere but in the chat template
// (where llama.cpp knows it by its text). A model that is not stopped where it ends its turn goes
// on to write the user's next one.
#ifndef LOOPLM_MODEL_END_OF_TEXT_H_
#define LOOPLM_MODEL_END_OF_TEXT_H_

#include <string>
#include <vector>

#include "looplm/config.h"
#include "looplm/status.h"
#include "looplm/tokenizer.h"

#include "model/checkpoint.h"

namespace looplm {

struct EndsOfText {
  std::vector<EndOfText> ends;     // each id once, in the order in which the places were read
  std::vector<std::string> texts;  // before which it ends too
  // For the user: ends that are named and cannot be found, and what else generation_config.json
  // asks for that is not done.
  std::vector<std::string> notes;
};

// Reads eos_token_id of config.json and generation_config.json, the latter's stop_strings,
// eos_token of tokenizer_config.json, or else of special_tokens_map.json, the GGUF keys
// tokenizer.ggml.eos_token_id, eot_token_id and eom_token_id, the known end-of-turn tokens that
// occur in a chat template, and the special tokens that the template writes behind an answer and a
// call (ChatTemplate::end_ids). A template in the directory of an `adapter` comes in place of the
// model's. `tokenizer` is null where there is none. An id outside the vocabulary is an error that
// names file, key and value.
Result<EndsOfText> find_ends_of_text(const Checkpoint& checkpoint, const Tokenizer* tokenizer,
                                     const std::string& adapter = {});

}  // namespace looplm

#endif  // LOOPLM_MODEL_END_OF_TEXT_H_
