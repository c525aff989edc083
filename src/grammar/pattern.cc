#include "grammar/pattern.h"

#include <map>
#include <optional>

#include <fmt/format.h>
#include <unicode/uniset.h>

#include "base/shortened.h"
#include "grammar/scanner.h"

namespace looplm {
namespace {

constexpr int kMostGroupDepth = 200;
constexpr size_t kMostRanges = 100'000;  // of Unicode's classes
constexpr int kMostAheads = 16;          // each place that looks ahead nests what follows it

using Ranges = std::vector<CharacterRange>;

const Ranges& digits() {
  static const Ranges ranges = {{'0', '9'}};
  return ranges;
}
const Ranges& word_characters() {
  static const Ranges ranges = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
  return ranges;
}
const Ranges& spaces() {
  static const Ranges ranges = {
      {'\t', '\r'},     {' ', ' '},       {0xA0, 0xA0},     {0x1680, 0x1680}, {0x2000, 0x200A},
      {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000}, {0xFEFF, 0xFEFF}};
  return ranges;
}
const Ranges& line_ends() {
  static const Ranges ranges = {{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}};
  return ranges;
}

// The characters with a property, by what stands in the braces of \p{...}: a general category, a
// script, or another property that Unicode names. None where there is no such property.
std::optional<Ranges> unicode_property(const std::string& name) {
  const icu::UnicodeString pattern = icu::UnicodeString::fromUTF8(fmt::format("[\\p{{{}}}]", name));
  UErrorCode error = U_ZERO_ERROR;
  const icu::UnicodeSet set(pattern, error);
  if (U_FAILURE(error) != 0) return std::nullopt;
  Ranges ranges;
  for (int32_t i = 0; i < set.getRangeCount(); ++i) {
    ranges.emplace_back(static_cast<uint32_t>(set.getRangeStart(i)),
                        static_cast<uint32_t>(set.getRangeEnd(i)));
  }
  return ranges;
}

// One of \d \D \w \W \s \S, by its letter.
std::optional<Ranges> class_of(uint32_t letter) {
  switch (letter) {
    case 'd':
      return digits();
    case 'w':
      return word_characters();
    case 's':
      return spaces();
    case 'D':
      return characters_but(digits())->ranges;
    case 'W':
      return characters_but(word_characters())->ranges;
    case 'S':
      return characters_but(spaces())->ranges;
    default:
      return std::nullopt;
  }
}

bool is_ascii_letter(uint32_t c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// A piece of the pattern: what it matches, and whether it is bound to an end of the text.
struct Piece {
  ExpressionPtr expression;
  bool at_start = false;
  bool at_end = false;
};

// Whether a pattern must match a text as a whole, or some part of it.
enum class PatternMatch { kWhole, kSome };

class PatternParser {
 public:
  PatternParser(const std::string& pattern, PatternMatch match)
      : in_(pattern, fmt::format("pattern '{}'", shortened(pattern))), match_(match) {}

  // Alternatives at the top, each of which may be bound to the ends.
  Result<std::vector<Piece>> parse() {
    std::vector<Piece> pieces;
    do {
      LOOPLM_ASSIGN_OR_RETURN(Piece piece, parse_piece(0, match_, match_ == PatternMatch::kWhole));
      if (in_.peek() == ')') return in_.error("has a ')' without its '('");
      if (!in_.at_end() && in_.peek() != '|') return in_.error("'$' stands before the end");
      pieces.push_back(std::move(piece));
    } while (in_.take("|"));
    return pieces;
  }

 private:
  // (?=...) or (?!...): what follows its place does, or does not, begin so.
  struct Ahead {
    size_t place = 0;  // in the sequence's parts
    bool negative = false;
    ExpressionPtr rest;  // all that may follow, to the text's end
  };
  // What a sequence may have that stands in no group.
  struct Outside {
    bool at_start = false;  // the text's
    std::vector<Ahead> aheads{};
  };

  // `first`: it stands at the text's start in any case.
  Result<Piece> parse_piece(int depth, PatternMatch match, bool first) {
    Piece piece;
    piece.at_start = in_.take("^");
    Outside outside = {piece.at_start || first};
    LOOPLM_ASSIGN_OR_RETURN(std::vector<ExpressionPtr> parts, parse_parts(depth, &outside));
    std::vector<Ahead>& aheads = outside.aheads;
    piece.at_end = in_.take("$");
    const auto from = [&parts](size_t begin, size_t end) {
      return std::vector<ExpressionPtr>(parts.begin() + static_cast<ptrdiff_t>(begin),
                                        parts.begin() + static_cast<ptrdiff_t>(end));
    };
    if (aheads.empty()) {
      piece.expression = sequence(std::move(parts));
      return piece;
    }
    // From the last place backwards: all that may follow it.
    ExpressionPtr rest = piece.at_end || match == PatternMatch::kWhole ? text("") : any_text();
    size_t end = parts.size();
    while (!aheads.empty()) {
      const size_t place = aheads.back().place;
      std::vector<ExpressionPtr> after = from(place, end);
      after.push_back(std::move(rest));
      std::vector<ExpressionPtr> with = {sequence(std::move(after))};
      std::vector<ExpressionPtr> without;
      for (; !aheads.empty() && aheads.back().place == place; aheads.pop_back()) {
        (aheads.back().negative ? without : with).push_back(std::move(aheads.back().rest));
      }
      rest = overlap(std::move(with), std::move(without));
      end = place;
    }
    std::vector<ExpressionPtr> all = from(0, end);
    all.push_back(std::move(rest));
    piece.expression = sequence(std::move(all));
    piece.at_end = true;
    return piece;
  }

  // "(?=" or "(?!" has been read. `first`: it stands at the text's start.
  Result<ExpressionPtr> parse_ahead(int depth, bool first) {
    std::vector<ExpressionPtr> choices;
    do {
      if (in_.peek() == '^' && !first) return in_.error("'^' stands after the start");
      LOOPLM_ASSIGN_OR_RETURN(Piece piece, parse_piece(depth + 1, PatternMatch::kSome, first));
      choices.push_back(piece.at_end ? piece.expression : sequence({piece.expression, any_text()}));
    } while (in_.take("|"));
    if (!in_.take(")")) return in_.error("expected ')'");
    return choice(std::move(choices));
  }

  Result<ExpressionPtr> parse_alternatives(int depth) {
    std::vector<ExpressionPtr> choices;
    do {
      LOOPLM_ASSIGN_OR_RETURN(ExpressionPtr one, parse_sequence(depth));
      choices.push_back(std::move(one));
    } while (in_.take("|"));
    return choice(std::move(choices));
  }

  Result<ExpressionPtr> parse_sequence(int depth) {
    LOOPLM_ASSIGN_OR_RETURN(std::vector<ExpressionPtr> parts, parse_parts(depth, nullptr));
    return sequence(std::move(parts));
  }

  // `outside`: null inside a group, where nobody knows what follows.
  Result<std::vector<ExpressionPtr>> parse_parts(int depth, Outside* outside) {
    if (depth > kMostGroupDepth) {
      return in_.error(fmt::format("groups are nested deeper than {}", kMostGroupDepth));
    }
    std::vector<ExpressionPtr> parts;
    while (!in_.at_end() && in_.peek() != '|' && in_.peek() != ')') {
      if (in_.peek() == '$') {
        if (outside != nullptr) break;
        return in_.error("'$' inside a group is not supported");
      }
      if (in_.peek() == '^') return in_.error("'^' stands after the start");
      const bool negative = in_.starts_with("(?!");
      if (outside != nullptr && (negative || in_.starts_with("(?="))) {
        in_.skip(3);
        if (++aheads_ > kMostAheads) {
          return in_.error(fmt::format("has more than {} look-aheads", kMostAheads));
        }
        LOOPLM_ASSIGN_OR_RETURN(ExpressionPtr rest,
                                parse_ahead(depth, outside->at_start && parts.empty()));
        outside->aheads.push_back({parts.size(), negative, std::move(rest)});
        continue;
      }
      LOOPLM_ASSIGN_OR_RETURN(ExpressionPtr atom, parse_atom(depth));
      LOOPLM_ASSIGN_OR_RETURN(atom, parse_repeats(std::move(atom)));
      parts.push_back(std::move(atom));
    }
    return parts;
  }

  Result<ExpressionPtr> parse_atom(int depth) {
    if (in_.take("(")) return parse_group(depth);
    if (in_.take("[")) return parse_class();
    if (in_.take(".")) return characters(characters_but(line_ends())->ranges);
    if (in_.take("\\")) return parse_escape();
    const char c = in_.peek();
    if (c == '*' || c == '+' || c == '?') {
      return in_.error(fmt::format("'{}' has nothing to repeat", c));
    }
    LOOPLM_ASSIGN_OR_RETURN(const uint32_t character, in_.character());
    return characters({{character, character}});
  }

  Result<ExpressionPtr> parse_group(int depth) {
    if (in_.take("?")) {
      if (in_.take("P<") ||
          (in_.starts_with("<") && in_.peek(1) != '=' && in_.peek(1) != '!' && in_.take("<"))) {
        while (!in_.at_end() && in_.peek() != '>') in_.skip();
        if (!in_.take(">")) return in_.error("the group's name does not end");
      } else if (!in_.take(":")) {
        return in_.error(in_.peek() == '<' ? "look-behind is not supported"
                         : in_.peek() == '=' || in_.peek() == '!'
                             ? "look-ahead inside a group is not supported"
                             : "flags inside a pattern are not supported");
      }
    }
    LOOPLM_ASSIGN_OR_RETURN(ExpressionPtr inside, parse_alternatives(depth + 1));
    if (!in_.take(")")) return in_.error("expected ')'");
    return inside;
  }

  // One of \d, \p{...} and their like, whose letter has been read; nothing for other escapes.
  Result<std::optional<Ranges>> class_of_escape(uint32_t letter) {
    if (letter != 'p' && letter != 'P') return class_of(letter);
    std::string name;
    if (!in_.take("{")) return in_.error("expected '{' after '\\p'");
    while (in_.peek() == '_' || in_.peek() == '=' || in_.peek() == ' ' ||
           (in_.peek() >= '0' && in_.peek() <= '9') ||
           is_ascii_letter(static_cast<uint8_t>(in_.peek()))) {
      name += in_.peek();
      in_.skip();
    }
    if (!in_.take("}")) return in_.error("the property's name does not end with '}'");
    const auto [place, fresh] = properties_.try_emplace(name);
    if (fresh) place->second = unicode_property(name);
    std::optional<Ranges> known = place->second;
    if (!known) return in_.error(fmt::format("there is no Unicode property '{}'", name));
    if (letter == 'P') known = characters_but(std::move(*known))->ranges;
    ranges_ += known->size();
    if (ranges_ > kMostRanges) {
      return in_.error(fmt::format("the classes have more than {} ranges together", kMostRanges));
    }
    return known;
  }

  // The character of an escape whose backslash and letter have been read.
  Result<uint32_t> escaped_character(uint32_t letter) {
    switch (letter) {
      case 'n':
        return uint32_t{'\n'};
      case 'r':
        return uint32_t{'\r'};
      case 't':
        return uint32_t{'\t'};
      case 'f':
        return uint32_t{'\f'};
      case 'v':
        return uint32_t{'\v'};
      case '0':
        return uint32_t{0};
      case 'x':
        return in_.hexadecimal(2);
      case 'u': {
        if (!in_.take("{")) return unicode_escape();
        uint32_t value = 0;
        do {
          LOOPLM_ASSIGN_OR_RETURN(const uint32_t digit, in_.hexadecimal(1));
          value = value * 16 + digit;
          if (value > kLastCharacter) return in_.error("is beyond Unicode");
        } while (!in_.take("}"));
        return value;
      }
      case 'c': {
        LOOPLM_ASSIGN_OR_RETURN(const uint32_t c, in_.character());
        if (!is_ascii_letter(c)) return in_.error("expected a letter after '\\c'");
        return c % 32;
      }
      default:
        if (is_ascii_letter(letter) || (letter >= '1' && letter <= '9')) {
          return in_.error(letter == 'b' || letter == 'B' ? "word boundaries are not supported"
                           : letter == 'k' || (letter >= '1' && letter <= '9')
                               ? "back-references are not supported"
                               : fmt::format("unknown escape '\\{}'", static_cast<char>(letter)));
        }
        return letter;
    }
  }

  Result<uint32_t> unicode_escape() {
    LOOPLM_ASSIGN_OR_RETURN(const uint32_t high, in_.hexadecimal(4));
    if (high < 0xD800 || high > 0xDBFF) return high;
    if (!in_.take("\\u")) return in_.error("half of a surrogate pair");
    LOOPLM_ASSIGN_OR_RETURN(const uint32_t low, in_.hexadecimal(4));
    if (low < 0xDC00 || low > 0xDFFF) return in_.error("half of a surrogate pair");
    return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
  }

  Result<ExpressionPtr> parse_escape() {
    LOOPLM_ASSIGN_OR_RETURN(const uint32_t letter, in_.character());
    LOOPLM_ASSIGN_OR_RETURN(const std::optional<Ranges> known, class_of_escape(letter));
    if (known) return characters(*known);
    LOOPLM_ASSIGN_OR_RETURN(const uint32_t c, escaped_character(letter));
    return characters({{c, c}});
  }

  Result<ExpressionPtr> parse_class() {
    const bool inverted = in_.take("^");
    Ranges ranges;
    bool first_place = true;
    while (first_place || in_.peek() != ']') {
      // ECMA-262 reads "[]" as a class that matches nothing.
      if (first_place && in_.peek() == ']') break;
      first_place = false;
      if (in_.at_end()) return in_.error("the class does not end; expected ']'");
      if (in_.starts_with("[:")) {
        return in_.error(
            "'[:' in a class, which dialects read differently; write \"\\[:\" or \\p{L}");
      }
      std::optional<uint32_t> first;
      LOOPLM_RETURN_IF_ERROR(parse_member(ranges, first));
      if (!first.has_value()) continue;
      uint32_t last = *first;
      if (in_.peek() == '-' && in_.peek(1) != ']' && in_.peek(1) != '\0') {
        in_.skip();
        std::optional<uint32_t> end;
        LOOPLM_RETURN_IF_ERROR(parse_member(ranges, end));
        if (!end.has_value()) return in_.error("a class stands at the end of a range");
        if (*end < *first) return in_.error("a range's end lies before its start");
        last = *end;
      }
      ranges.emplace_back(*first, last);
    }
    in_.skip();
    return inverted ? characters_but(std::move(ranges)) : characters(std::move(ranges));
  }

  // A character of a class, or a class inside it, which is added at once.
  Status parse_member(Ranges& ranges, std::optional<uint32_t>& character) {
    if (!in_.take("\\")) {
      LOOPLM_ASSIGN_OR_RETURN(character, in_.character());
      return {};
    }
    LOOPLM_ASSIGN_OR_RETURN(const uint32_t letter, in_.character());
    LOOPLM_ASSIGN_OR_RETURN(const std::optional<Ranges> known, class_of_escape(letter));
    if (known) {
      ranges.insert(ranges.end(), known->begin(), known->end());
      return {};
    }
    if (letter == 'b') {
      character = '\b';
      return {};
    }
    LOOPLM_ASSIGN_OR_RETURN(character, escaped_character(letter));
    return {};
  }

  Result<ExpressionPtr> parse_repeats(ExpressionPtr atom) {
    int64_t least = 0;
    int64_t most = kUnbounded;
    if (in_.take("*")) {
    } else if (in_.take("+")) {
      least = 1;
    } else if (in_.take("?")) {
      most = 1;
    } else if (in_.peek() == '{' && in_.peek(1) >= '0' && in_.peek(1) <= '9') {
      in_.skip();
      LOOPLM_ASSIGN_OR_RETURN(const auto low, in_.number(Scanner::kMostRepeats));
      least = *low;
      most = least;
      if (in_.take(",")) {
        LOOPLM_ASSIGN_OR_RETURN(const auto high, in_.number(Scanner::kMostRepeats));
        most = high.value_or(kUnbounded);
      }
      if (!in_.take("}")) return in_.error("expected '}'");
      if (most != kUnbounded && most < least) {
        return in_.error(fmt::format("repeats at least {} and at most {} times", least, most));
      }
    } else if (in_.peek() == '{' && in_.peek(1) == ',' && in_.peek(2) >= '0' &&
               in_.peek(2) <= '9') {
      return in_.error("\"{,\" has no lower bound, which dialects read differently; write \"{0,\"");
    } else {
      return atom;
    }
    in_.take("?");  // lazy
    if (in_.peek() == '*' || in_.peek() == '+' || in_.peek() == '?') {
      return in_.error("a repetition is repeated");
    }
    return repeat(std::move(atom), least, most);
  }

  Scanner in_;
  int aheads_ = 0;
  size_t ranges_ = 0;  // of all classes together
  std::map<std::string, std::optional<Ranges>> properties_;
  const PatternMatch match_;
};

}  // namespace

ExpressionPtr json_string_characters(const ExpressionPtr& set) {
  // Quotes, backslashes and control characters stand only escaped; the rest as it is.
  constexpr std::pair<char, const char*> kShort[] = {{'"', "\\\""}, {'\\', "\\\\"}, {'\b', "\\b"},
                                                     {'\f', "\\f"}, {'\n', "\\n"},  {'\r', "\\r"},
                                                     {'\t', "\\t"}};
  std::vector<ExpressionPtr> choices;
  Ranges plain;
  for (const auto& [first, last] : set->ranges) {
    uint32_t next = first;
    for (uint32_t c = first; c <= last && c <= '\\'; ++c) {
      if (c >= 0x20 && c != '"' && c != '\\') continue;
      if (c > next) plain.emplace_back(next, c - 1);
      next = c + 1;
      std::string escaped;
      for (const auto& [character, form] : kShort) {
        if (static_cast<uint32_t>(character) == c) escaped = form;
      }
      if (escaped.empty()) escaped = fmt::format("\\u{:04x}", c);
      choices.push_back(text(std::move(escaped)));
    }
    if (next <= last) plain.emplace_back(next, last);
  }
  if (!plain.empty()) choices.insert(choices.begin(), characters(std::move(plain)));
  return choice(std::move(choices));
}

ExpressionPtr json_string_form(const ExpressionPtr& e) {
  return LeafChanger([](const ExpressionPtr& leaf) {
    return leaf->kind == Expression::Kind::kCharacters ? json_string_characters(leaf) : leaf;
  })(e);
}

Result<ExpressionPtr> parse_search_pattern(const std::string& pattern, PatternText as) {
  LOOPLM_ASSIGN_OR_RETURN(const std::vector<Piece> pieces,
                          PatternParser(pattern, PatternMatch::kSome).parse());
  const ExpressionPtr anything = any_text();
  std::vector<ExpressionPtr> choices;
  for (const Piece& piece : pieces) {
    std::vector<ExpressionPtr> parts;
    if (!piece.at_start) parts.push_back(anything);
    parts.push_back(piece.expression);
    if (!piece.at_end) parts.push_back(anything);
    choices.push_back(sequence(std::move(parts)));
  }
  ExpressionPtr whole = choice(std::move(choices));
  return as == PatternText::kPlain ? whole : json_string_form(whole);
}

Result<ExpressionPtr> parse_full_pattern(const std::string& pattern) {
  LOOPLM_ASSIGN_OR_RETURN(const std::vector<Piece> pieces,
                          PatternParser(pattern, PatternMatch::kWhole).parse());
  std::vector<ExpressionPtr> choices;
  choices.reserve(pieces.size());
  for (const Piece& piece : pieces) choices.push_back(piece.expression);
  return choice(std::move(choices));
}

}  // namespace looplm
