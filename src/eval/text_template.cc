#include "eval/text_template.h"

#include <algorithm>
#include <array>
#include <string_view>

#include <fmt/format.h>

#include "eval/ascii.h"
#include "eval/joined.h"

namespace looplm {
namespace {

constexpr std::array<std::string_view, 15> kFilters = {
    "strip",  "upper",     "lower",         "capitalize", "words", "before", "before?", "after",
    "after?", "last_word", "but_last_word", "lettered",   "join",  "count",  "json"};

bool takes_argument(const std::string& filter) {
  return filter.starts_with("before") || filter.starts_with("after") || filter == "join";
}

// Of ASCII letters: data sets' prompts are made with them.
char upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string text_filtered(const std::string& filter, const std::string& argument,
                          std::string text) {
  if (filter == "strip") return std::string(stripped(text));
  if (filter == "upper") std::transform(text.begin(), text.end(), text.begin(), upper);
  if (filter == "lower") std::transform(text.begin(), text.end(), text.begin(), lower);
  if (filter == "capitalize") {
    std::transform(text.begin(), text.end(), text.begin(), lower);
    if (!text.empty()) text[0] = upper(text[0]);
  }
  if (filter == "words") std::replace(text.begin(), text.end(), '_', ' ');
  if (filter.starts_with("before")) return text.substr(0, text.find(argument));
  if (filter.starts_with("after")) {
    const size_t at = text.find(argument);
    return at == std::string::npos ? "" : text.substr(at + argument.size());
  }
  const size_t space = text.rfind(' ');
  if (filter == "last_word") return space == std::string::npos ? text : text.substr(space + 1);
  if (filter == "but_last_word") return space == std::string::npos ? "" : text.substr(0, space);
  return text;
}

}  // namespace

const Json* find_field(const Json& record, const std::string& path) {
  const Json* at = &record;
  // A name with a dot in it may also stand as it is.
  if (record.is_object()) {
    const auto whole = record.find(path);
    if (whole != record.end()) return &*whole;
  }
  for (size_t begin = 0; begin <= path.size();) {
    const size_t dot = std::min(path.find('.', begin), path.size());
    const std::string step = path.substr(begin, dot - begin);
    if (at->is_object()) {
      const auto found = at->find(step);
      if (found == at->end()) return nullptr;
      at = &*found;
    } else if (at->is_array() && !step.empty() && step.size() < 7 &&
               step.find_first_not_of("0123456789") == std::string::npos) {
      const size_t index = std::stoul(step);
      if (index >= at->size()) return nullptr;
      at = &(*at)[index];
    } else {
      return nullptr;
    }
    begin = dot + 1;
  }
  return at;
}

Result<std::string> field_text(const Json& value, const std::string& name) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number() || value.is_boolean()) return dump_json(value);
  return invalid_argument(
      fmt::format("the field '{}' is {}; expected text or a number", name, value.type_name()));
}

std::string choice_letter(size_t index) {
  std::string letters;
  for (++index; index > 0; index = (index - 1) / 26) {
    letters.insert(letters.begin(), static_cast<char>('A' + (index - 1) % 26));
  }
  return letters;
}

Result<TextTemplate::Filter> TextTemplate::parse_filter(const std::string& text) {
  const size_t colon = text.find(':');
  Filter filter = {std::string(stripped(text.substr(0, colon))),
                   colon == std::string::npos ? "" : text.substr(colon + 1)};
  if (std::find(kFilters.begin(), kFilters.end(), filter.name) == kFilters.end()) {
    return invalid_argument(
        fmt::format("unknown filter '{}'; expected one of {}", filter.name, joined(kFilters)));
  }
  if (takes_argument(filter.name) != (colon != std::string::npos)) {
    return invalid_argument(fmt::format(
        "the filter '{}' {}", filter.name,
        colon == std::string::npos ? "needs an argument after a colon" : "takes no argument"));
  }
  return filter;
}

Result<TextTemplate> TextTemplate::parse(const std::string& text) {
  TextTemplate result;
  result.source_ = text;
  size_t at = 0;
  while (true) {
    const size_t open = text.find("{{", at);
    Part part;
    part.literal = text.substr(at, open == std::string::npos ? open : open - at);
    if (open == std::string::npos) {
      result.parts_.push_back(part);
      return result;
    }
    const size_t close = text.find("}}", open);
    if (close == std::string::npos) {
      return invalid_argument(fmt::format("'{{{{' at byte {} is not closed", open));
    }
    const std::string inside = text.substr(open + 2, close - open - 2);
    size_t bar = inside.find('|');
    part.field = std::string(stripped(inside.substr(0, bar)));
    if (part.field.empty()) {
      return invalid_argument(fmt::format("'{{{{{}}}}}' names no field", inside));
    }
    while (bar != std::string::npos) {
      const size_t next = inside.find('|', bar + 1);
      LOOPLM_ASSIGN_OR_RETURN(Filter filter, parse_filter(inside.substr(bar + 1, next - bar - 1)));
      part.filters.push_back(std::move(filter));
      bar = next;
    }
    result.parts_.push_back(std::move(part));
    at = close + 2;
  }
}

Status TextTemplate::apply(const Filter& filter, const std::string& field, Json& value) {
  if (filter.name == "json") {
    value = dump_json(value);
    return {};
  }
  if (filter.name == "lettered" || filter.name == "join" || filter.name == "count") {
    if (!value.is_array()) {
      return invalid_argument(fmt::format("the field '{}' is {}; '{}' expects a list", field,
                                          value.type_name(), filter.name));
    }
    std::vector<std::string> items;
    for (const Json& item : value) {
      LOOPLM_ASSIGN_OR_RETURN(std::string text, field_text(item, field));
      if (filter.name == "lettered") text = choice_letter(items.size()) + ". " + text;
      items.push_back(std::move(text));
    }
    if (filter.name == "count") {
      value = items.size();
    } else {
      value = joined(items, filter.name == "join" ? filter.argument : "\n");
    }
    return {};
  }
  LOOPLM_ASSIGN_OR_RETURN(std::string text, field_text(value, field));
  if ((filter.name == "before" || filter.name == "after") &&
      text.find(filter.argument) == std::string::npos) {
    return invalid_argument(fmt::format(
        "the field '{0}' is '{1}', which does not hold '{2}' of '{3}:{2}'; '{3}?:{2}' lets it pass",
        field, text.size() > 80 ? text.substr(0, 80) + "..." : text, filter.argument, filter.name));
  }
  value = text_filtered(filter.name, filter.argument, std::move(text));
  return {};
}

Result<std::string> TextTemplate::render(const Json& record) const {
  std::string text;
  for (const Part& part : parts_) {
    text += part.literal;
    if (part.field.empty()) continue;
    const Json* found = find_field(record, part.field);
    if (found == nullptr) {
      return invalid_argument(fmt::format("there is no field '{}'", part.field));
    }
    Json value = *found;
    for (const Filter& filter : part.filters) {
      LOOPLM_RETURN_IF_ERROR(apply(filter, part.field, value));
    }
    LOOPLM_ASSIGN_OR_RETURN(const std::string filled, field_text(value, part.field));
    text += filled;
  }
  return text;
}

}  // namespace looplm
