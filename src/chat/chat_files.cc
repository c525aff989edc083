// Where Hugging Face's model directories keep chat templates.
#include <algorithm>
#include <filesystem>

#include <fmt/format.h>

#include "looplm/chat.h"

#include "base/directory.h"
#include "base/file.h"
#include "base/json.h"

namespace looplm {
namespace {

namespace fs = std::filesystem;

Result<std::string> read_text(const fs::path& path) {
  LOOPLM_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::open(path.string()));
  return std::string(file.text());
}

// "chat_template": a text, or a list of named ones.
Status add_templates(const Json& config, const std::string& path,
                     std::vector<ChatTemplateSource>& templates) {
  const auto found = config.find("chat_template");
  if (found == config.end() || found->is_null()) return {};
  if (found->is_string()) {
    templates.push_back({.text = found->get<std::string>()});
    return {};
  }
  const auto wrong = [&] {
    return invalid_argument(fmt::format(
        "{}: chat_template is neither a text nor a list of objects with \"name\" and \"template\"",
        path));
  };
  const bool named = found->is_object();  // {"default": ..., "tool_use": ...}
  if (!found->is_array() && !named) return wrong();
  for (const auto& [key, entry] : found->items()) {
    const Json& text = named ? entry : entry.is_object() ? entry.value("template", Json()) : Json();
    const Json name = named ? Json(key) : entry.is_object() ? entry.value("name", Json()) : Json();
    if (!text.is_string() || !name.is_string()) return wrong();
    templates.push_back({name.get<std::string>(), text.get<std::string>()});
  }
  return {};
}

// "bos_token" and the like: a text, or an object with "content".
void add_tokens(const Json& config, std::map<std::string, std::string>& tokens) {
  const auto add = [&](const std::string& name, const Json& value) {
    if (value.is_string()) tokens.emplace(name, value.get<std::string>());
    if (value.is_object() && value.contains("content") && value["content"].is_string()) {
      tokens.emplace(name, value["content"].get<std::string>());
    }
  };
  for (const char* name : {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token",
                           "cls_token", "mask_token"}) {
    if (config.contains(name)) add(name, config[name]);
  }
  const auto extra = config.find("extra_special_tokens");
  if (extra == config.end() || !extra->is_object()) return;
  for (const auto& [name, value] : extra->items()) add(name, value);
}

Status add_jinja_files(const fs::path& directory, std::vector<ChatTemplateSource>& templates) {
  if (name_exists((directory / "chat_template.jinja").string())) {
    LOOPLM_ASSIGN_OR_RETURN(std::string text, read_text(directory / "chat_template.jinja"));
    templates.push_back({.text = std::move(text)});
  }
  const fs::path more = directory / "additional_chat_templates";
  if (!is_directory(more.string())) return {};
  LOOPLM_ASSIGN_OR_RETURN(const std::vector<std::string> names, list_directory(more.string()));
  for (const std::string& name : names) {
    const fs::path path = more / name;
    if (path.extension() != ".jinja") continue;
    LOOPLM_ASSIGN_OR_RETURN(std::string text, read_text(path));
    templates.push_back({path.stem().string(), std::move(text)});
  }
  return {};
}

}  // namespace

bool ChatFiles::has_template(std::string_view text) const {
  return std::any_of(templates.begin(), templates.end(),
                     [&](const ChatTemplateSource& source) { return source.text == text; });
}

Result<ChatFiles> read_chat_files(const std::string& directory) {
  ChatFiles files;
  LOOPLM_RETURN_IF_ERROR(add_jinja_files(directory, files.templates));
  for (const char* name :
       {"chat_template.json", "tokenizer_config.json", "special_tokens_map.json"}) {
    const fs::path path = fs::path(directory) / name;
    if (!name_exists(path.string())) continue;
    LOOPLM_ASSIGN_OR_RETURN(const Json config, read_json_file(path.string()));
    if (!config.is_object()) return invalid_argument(path.string() + ": expected an object");
    if (files.templates.empty()) {
      LOOPLM_RETURN_IF_ERROR(add_templates(config, path.string(), files.templates));
    }
    add_tokens(config, files.tokens);
  }
  return files;
}

}  // namespace looplm
