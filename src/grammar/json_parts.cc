#include "grammar/json_parts.h"

#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

#include "grammar/pattern.h"
#include "text/utf8.h"

namespace looplm {
namespace {

constexpr int64_t kMostExponentDigits = 3;

ExpressionPtr digit() { return characters({{'0', '9'}}); }
ExpressionPtr hex_digit() { return characters({{'0', '9'}, {'A', 'F'}, {'a', 'f'}}); }

std::vector<uint32_t> code_points(const std::string& utf8) {
  std::vector<uint32_t> points;
  for (std::string_view rest = utf8; !rest.empty();) {
    const Utf8Step step = utf8_step(rest);
    points.push_back(
        step.kind == Utf8Step::Kind::kCharacter ? utf8_decode(rest.substr(0, step.size)) : 0xFFFD);
    rest.remove_prefix(step.size);
  }
  return points;
}

// texts[first, last), sorted and different, from byte `at` on.
ExpressionPtr text_tree(const std::vector<std::string>& texts, size_t first, size_t last,
                        size_t at) {
  if (last - first == 1) return text(texts[first].substr(at));
  // What all of them share; the first and the last share the least.
  const std::string& low = texts[first];
  const std::string& high = texts[last - 1];
  size_t shared = at;
  while (shared < low.size() && low[shared] == high[shared]) ++shared;
  std::vector<ExpressionPtr> choices;
  size_t begin = first;
  if (low.size() == shared) {
    choices.push_back(text(""));
    ++begin;
  }
  while (begin < last) {
    size_t end = begin + 1;
    while (end < last && texts[end][shared] == texts[begin][shared]) ++end;
    choices.push_back(text_tree(texts, begin, end, shared));
    begin = end;
  }
  ExpressionPtr rest = choice(std::move(choices));
  if (shared == at) return rest;
  return sequence({text(low.substr(at, shared - at)), std::move(rest)});
}

// What may follow inside the quotes after a beginning that `keys` share, their characters from `at`
// on: anything that makes none of them. Other spellings of a character (\u0061) would hide a key,
// so only the usual one is allowed.
ExpressionPtr string_rest_but(const std::vector<std::vector<uint32_t>>& keys, size_t at,
                              const StringRest& rest) {
  std::map<uint32_t, std::vector<std::vector<uint32_t>>> by_next;
  bool is_key = false;
  for (const std::vector<uint32_t>& key : keys) {
    if (key.size() == at) {
      is_key = true;
    } else {
      by_next[key[at]].push_back(key);
    }
  }
  std::vector<CharacterRange> taken;
  bool all_single = true;
  std::vector<ExpressionPtr> choices;
  for (const auto& [next, longer] : by_next) {
    taken.emplace_back(next, next);
    all_single = all_single && next >= ' ' && next <= 0x7F && next != '"' && next != '\\';
    choices.push_back(sequence({json_string_characters(characters({{next, next}})),
                                string_rest_but(longer, at + 1, rest)}));
  }
  if (all_single) {
    taken.insert(taken.end(), {{0, 0x1F}, {'"', '"'}, {'\\', '\\'}, {0x80, kLastCharacter}});
    choices.push_back(rest.marked);
  }
  choices.push_back(sequence({json_string_characters(characters_but(std::move(taken))), rest.any}));
  if (!is_key) choices.push_back(text(""));
  return choice(std::move(choices));
}

}  // namespace

ExpressionPtr json_space() {
  static const ExpressionPtr space =
      choice({text(""), text(" "),
              sequence({repeat(text("\n"), 1, 2),
                        repeat(characters({{' ', ' '}, {'\t', '\t'}}), 0, 20)})});
  return space;
}

ExpressionPtr json_comma() { return sequence({text(","), json_space()}); }

ExpressionPtr json_string_character() {
  static const ExpressionPtr character = [] {
    const ExpressionPtr hex = hex_digit();
    const ExpressionPtr not_d =
        characters({{'0', '9'}, {'A', 'C'}, {'E', 'F'}, {'a', 'c'}, {'e', 'f'}});
    const ExpressionPtr d = characters({{'D', 'D'}, {'d', 'd'}});
    const ExpressionPtr high = characters({{'8', '9'}, {'A', 'B'}, {'a', 'b'}});
    const ExpressionPtr low = characters({{'C', 'F'}, {'c', 'f'}});
    return choice({characters_but({{0, 0x1F}, {'"', '"'}, {'\\', '\\'}}),
                   sequence({text("\\"), characters({{'"', '"'},
                                                     {'/', '/'},
                                                     {'\\', '\\'},
                                                     {'b', 'b'},
                                                     {'f', 'f'},
                                                     {'n', 'n'},
                                                     {'r', 'r'},
                                                     {'t', 't'}})}),
                   sequence({text("\\u"), not_d, hex, hex, hex}),
                   sequence({text("\\u"), d, characters({{'0', '7'}}), hex, hex}),
                   sequence({text("\\u"), d, high, hex, hex, text("\\u"), d, low, hex, hex})});
  }();
  return character;
}

ExpressionPtr json_string(int64_t least, int64_t most) {
  return sequence({text("\""), repeat(json_string_character(), least, most), text("\"")});
}

ExpressionPtr json_integer() {
  static const ExpressionPtr integer = sequence(
      {optional(text("-")), choice({text("0"), sequence({characters({{'1', '9'}}),
                                                         repeat(digit(), 0, kMostDigits - 1)})})});
  return integer;
}

ExpressionPtr json_number() {
  static const ExpressionPtr number =
      sequence({json_integer(), optional(sequence({text("."), repeat(digit(), 1, kMostDigits)})),
                optional(sequence({characters({{'E', 'E'}, {'e', 'e'}}),
                                   optional(characters({{'+', '+'}, {'-', '-'}})),
                                   repeat(digit(), 1, kMostExponentDigits)}))});
  return number;
}

ExpressionPtr one_of_texts(std::vector<std::string> texts) {
  std::sort(texts.begin(), texts.end());
  texts.erase(std::unique(texts.begin(), texts.end()), texts.end());
  return texts.empty() ? choice({}) : text_tree(texts, 0, texts.size(), 0);
}

StringRest json_string_rest() {
  return {repeat(json_string_characters(characters_but({})), 0, kUnbounded),
          json_string_characters(characters_but({{' ', '!'}, {'#', '['}, {']', 0x7F}}))};
}

ExpressionPtr json_string_but(const std::vector<std::string>& keys, const StringRest& rest) {
  std::vector<std::vector<uint32_t>> points;
  for (const std::string& key : keys) points.push_back(code_points(key));
  return sequence({text("\""), string_rest_but(points, 0, rest), text("\"")});
}

TextFormat text_format(const std::string& name) {
  // From year 1 on; 29 February in leap years.
  const std::string year = "([0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)";
  const std::string leap_year =
      "([0-9]{2}(0[48]|[2468][048]|[13579][26])|(0[48]|[2468][048]|[13579][26])00)";
  const std::string date = "(" + year +
                           "-((0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])|(0[13-9]|1[0-2])-(29|30)|"
                           "(0[13578]|1[02])-31)|" +
                           leap_year + "-02-29)";
  const std::string clock =
      "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9]"
      ")";
  const std::string label = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?";
  const std::string byte = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
  const std::string group = "[0-9A-Fa-f]{1,4}";
  std::string ipv6 = group + "(:" + group + "){7}|(" + group + ":){1,7}:|:(:" + group + "){1,7}|::";
  for (int before = 1; before <= 6; ++before) {  // groups before "::", and after it
    ipv6 += fmt::format("|({}:){{{}}}(:{}){{1,{}}}", group, before, group, 7 - before);
  }
  const std::string in_uri = "([A-Za-z0-9._~:/?@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})";
  const std::string in_path = "([A-Za-z0-9._~@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})";
  const std::string pointer = "(/([^~/]|~[01])*)*";
  const std::map<std::string, std::string> patterns = {
      {"date", date},
      {"time", clock},
      {"date-time", date + "T" + clock},
      {"duration",
       fmt::format("P({0}W|{0}D|({0}Y)?{0}M({0}D)?|{0}Y|({0}D)?T({0}H({0}M({0}S)?)?|{0}M({0}S)?|"
                   "{0}S))",
                   "[0-9]{1,9}")},  // no unit between two others is left out
      {"email", "[A-Za-z0-9_+-]+(\\.[A-Za-z0-9_+-]+)*@" + label + "(\\." + label + ")+"},
      // At most 253 characters.
      {"hostname", label + "(\\.[A-Za-z0-9]([A-Za-z0-9-]{0,28}[A-Za-z0-9])?){0,6}"},
      {"ipv4", byte + "(\\." + byte + "){3}"},
      {"ipv6", ipv6},
      {"uuid", "[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"},
      {"uri", "[A-Za-z][A-Za-z0-9+.-]*:" + in_uri + "+(#" + in_uri + "*)?"},
      {"uri-reference", in_path + "*([/?]" + in_uri + "*)?(#" + in_uri + "*)?"},
      {"uri-template", "(" + in_uri + "|\\{[A-Za-z0-9_]+(\\.[A-Za-z0-9_]+)*\\})*"},
      {"json-pointer", pointer},
      {"relative-json-pointer", "(0|[1-9][0-9]{0,15})(#|" + pointer + ")"},
  };
  // Narrower than the format allows.
  const std::map<std::string, std::string> narrower = {{"iri", "uri"},
                                                       {"iri-reference", "uri-reference"},
                                                       {"idn-email", "email"},
                                                       {"idn-hostname", "hostname"}};
  const std::set<std::string> whole = {"ipv4", "uuid", "json-pointer"};
  const auto wider = narrower.find(name);
  const auto known = patterns.find(wider == narrower.end() ? name : wider->second);
  if (known == patterns.end()) return {};
  return {parse_full_pattern(known->second).value(), whole.contains(name)};
}

}  // namespace looplm
