#include "model/chat_model.h"

#include "base/file.h"
#include "model/gguf.h"
#include "model/gguf_model.h"
#include "model/gguf_value.h"

namespace looplm {

namespace {

// Of a GGUF file: the key itself is the default's, named ones have ".NAME" behind it.
void add_gguf_templates(const GgufFile& gguf, ChatFiles& files) {
  const std::string key = kGgufChatTemplateKey;
  for (auto entry = gguf.metadata().lower_bound(key);
       entry != gguf.metadata().end() && entry->first.starts_with(key); ++entry) {
    const auto* text = std::get_if<std::string_view>(&entry->second);
    if (text == nullptr) continue;
    files.templates.push_back(
        {entry->first == key ? "default" : entry->first.substr(key.size() + 1),
         std::string(*text)});
  }
}

Status add_gguf_chat(const GgufFile& gguf, const Tokenizer& tokenizer, ChatFiles& files) {
  add_gguf_templates(gguf, files);
  for (const auto& [name, id_key] : {std::pair{"bos_token", "tokenizer.ggml.bos_token_id"},
                                     {"eos_token", "tokenizer.ggml.eos_token_id"}}) {
    LOOPLM_ASSIGN_OR_RETURN(const int64_t id,
                            gguf_int(gguf.metadata(), id_key, -1, -1, tokenizer.vocab_size() - 1));
    if (id >= 0) files.tokens.emplace(name, tokenizer.bytes(static_cast<int32_t>(id)));
  }
  return {};
}

Status take_templates_of(const std::string& adapter, ChatFiles& files) {
  if (adapter.empty()) return {};
  LOOPLM_ASSIGN_OR_RETURN(ChatFiles own, read_chat_files(adapter));
  if (!own.templates.empty()) files.templates = std::move(own.templates);
  return {};
}

}  // namespace

Result<ChatFiles> model_chat_files(const Checkpoint& checkpoint, const Tokenizer& tokenizer,
                                   const std::string& adapter) {
  const std::string directory = companion_directory(checkpoint.directory);
  LOOPLM_ASSIGN_OR_RETURN(ChatFiles files, read_chat_files(directory));
  if (files.templates.empty() && checkpoint.gguf) {
    LOOPLM_RETURN_IF_ERROR(add_gguf_chat(*checkpoint.gguf, tokenizer, files));
  }
  LOOPLM_RETURN_IF_ERROR(take_templates_of(adapter, files));
  return files;
}

Result<ChatFiles> model_chat_files(const std::string& path, const Tokenizer& tokenizer,
                                   const std::string& adapter) {
  LOOPLM_ASSIGN_OR_RETURN(ChatFiles files, read_chat_files(companion_directory(path)));
  if (files.templates.empty() && !is_directory(path)) {
    LOOPLM_ASSIGN_OR_RETURN(const GgufFile gguf, GgufFile::open(path));
    LOOPLM_RETURN_IF_ERROR(add_gguf_chat(gguf, tokenizer, files));
  }
  LOOPLM_RETURN_IF_ERROR(take_templates_of(adapter, files));
  return files;
}

Result<ChatTemplate> load_chat_template(const std::string& path, const Tokenizer& tokenizer,
                                        const std::string& adapter) {
  LOOPLM_ASSIGN_OR_RETURN(const ChatFiles files, model_chat_files(path, tokenizer, adapter));
  return ChatTemplate::create(files, tokenizer);
}

std::vector<int32_t> end_of_turn_ids(const ChatFiles& files, const Tokenizer& tokenizer) {
  if (files.templates.empty()) return {};
  const Result<ChatTemplate> chat = ChatTemplate::create(files, tokenizer);
  return chat.ok() ? chat.value().end_ids() : std::vector<int32_t>();
}

Result<std::map<std::string, std::string>> chat_template_texts(const std::string& path) {
  LOOPLM_ASSIGN_OR_RETURN(ChatFiles files, read_chat_files(companion_directory(path)));
  if (files.templates.empty() && !is_directory(path)) {
    LOOPLM_ASSIGN_OR_RETURN(const GgufFile gguf, GgufFile::open(path));
    add_gguf_templates(gguf, files);
  }
  std::map<std::string, std::string> texts;
  for (const ChatTemplateSource& source : files.templates) texts.emplace(source.name, source.text);
  return texts;
}

}  // namespace looplm
