#include "eval/yaml_reader.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "base/shortened.h"
#include "eval/joined.h"
#include "text/utf8.h"

namespace looplm {
namespace {

template <typename Number>
bool parse_number(const std::string& text, Number& value) {
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  return error == std::errc() && stop == end;
}

std::string shown(const YAML::Node& node) {
  if (node.IsScalar()) return fmt::format("'{}'", shortened(node.Scalar()));
  if (node.IsMap()) return "a mapping";
  if (node.IsSequence()) return "a list";
  return "nothing";
}

// An alias may name a node around it, and aliases of aliases grow exponentially.
constexpr int kMostLevels = 64;
constexpr size_t kMostValues = 100000;

Json scalar_to_json(const YAML::Node& node) {
  const std::string& text = node.Scalar();
  if (node.Tag() == "!") return text;  // quoted
  if (text == "true" || text == "false") return text == "true";
  int64_t whole = 0;
  if (parse_number(text, whole)) return whole;
  double number = 0;
  if (parse_number(text, number)) return number;
  return text;
}

Result<Json> to_json(const YAML::Node& node, int level, size_t& left) {
  if (level == kMostLevels) {
    return invalid_argument(
        fmt::format("values are nested deeper than {} levels (or an alias names what it stands in)",
                    kMostLevels));
  }
  if (left == 0) {
    return invalid_argument(
        fmt::format("holds more than {} values, aliases written out", kMostValues));
  }
  --left;
  if (node.IsMap()) {
    Json object = Json::object();
    for (const auto& entry : node) {
      if (!entry.first.IsScalar()) return invalid_argument("a key is not a word");
      const std::string& key = entry.first.Scalar();
      if (object.contains(key)) return invalid_argument(fmt::format("'{}' is given twice", key));
      LOOPLM_ASSIGN_OR_RETURN(object[key], to_json(entry.second, level + 1, left));
    }
    return object;
  }
  if (node.IsSequence()) {
    Json list = Json::array();
    for (const YAML::Node& item : node) {
      LOOPLM_ASSIGN_OR_RETURN(Json value, to_json(item, level + 1, left));
      list.push_back(std::move(value));
    }
    return list;
  }
  return node.IsScalar() ? scalar_to_json(node) : Json();
}

}  // namespace

Result<YAML::Node> parse_yaml(std::string_view text, const std::string& file) {
  LOOPLM_RETURN_IF_ERROR(check_utf8(text).with_context(file));
  try {
    YAML::Node root = YAML::Load(std::string(text));
    if (!root.IsMap()) {
      return invalid_argument(fmt::format("{}: holds {}; expected keys and values", file,
                                          root.IsDefined() ? shown(root) : "nothing"));
    }
    return root;
  } catch (const YAML::Exception& e) {
    return invalid_argument(
        fmt::format("{}:{}:{}: {}", file, e.mark.line + 1, e.mark.column + 1, e.msg));
  }
}

YamlReader::YamlReader(const YAML::Node& mapping, std::string file, std::string name,
                       Status& status)
    : mapping_(mapping), file_(std::move(file)), name_(std::move(name)), status_(status) {
  for (const auto& entry : mapping_) {
    if (!entry.first.IsScalar()) {
      fail(entry.first, fmt::format("a key is {}; expected a word", shown(entry.first)));
    } else if (!values_.emplace(entry.first.Scalar(), entry.second).second) {
      fail(entry.first, fmt::format("'{}' is given twice", full_name(entry.first.Scalar())));
    }
  }
}

std::string YamlReader::full_name(const std::string& key) const {
  return name_.empty() ? key : name_ + "." + key;
}

void YamlReader::fail(const YAML::Node& at, const std::string& message) const {
  if (!status_.ok()) return;
  const int line = at.IsDefined() && at.Mark().line >= 0 ? at.Mark().line : mapping_.Mark().line;
  status_ = invalid_argument(fmt::format("{}:{}: {}", file_, std::max(line, 0) + 1, message));
}

void YamlReader::wrong(const std::string& key, const YAML::Node& value,
                       const std::string& expected) const {
  fail(value, fmt::format("'{}' is {}; expected {}", full_name(key), shown(value), expected));
}

void YamlReader::refuse(const std::string& key, const Status& why) const {
  const auto found = values_.find(key);
  fail(found == values_.end() ? mapping_ : found->second,
       fmt::format("'{}': {}", full_name(key), why.message()));
}

void YamlReader::require(const std::string& key) {
  if (!has(key)) fail(mapping_, fmt::format("'{}' is missing", full_name(key)));
}

YAML::Node YamlReader::node(const std::string& key) {
  asked_[key] = true;
  const auto found = values_.find(key);
  return found == values_.end() ? YAML::Node() : found->second;
}

YamlReader YamlReader::child(const YAML::Node& mapping, const std::string& key) const {
  if (!mapping.IsMap()) {
    wrong(key, mapping, "keys and values");
    return {YAML::Node(YAML::NodeType::Map), file_, full_name(key), status_};
  }
  return {mapping, file_, full_name(key), status_};
}

void YamlReader::read(const std::string& key, std::string& value) {
  const YAML::Node found = node(key);
  if (!has(key)) return;
  if (!found.IsScalar()) return wrong(key, found, "text");
  value = found.Scalar();
}

void YamlReader::read(const std::string& key, bool& value) {
  const YAML::Node found = node(key);
  if (!has(key)) return;
  if (!found.IsScalar() || (found.Scalar() != "true" && found.Scalar() != "false")) {
    return wrong(key, found, "true or false");
  }
  value = found.Scalar() == "true";
}

void YamlReader::read(const std::string& key, int64_t& value, int64_t least, int64_t most) {
  const YAML::Node found = node(key);
  if (!has(key)) return;
  int64_t number = 0;
  if (!found.IsScalar() || !parse_number(found.Scalar(), number) || number < least ||
      number > most) {
    return wrong(key, found, fmt::format("a whole number from {} to {}", least, most));
  }
  value = number;
}

void YamlReader::read(const std::string& key, double& value, double least, double most) {
  const YAML::Node found = node(key);
  if (!has(key)) return;
  double number = 0;
  if (!found.IsScalar() || !parse_number(found.Scalar(), number) ||
      !(number >= least && number <= most)) {
    return wrong(key, found, fmt::format("a number from {} to {}", least, most));
  }
  value = number;
}

void YamlReader::read(const std::string& key, std::vector<std::string>& value) {
  const YAML::Node found = node(key);
  if (!has(key)) return;
  value.clear();
  if (found.IsScalar()) {
    value.push_back(found.Scalar());
    return;
  }
  if (!found.IsSequence()) return wrong(key, found, "text, or a list of texts");
  for (const YAML::Node& item : found) {
    if (!item.IsScalar()) return wrong(key, item, "a list of texts");
    value.push_back(item.Scalar());
  }
}

void YamlReader::read(const std::string& key, size_t& value,
                      const std::vector<std::string>& names) {
  const YAML::Node found = node(key);
  if (!has(key)) return;
  const auto at = std::find(names.begin(), names.end(), found.IsScalar() ? found.Scalar() : "");
  if (at == names.end()) return wrong(key, found, fmt::format("{}", joined(names)));
  value = static_cast<size_t>(at - names.begin());
}

void YamlReader::finish() {
  std::vector<std::string> known;
  for (const auto& [key, asked] : asked_) known.push_back(key);
  for (const auto& entry : mapping_) {
    if (!entry.first.IsScalar() || asked_.count(entry.first.Scalar()) > 0) continue;
    fail(entry.first, fmt::format("unknown key '{}'; expected one of {}",
                                  full_name(entry.first.Scalar()), joined(known)));
  }
}

Result<Json> yaml_to_json(const YAML::Node& node) {
  size_t left = kMostValues;
  return to_json(node, 0, left);
}

}  // namespace looplm
