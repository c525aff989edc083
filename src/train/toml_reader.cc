#include "train/toml_reader.h"

#include <sstream>

#include <fmt/format.h>
#include <toml++/toml.h>

#include "base/shortened.h"

namespace looplm {

Result<toml::table> parse_toml(const std::string& text, const std::string& what) {
  try {
    return toml::parse(text);
  } catch (const toml::parse_error& error) {
    const toml::source_position at = error.source().begin;
    return invalid_argument(
        fmt::format("{} line {} column {}: {}", what, at.line, at.column, error.description()));
  }
}

void TomlReader::fail(const std::string& message) {
  if (status_.ok()) status_ = invalid_argument(message);
}

void TomlReader::wrong(const char* key, const toml::node& node, const std::string& expected) {
  std::ostringstream text;
  node.visit([&text](const auto& value) { text << value; });
  fail(fmt::format("{} is {}; expected {}", full_name(key), shortened(text.str()), expected));
}

bool TomlReader::has(const char* key) const { return table_ != nullptr && table_->contains(key); }

const toml::node* TomlReader::node(const char* key) {
  asked_.insert(key);
  return table_ == nullptr ? nullptr : table_->get(key);
}

void TomlReader::read(const char* key, int64_t& value, int64_t least, int64_t most) {
  const toml::node* found = node(key);
  if (found == nullptr) return;
  const std::string expected = fmt::format("an integer from {} to {}", least, most);
  const auto* integer = found->as_integer();
  if (integer == nullptr || integer->get() < least || integer->get() > most) {
    return wrong(key, *found, expected);
  }
  value = integer->get();
}

void TomlReader::read(const char* key, int& value, int least, int most) {
  int64_t wide = value;
  read(key, wide, least, most);
  value = static_cast<int>(wide);
}

void TomlReader::read(const char* key, uint64_t& value) {
  auto wide = static_cast<int64_t>(value);
  read(key, wide, 0, INT64_MAX);
  value = static_cast<uint64_t>(wide);
}

void TomlReader::read(const char* key, double& value, double least, double most) {
  const toml::node* found = node(key);
  if (found == nullptr) return;
  double number = 0;
  if (const auto* floating = found->as_floating_point()) {
    number = floating->get();
  } else if (const auto* integer = found->as_integer()) {
    number = static_cast<double>(integer->get());
  } else {
    return wrong(key, *found, "a number");
  }
  if (!(number >= least && number <= most)) {
    return wrong(key, *found, fmt::format("a number from {} to {}", least, most));
  }
  value = number;
}

void TomlReader::read(const char* key, bool& value) {
  const toml::node* found = node(key);
  if (found == nullptr) return;
  const auto* boolean = found->as_boolean();
  if (boolean == nullptr) return wrong(key, *found, "true or false");
  value = boolean->get();
}

void TomlReader::read(const char* key, std::string& value) {
  const toml::node* found = node(key);
  if (found == nullptr) return;
  const auto* text = found->as_string();
  if (text == nullptr) return wrong(key, *found, "a string");
  value = text->get();
}

template <typename T, typename... Range>
void TomlReader::read_list(const char* key, std::vector<T>& values, Range... range) {
  const toml::node* found = node(key);
  if (found == nullptr) return;
  const toml::array* list = found->as_array();
  if (list == nullptr) {
    values.resize(1);
    return read(key, values.front(), range...);
  }
  if (list->empty()) return wrong(key, *found, "at least one value");
  std::vector<T> read_values(list->size());
  for (size_t i = 0; i < list->size(); ++i) {
    const std::string name = fmt::format("{}[{}]", key, i);
    toml::table one;
    one.insert(name, *list->get(i));
    TomlReader(&one, name_, status_).read(name.c_str(), read_values[i], range...);
  }
  values = std::move(read_values);
}

void TomlReader::read(const char* key, std::vector<int64_t>& values, int64_t least, int64_t most) {
  read_list(key, values, least, most);
}

void TomlReader::read(const char* key, std::vector<int>& values, int least, int most) {
  read_list(key, values, least, most);
}

void TomlReader::read(const char* key, std::vector<uint64_t>& values) { read_list(key, values); }

void TomlReader::read(const char* key, std::vector<double>& values, double least, double most) {
  read_list(key, values, least, most);
}

void TomlReader::read(const char* key, std::vector<std::string>& values) { read_list(key, values); }

void TomlReader::require(const char* key) {
  if (!has(key)) fail(fmt::format("{} is missing", full_name(key)));
}

TomlReader TomlReader::child(const char* key) {
  const toml::node* found = node(key);
  if (found != nullptr && !found->is_table()) wrong(key, *found, "a table");
  return {found == nullptr ? nullptr : found->as_table(), full_name(key), status_};
}

std::vector<TomlReader> TomlReader::tables(const char* key) {
  const toml::node* found = node(key);
  if (found == nullptr) return {};
  const toml::array* list = found->as_array();
  if (list == nullptr || list->empty() || !list->is_homogeneous<toml::table>()) {
    wrong(key, *found, "a list of tables");
    return {};
  }
  std::vector<TomlReader> readers;
  for (size_t i = 0; i < list->size(); ++i) {
    readers.emplace_back(list->get(i)->as_table(), full_name(fmt::format("{}[{}]", key, i)),
                         status_);
  }
  return readers;
}

void TomlReader::finish() {
  if (table_ == nullptr) return;
  for (const auto& [key, value] : *table_) {
    const std::string name(key.str());
    if (asked_.contains(name)) continue;
    std::string known;
    for (const std::string& asked : asked_) known += (known.empty() ? "" : ", ") + asked;
    return fail(fmt::format("{} is not a known key; expected one of {}", full_name(name), known));
  }
}

Status apply_toml_override(toml::table& root, const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) {
    return invalid_argument(fmt::format("override '{}'; expected key=value", text));
  }
  std::string path = text.substr(0, equals);
  const std::string written = text.substr(equals + 1);
  const Result<toml::table> parsed = parse_toml("v = " + written, "override '" + text + "'");
  if (!parsed.ok()) {
    return invalid_argument(
        fmt::format("override '{}': {} is not a TOML value (a text is one in quotes: '{}=\"...\"')",
                    text, written.empty() ? "nothing" : "'" + written + "'", path));
  }
  const toml::table& value = parsed.value();
  toml::table* table = &root;
  for (size_t dot = path.find('.'); dot != std::string::npos; dot = path.find('.')) {
    const std::string key = path.substr(0, dot);
    path.erase(0, dot + 1);
    toml::node* next = table->get(key);
    if (next == nullptr) next = &table->insert(key, toml::table()).first->second;
    table = next->as_table();
    if (table == nullptr) {
      return invalid_argument(fmt::format("override '{}': '{}' is not a table", text, key));
    }
  }
  value.get("v")->visit([&](const auto& v) { table->insert_or_assign(path, v); });
  return {};
}

}  // namespace looplm
