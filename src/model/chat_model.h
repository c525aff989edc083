// The chat template that comes with a model's files.
#ifndef LOOPLM_MODEL_CHAT_MODEL_H_
#define LOOPLM_MODEL_CHAT_MODEL_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "looplm/chat.h"

#include "model/checkpoint.h"

namespace looplm {

// What the files of a directory, those beside a GGUF file, or the GGUF file itself say about chats.
// Templates in the directory of an `adapter` come in place of the model's.
Result<ChatFiles> model_chat_files(const std::string& path, const Tokenizer& tokenizer,
                                   const std::string& adapter = {});

// The same of a model that is open, of which a GGUF file is not read again.
Result<ChatFiles> model_chat_files(const Checkpoint& checkpoint, const Tokenizer& tokenizer,
                                   const std::string& adapter = {});

// Of the same files. A model without a template gets ChatML or a plain one, and its notes say so.
Result<ChatTemplate> load_chat_template(const std::string& path, const Tokenizer& tokenizer,
                                        const std::string& adapter = {});

// The ids that end a turn (ChatTemplate::end_ids) of a model with these files; none if they hold no
// template, or one that cannot be read.
std::vector<int32_t> end_of_turn_ids(const ChatFiles& files, const Tokenizer& tokenizer);

// The texts of the templates in the same places, by name; none where there are none.
Result<std::map<std::string, std::string>> chat_template_texts(const std::string& path);

}  // namespace looplm

#endif  // LOOPLM_MODEL_CHAT_MODEL_H_
