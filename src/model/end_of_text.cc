#include "model/end_of_text.h"

#include <algorithm>
#include <array>
#include <string_view>

#include <fmt/format.h>

#include "base/directory.h"
#include "base/file.h"
#include "base/json.h"
#include "model/chat_model.h"
#include "model/config_rules.h"
#include "model/gguf_model.h"
#include "model/tokenizer_files.h"

namespace looplm {
namespace {

// Tokens that end a turn in published chat templates.
constexpr std::array<std::string_view, 16> kEndsOfTurn = {"<|im_end|>",
                                                          "<|eot_id|>",
                                                          "<|eom_id|>",
                                                          "<|eot|>",
                                                          "<|end|>",
                                                          "<end_of_turn>",
                                                          "<|end_of_turn|>",
                                                          "<|END_OF_TURN_TOKEN|>",
                                                          "<|endoftext|>",
                                                          "<|end_of_text|>",
                                                          "<end_of_utterance>",
                                                          "<|role_end|>",
                                                          "<|return|>",
                                                          "<|call|>",
                                                          "</s>",
                                                          "<｜end▁of▁sentence｜>"};

class Finder {
 public:
  Finder(const Checkpoint& checkpoint, const Tokenizer* tokenizer, const std::string& adapter)
      : checkpoint_(checkpoint),
        tokenizer_(tokenizer),
        adapter_(adapter),
        directory_(companion_directory(checkpoint.directory)) {}

  Result<EndsOfText> find() {
    LOOPLM_RETURN_IF_ERROR(checkpoint_.gguf ? read_gguf().with_context(checkpoint_.directory)
                                            : read_config());
    LOOPLM_RETURN_IF_ERROR(in_file("generation_config.json", [&](const Json& json) {
      return read_generation(json, "generation_config.json");
    }));
    LOOPLM_RETURN_IF_ERROR(add_token());
    LOOPLM_RETURN_IF_ERROR(in_file("tokenizer_config.json", [&](const Json& json) {
      return read_templates(json, "tokenizer_config.json");
    }));
    LOOPLM_RETURN_IF_ERROR(in_file("chat_template.json", [&](const Json& json) {
      return read_templates(json, "chat_template.json");
    }));
    const std::string jinja = "chat_template.jinja";
    if (name_exists(directory_ + "/" + jinja)) {
      LOOPLM_ASSIGN_OR_RETURN(const std::string text, read_text_file(directory_ + "/" + jinja));
      read_template(text, jinja);
    }
    render_template();
    return std::move(result_);
  }

 private:
  template <typename Read>
  Status in_file(const char* name, Read read) const {
    const std::string path = directory_ + "/" + name;
    if (!name_exists(path)) return {};
    LOOPLM_ASSIGN_OR_RETURN(const Json json, read_json_file(path));
    if (!json.is_object()) return invalid_argument(path + ": expected a JSON object");
    return read(json).with_context(path);
  }

  void add(int64_t id, std::string named_by) {
    const auto known = std::find_if(result_.ends.begin(), result_.ends.end(),
                                    [&](const EndOfText& end) { return end.id == id; });
    if (known == result_.ends.end()) {
      result_.ends.push_back({static_cast<int32_t>(id), {std::move(named_by)}});
    } else {
      known->named_by.push_back(std::move(named_by));
    }
  }

  Status read_config() {
    for (const int64_t id : checkpoint_.config.eos_token_ids) add(id, "config.json: eos_token_id");
    return {};
  }

  Status read_gguf() {
    const GgufMetadata& metadata = checkpoint_.gguf->metadata();
    const int64_t last = checkpoint_.config.vocab_size - 1;
    for (const char* key : kGgufEndKeys) {
      LOOPLM_ASSIGN_OR_RETURN(const int64_t id, gguf_int(metadata, key, -1, 0, last));
      if (id != -1) add(id, key);
    }
    const std::string_view chat = kGgufChatTemplateKey;
    for (auto entry = metadata.lower_bound(chat);
         entry != metadata.end() && entry->first.starts_with(chat); ++entry) {
      if (const auto* text = std::get_if<std::string_view>(&entry->second)) {
        read_template(*text, entry->first);
      }
    }
    return {};
  }

  Status read_generation(const Json& json, const std::string& file) {
    LOOPLM_ASSIGN_OR_RETURN(const std::vector<int64_t> ids,
                            read_eos_token_ids(json, checkpoint_.config.vocab_size));
    for (const int64_t id : ids) add(id, file + ": eos_token_id");
    const Json texts = json.value("stop_strings", Json());
    for (const Json& text : texts.is_array() || texts.is_null() ? texts : Json::array({texts})) {
      if (!text.is_string()) {
        return invalid_argument(fmt::format(
            "'stop_strings' is {}; expected a text or a list of texts", shown_json(texts)));
      }
      if (text != "") result_.texts.push_back(text.get<std::string>());
    }
    std::string others;
    for (const auto& [key, value] : json.items()) {
      if (value.is_null() || is_no_wish(key)) continue;
      others += (others.empty() ? "" : ", ") + key;
    }
    if (others.empty()) return {};
    result_.notes.push_back(
        fmt::format("{}: {}: not obeyed; options and requests say how to generate", file, others));
    return {};
  }

  // Keys that ask for nothing else, or for how transformers itself works.
  static bool is_no_wish(std::string_view key) {
    constexpr std::array<std::string_view, 9> kKeys = {
        "eos_token_id", "stop_strings",         "bos_token_id",
        "pad_token_id", "_from_model_config",   "use_cache",
        "return_dict",  "transformers_version", "_commit_hash"};
    return std::ranges::find(kKeys, key) != kKeys.end() || key.starts_with("output_") ||
           key.starts_with("cache_");
  }

  Status add_token() {
    LOOPLM_ASSIGN_OR_RETURN(const auto token, named_token(directory_, "eos_token"));
    if (!token || tokenizer_ == nullptr) return {};
    const std::optional<int32_t> id = tokenizer_->id_of(token->content);
    if (id && *id < checkpoint_.config.vocab_size) {
      add(*id, token->file + ": eos_token");
    } else {
      result_.notes.push_back(
          fmt::format("{}: eos_token '{}' is {}; it ends no text", token->file, token->content,
                      id ? "outside the model's vocabulary" : "not a token of the tokenizer"));
    }
    return {};
  }

  // "chat_template": a text, a list of {"name": ..., "template": ...}, or an object of texts.
  Status read_templates(const Json& json, const std::string& file) {
    const auto entry = json.find("chat_template");
    if (entry == json.end()) return {};
    const std::string place = file + ": chat_template";
    for (const Json& one : entry->is_array() ? *entry : Json::array({*entry})) {
      const bool listed = one.is_object() && one.contains("template");
      for (const Json& text :
           listed || !one.is_object() ? Json::array({listed ? one["template"] : one}) : one) {
        if (text.is_string()) read_template(text.get_ref<const std::string&>(), place);
      }
    }
    return {};
  }

  // Each message of a turn, where another token ends the turn (Harmony).
  static bool ends_only_a_message(std::string_view token, std::string_view text) {
    return token == "<|end|>" && text.find("<|return|>") != std::string_view::npos;
  }

  void read_template(std::string_view text, const std::string& place) {
    for (const std::string_view token : kEndsOfTurn) {
      if (text.find(token) == std::string_view::npos || tokenizer_ == nullptr) continue;
      if (ends_only_a_message(token, text)) continue;
      const std::optional<int32_t> id = tokenizer_->id_of(token);
      if (!id || *id >= checkpoint_.config.vocab_size) continue;
      // "</s>" may be ordinary text.
      if (!tokenizer_->is_special(*id) && !token.starts_with("<|")) continue;
      add(*id, fmt::format("{} uses {}", place, token));
    }
  }

  // The end of a turn may be a token that is in no list: what the template writes behind an answer
  // or a call.
  void render_template() {
    if (tokenizer_ == nullptr) return;
    const auto note = [&](const Status& status) {
      result_.notes.push_back("no end of a turn is read from the chat template: " +
                              status.message());
    };
    const Result<ChatFiles> files = model_chat_files(checkpoint_, *tokenizer_, adapter_);
    if (!files.ok()) return note(files.status());
    if (files.value().templates.empty()) return;
    const Result<ChatTemplate> chat = ChatTemplate::create(files.value(), *tokenizer_);
    if (!chat.ok()) return note(chat.status());
    for (const int32_t id : chat.value().end_ids()) {
      if (id >= checkpoint_.config.vocab_size ||
          ends_only_a_message(tokenizer_->bytes(id), chat.value().source()) ||
          std::ranges::find(result_.ends, id, &EndOfText::id) != result_.ends.end())
        continue;
      add(id, "a turn of the chat template ends with it");
    }
  }

  const Checkpoint& checkpoint_;
  const Tokenizer* tokenizer_;
  const std::string& adapter_;
  const std::string directory_;
  EndsOfText result_;
};

}  // namespace

Result<EndsOfText> find_ends_of_text(const Checkpoint& checkpoint, const Tokenizer* tokenizer,
                                     const std::string& adapter) {
  return Finder(checkpoint, tokenizer, adapter).find();
}

}  // namespace looplm
