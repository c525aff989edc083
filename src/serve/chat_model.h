// The chat template that comes with a model's files.
#ifndef LOOPLM_SERVE_CHAT_MODEL_H_
#define LOOPLM_SERVE_CHAT_MODEL_H_

#include <map>
#include <string>

#include "looplm/chat.h"

namespace looplm {

// Of a directory, of the files beside a GGUF file, or of the GGUF file itself. A model without a
// template gets ChatML or a plain one, and its notes say so.
Result<ChatTemplate> load_chat_template(const std::string& path, const Tokenizer& tokenizer);

// The texts of the templates in the same places, by name; none where there are none.
Result<std::map<std::string, std::string>> chat_template_texts(const std::string& path);

}  // namespace looplm

#endif  // LOOPLM_SERVE_CHAT_MODEL_H_
