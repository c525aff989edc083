#include "experiments/core/settings.h"

#include <sstream>

#include <toml++/toml.h>

#include "base/file.h"

namespace looplm {
namespace {

// Replaces `name` in a setting by a place below the project's folder, if that is known.
Status replace(std::string& text, const std::string& name, const std::string& root,
               const std::string& below) {
  for (size_t at = text.find(name); at != std::string::npos; at = text.find(name, at)) {
    if (root.empty()) {
      return not_found("'" + text +
                       "' names the project's folder, the one with studies, which was not found");
    }
    const std::string value = root + below;
    text.replace(at, name.size(), value);
    at += value.size();
  }
  return {};
}

Status expand(toml::node& node, const std::string& root, const std::string& study) {
  if (auto* table = node.as_table()) {
    for (auto&& [key, child] : *table) LOOPLM_RETURN_IF_ERROR(expand(child, root, study));
  } else if (auto* array = node.as_array()) {
    for (toml::node& child : *array) LOOPLM_RETURN_IF_ERROR(expand(child, root, study));
  } else if (auto* text = node.as_string()) {
    LOOPLM_RETURN_IF_ERROR(replace(text->get(), "{root}", root, ""));
    return replace(text->get(), "{study}", root, "/studies/" + study);
  }
  return {};
}

Status read_table(const toml::table& table, const std::function<Status(TomlReader&)>& read) {
  Status status;
  TomlReader reader(&table, "", status);
  const Status said = read(reader);
  reader.finish();
  // A value of the wrong kind comes before what follows from it.
  return status.ok() ? said : status;
}

}  // namespace

Status read_settings(const std::string& text, const std::string& what,
                     const std::function<Status(TomlReader&)>& read) {
  LOOPLM_ASSIGN_OR_RETURN(const toml::table table, parse_toml(text, what));
  return read_table(table, read);
}

Result<std::string> effective_settings(const std::string& file,
                                       const std::vector<std::string>& overrides) {
  LOOPLM_ASSIGN_OR_RETURN(const std::string text, read_text_file(file));
  LOOPLM_ASSIGN_OR_RETURN(toml::table settings, parse_toml(text, file));
  for (const std::string& change : overrides) {
    LOOPLM_RETURN_IF_ERROR(apply_toml_override(settings, change));
  }
  std::ostringstream out;
  out << settings << '\n';
  return out.str();
}

Status configure_study(Study& study, const std::string& settings, const std::string& root,
                       const std::string& what) {
  LOOPLM_ASSIGN_OR_RETURN(toml::table table, parse_toml(settings, what));
  LOOPLM_RETURN_IF_ERROR(expand(table, root, study.name()).with_context(what));
  return read_table(table, [&](TomlReader& reader) { return study.configure(reader); })
      .with_context(what);
}

}  // namespace looplm
