#include "grammar/schema_scalars.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "base/shortened.h"
#include "grammar/automaton.h"
#include "grammar/json_parts.h"
#include "grammar/pattern.h"
#include "grammar/schema_merge.h"

namespace looplm {
namespace {

constexpr int64_t kMostCount = 1'000'000;  // of lengths and items

Result<int64_t> count(const OrderedJson& schema, const char* key, int64_t fallback, int64_t most,
                      const std::string& place) {
  if (!schema.contains(key)) return fallback;
  const OrderedJson& value = schema[key];
  const double number = value.is_number() ? value.get<double>() : -1;
  if (number < 0 || number > static_cast<double>(most) || std::floor(number) != number) {
    return invalid_argument(fmt::format("{}.{} is {}; expected a whole number from 0 to {}", place,
                                        key, dump_json(value), most));
  }
  return static_cast<int64_t>(number);
}

// Null for a format that JSON Schema does not define, which says nothing of the value.
Result<ExpressionPtr> formatted(const OrderedJson& format, const std::string& place) {
  const auto name = format.get<std::string>();
  ExpressionPtr known = text_format(name).text;
  if (known == nullptr && name == "regex") {
    return unsupported(fmt::format("{}.format is 'regex', which is not supported", place));
  }
  return known;
}

// A whole number that no double holds keeps its digits, and its double lies inside the bound.
NumberBound number_bound(const OrderedJson& value, bool exclusive, bool lower) {
  NumberBound bound = {value.get<double>(), exclusive};
  constexpr double kEnd = 0x1p63;
  const bool fits =
      value.is_number_unsigned() ? value.get<uint64_t>() <= INT64_MAX : bound.value > -kEnd;
  if (!value.is_number_integer() || !fits) return bound;
  bound.whole = value.get<int64_t>();
  const bool above = bound.value >= kEnd || static_cast<int64_t>(bound.value) > *bound.whole;
  const bool below = !above && static_cast<int64_t>(bound.value) < *bound.whole;
  if (lower ? below : above) {
    bound.value = std::nextafter(bound.value, lower ? HUGE_VAL : -HUGE_VAL);
  }
  return bound;
}

// As grammars of numbers between bounds spell them.
std::string without_exponent(double value) {
  std::array<char, 400> text{};
  const auto end = std::to_chars(text.begin(), text.end(), value, std::chars_format::fixed).ptr;
  return {text.begin(), end};
}

// Reads values of one type by the keywords about it; null where there are none.
Result<std::unique_ptr<GrammarAutomaton>> keyword_reader(const std::string& type,
                                                         const OrderedJson& schema,
                                                         const std::string& place,
                                                         TextBudget& budget) {
  OrderedJson alone = {{"type", type}};
  for (const auto& [key, rule] : schema.items()) {
    const auto known = schema_keyword_types().find(key);
    if (known == schema_keyword_types().end() || known->second != type) continue;
    if (key == "format" && !knows_whole_format(rule)) continue;
    if (type == "object" || type == "array") {
      return unsupported(fmt::format("{}.{} beside enum or const is not supported", place, key));
    }
    alone[key] = rule;
  }
  if (alone.size() == 1) return std::unique_ptr<GrammarAutomaton>();
  Grammar grammar;
  grammar.declare(place);
  LOOPLM_ASSIGN_OR_RETURN(grammar.rules[0].expression,
                          type == "string" ? schema_string(alone, place, budget)
                                           : schema_number(type, alone, place, grammar));
  LOOPLM_ASSIGN_OR_RETURN(GrammarProgram program, compile_grammar(grammar, budget.readers));
  return std::make_unique<GrammarAutomaton>(
      std::make_shared<const GrammarProgram>(std::move(program)));
}

// " with minLength 3 and maxLength 5".
std::string said_of(const MemberCounts& length) {
  std::string said;
  if (length.least > 0) said = fmt::format(" with minLength {}", length.least);
  if (length.most == kUnbounded) return said;
  return said + fmt::format(" {} maxLength {}", said.empty() ? "with" : "and", length.most);
}

// Constants of which the part of a format that is known here says nothing may be of it or not.
Status check_format(const std::set<std::string>& constants, const OrderedJson& format,
                    const std::string& place, TextBudget& budget) {
  OrderedJson names = OrderedJson::object();
  auto& all = names.get_ref<OrderedJson::object_t&>();
  for (const std::string& constant : constants) all.emplace_back(constant, true);
  const OrderedJson alone = {{"type", "string"}, {"format", format}};
  LOOPLM_ASSIGN_OR_RETURN(const ExpressionPtr known, schema_string(alone, place, budget));
  LOOPLM_ASSIGN_OR_RETURN(const std::vector<std::string> matching,
                          keys_that_match(names, known, place, budget.readers));
  const std::set<std::string> sure(matching.begin(), matching.end());
  for (const std::string& constant : constants) {
    if (sure.contains(constant)) continue;
    return unsupported(fmt::format(
        "{}.format is {}: looplm knows only the usual texts of this format and cannot tell "
        "whether '{}' is valid",
        place, dump_json(format), shortened(constant)));
  }
  return {};
}

}  // namespace

const std::map<std::string, std::string>& schema_keyword_types() {
  static const std::map<std::string, std::string> types = {{"properties", "object"},
                                                           {"required", "object"},
                                                           {"additionalProperties", "object"},
                                                           {"minProperties", "object"},
                                                           {"maxProperties", "object"},
                                                           {"patternProperties", "object"},
                                                           {"propertyNames", "object"},
                                                           {kClosed, "object"},
                                                           {"items", "array"},
                                                           {"prefixItems", "array"},
                                                           {"minItems", "array"},
                                                           {"maxItems", "array"},
                                                           {"contains", "array"},
                                                           {"minContains", "array"},
                                                           {"maxContains", "array"},
                                                           {"minLength", "string"},
                                                           {"maxLength", "string"},
                                                           {"pattern", "string"},
                                                           {"format", "string"},
                                                           {"minimum", "number"},
                                                           {"maximum", "number"},
                                                           {"exclusiveMinimum", "number"},
                                                           {"exclusiveMaximum", "number"},
                                                           {"multipleOf", "number"},
                                                           {"uniqueItems", "array"}};
  return types;
}

Status check_schema_keywords(const OrderedJson& schema, const std::string& place) {
  for (const char* key : {"$dynamicRef", "$recursiveRef"}) {
    if (schema.contains(key)) return unsupported(fmt::format("{}.{} is not supported", place, key));
  }
  return {};
}

bool is_schema_constraint(const std::string& key) {
  static const std::set<std::string> others = {"type",
                                               "enum",
                                               "const",
                                               "$ref",
                                               "allOf",
                                               "anyOf",
                                               "oneOf",
                                               "not",
                                               "if",
                                               "dependentRequired",
                                               "dependentSchemas",
                                               "dependencies"};
  return others.contains(key) || schema_keyword_types().contains(key);
}

Result<MemberCounts> schema_counts(const OrderedJson& schema, const char* least_key,
                                   const char* most_key, const std::string& place) {
  LOOPLM_ASSIGN_OR_RETURN(const int64_t least, count(schema, least_key, 0, kMostCount, place));
  // A limit that no answer reaches is as good as a lower one.
  LOOPLM_ASSIGN_OR_RETURN(int64_t most,
                          count(schema, most_key, kUnbounded, int64_t{1} << 62, place));
  most = std::min(most, kMostCount);
  if (most != kUnbounded && most < least) {
    return invalid_argument(fmt::format("{}: {} is {} and {} is {}, so that nothing matches", place,
                                        least_key, least, most_key, most));
  }
  return MemberCounts{least, most};
}

Result<ExpressionPtr> schema_string(const OrderedJson& schema, const std::string& place,
                                    TextBudget& budget) {
  LOOPLM_ASSIGN_OR_RETURN(const MemberCounts length,
                          schema_counts(schema, "minLength", "maxLength", place));
  const bool bounded = length.least > 0 || length.most != kUnbounded;
  for (const char* key : {"pattern", "format"}) {
    if (schema.contains(key) && !schema[key].is_string()) {
      return invalid_argument(
          fmt::format("{}.{} is {}; expected a text", place, key, dump_json(schema[key])));
    }
  }
  ExpressionPtr inside;
  if (schema.contains("format")) {
    LOOPLM_ASSIGN_OR_RETURN(inside, formatted(schema["format"], place));
    if (inside != nullptr && bounded) {
      LOOPLM_ASSIGN_OR_RETURN(inside,
                              of_length(inside, length.least, length.most, OtherLengths::kSomeMayGo,
                                        place + ".format" + said_of(length), budget));
    }
  }
  if (schema.contains("pattern")) {
    Result<ExpressionPtr> pattern =
        parse_search_pattern(schema["pattern"].get<std::string>(), PatternText::kPlain);
    if (!pattern.ok()) return pattern.status().with_context(place + ".pattern");
    // A format has the length already.
    if (bounded && inside == nullptr) {
      LOOPLM_ASSIGN_OR_RETURN(*pattern,
                              of_length(*pattern, length.least, length.most, OtherLengths::kAllStay,
                                        place + ".pattern" + said_of(length), budget));
    }
    inside = inside == nullptr ? *pattern : overlap({*pattern, std::move(inside)}, {});
  }
  if (inside == nullptr) return json_string(length.least, length.most);
  return sequence({text("\""), json_string_form(inside), text("\"")});
}

Result<ExpressionPtr> schema_plain_string(const OrderedJson& schema, const std::string& place,
                                          TextBudget& budget) {
  if (schema.contains("pattern") || schema.contains("format")) {
    return schema_string(schema, place, budget);
  }
  OrderedJson spelled = schema;
  spelled["pattern"] = "^";
  return schema_string(spelled, place, budget);
}

Result<ExpressionPtr> schema_number(const std::string& type, const OrderedJson& schema,
                                    const std::string& place, Grammar& grammar) {
  NumberRange range;
  const auto tighten = [&](const char* key, bool exclusive, bool lower) -> Status {
    if (!schema.contains(key)) return {};
    OrderedJson value = schema[key];
    if (exclusive && value.is_boolean()) {  // draft 4: says whether the plain bound is exclusive
      const char* const bound = lower ? "minimum" : "maximum";
      if (value == false || !schema.contains(bound)) return {};
      value = schema[bound];
    }
    if (!value.is_number() || !std::isfinite(value.get<double>())) {
      return invalid_argument(
          fmt::format("{}.{} is {}; expected a number", place, key, dump_json(value)));
    }
    const NumberBound bound = number_bound(value, exclusive, lower);
    std::optional<NumberBound>& old = lower ? range.least : range.most;
    const bool tighter = !old.has_value() ||
                         (lower ? bound.value > old->value : bound.value < old->value) ||
                         (bound.value == old->value && exclusive);
    if (tighter) old = bound;
    return {};
  };
  LOOPLM_RETURN_IF_ERROR(tighten("minimum", false, true));
  LOOPLM_RETURN_IF_ERROR(tighten("exclusiveMinimum", true, true));
  LOOPLM_RETURN_IF_ERROR(tighten("maximum", false, false));
  LOOPLM_RETURN_IF_ERROR(tighten("exclusiveMaximum", true, false));
  if (range.least.has_value() && range.most.has_value() &&
      (range.least->value > range.most->value ||
       (range.least->value == range.most->value &&
        (range.least->exclusive || range.most->exclusive)))) {
    return invalid_argument(fmt::format("{}: no number lies between {} and {}", place,
                                        range.least->value, range.most->value));
  }
  if (schema.contains("multipleOf")) {
    const OrderedJson& factor = schema["multipleOf"];
    const double value = factor.is_number() ? factor.get<double>() : -1;
    if (!(value > 0) || !std::isfinite(value)) {
      return invalid_argument(
          fmt::format("{}.multipleOf is {}; expected a number above 0", place, dump_json(factor)));
    }
    Result<ExpressionPtr> multiples = json_multiples_in(range, value, type == "integer", grammar);
    if (!multiples.ok()) return multiples.status().with_context(place);
    return multiples;
  }
  Result<ExpressionPtr> all = type == "number" ? json_number_in(range) : json_integer_in(range);
  if (!all.ok()) return all.status().with_context(place);
  return all;
}

bool knows_whole_format(const OrderedJson& format) {
  if (!format.is_string()) return true;  // and is refused elsewhere
  const TextFormat known = text_format(format.get<std::string>());
  return known.text == nullptr || known.whole;
}

Result<std::vector<OrderedJson>> all_values(const OrderedJson& schema, const std::string& place) {
  if (!schema.is_object()) return std::vector<OrderedJson>();
  if (schema.contains("const") || schema.contains("enum")) {
    LOOPLM_ASSIGN_OR_RETURN(const std::vector<OrderedJson> all, listed_values(schema, place));
    std::set<Json> known;
    std::vector<OrderedJson> values;
    for (const OrderedJson& value : all) {
      if (known.insert(Json(value)).second) values.push_back(value);
    }
    return values;
  }
  const OrderedJson type = schema.value("type", OrderedJson());
  if (type == "boolean") return std::vector<OrderedJson>{false, true};
  const auto bound = [&](const char* inclusive, const char* exclusive) -> std::optional<double> {
    for (const char* key : {inclusive, exclusive}) {
      if (schema.contains(key) && schema[key].is_number()) return schema[key].get<double>();
    }
    return std::nullopt;
  };
  const std::optional<double> least = bound("minimum", "exclusiveMinimum");
  const std::optional<double> most = bound("maximum", "exclusiveMaximum");
  constexpr double kMostValues = 1'000;
  std::vector<OrderedJson> values;
  if (type != "integer" || !least || !most || *most < *least) return values;
  if (std::floor(*most) - std::ceil(*least) + 1 > kMostValues) {
    return unsupported(
        fmt::format("{} beside uniqueItems has more than {} integers between {} and "
                    "{}, which is too many",
                    place, kMostValues, *least, *most));
  }
  if (std::max(std::abs(*least), std::abs(*most)) > 1e9) return values;
  for (auto i = static_cast<int64_t>(std::floor(*least)); static_cast<double>(i) <= *most; ++i) {
    values.emplace_back(i);
  }
  return values;
}

Result<std::vector<std::string>> schema_constant_texts(const OrderedJson& schema,
                                                       const std::vector<OrderedJson>& values,
                                                       const std::string& place,
                                                       TextBudget& budget) {
  std::vector<std::string> texts;
  std::set<std::string> strings;                                     // among them
  std::map<std::string, std::unique_ptr<GrammarAutomaton>> readers;  // by type
  for (const OrderedJson& value : values) {
    if (schema.contains("type") && !is_of_type(value, schema["type"])) continue;
    const std::string type = value.is_number() ? "number" : value.type_name();
    const auto [reader, fresh] = readers.try_emplace(type);
    if (fresh) {
      LOOPLM_ASSIGN_OR_RETURN(reader->second, keyword_reader(type, schema, place, budget));
    }
    std::string text = dump_json(value);
    if (reader->second != nullptr) {
      GrammarAutomaton::StateId state = reader->second->start();
      if (value.is_number() && std::abs(value.get<double>()) >= 1e16) {
        return unsupported(fmt::format("{}: bounds beside {}, a constant of more than {} digits",
                                       place, text, kMostDigits));
      }
      const std::string plain = value.is_number_float() ? without_exponent(value) : text;
      for (const char c : plain) state = reader->second->after(state, static_cast<uint8_t>(c));
      if (state == GrammarAutomaton::kLost) {
        return unsupported(fmt::format("{}: a pattern reads {} in too many ways", place, text));
      }
      if (!reader->second->accepts(state)) continue;
    }
    if (value.is_string()) strings.insert(value.get<std::string>());
    texts.push_back(std::move(text));
  }
  if (schema.contains("format") && !knows_whole_format(schema["format"])) {
    LOOPLM_RETURN_IF_ERROR(check_format(strings, schema["format"], place, budget));
  }
  return texts;
}

OrderedJson schema_without_types(OrderedJson schema, const OrderedJson& denied) {
  OrderedJson kept = OrderedJson::array();
  static const OrderedJson kAll = {"object", "array", "string", "number", "boolean", "null"};
  const OrderedJson given = schema.value("type", kAll);
  for (const OrderedJson& type : given.is_array() ? given : OrderedJson::array({given})) {
    const bool is_denied =
        names_type(denied, type) || (type == "integer" && names_type(denied, "number"));
    if (!is_denied) kept.push_back(type);
  }
  schema["type"] = std::move(kept);
  return schema;
}

}  // namespace looplm
