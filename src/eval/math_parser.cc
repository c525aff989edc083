#include "eval/math_parser.h"

#include <algorithm>
#include <array>
#include <utility>

#include "eval/ascii.h"

namespace looplm {
namespace {

using Kind = MathNode::Kind;
using Token = MathToken::Kind;

constexpr int kMostDepth = 64;

// Thrown where tokens are no mathematics, and caught where words may stand instead.
struct NotMath {};

template <size_t n>
bool holds(const std::array<std::string_view, n>& list, std::string_view text) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

std::string small_letters(std::string_view text) {
  std::string small;
  for (const char c : text) small += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return small;
}

// Tokens as text: in small letters, without spaces, points that end something, braces that group,
// and brackets around all of it.
std::string words_of(const std::vector<MathToken>& tokens, size_t begin, size_t end) {
  std::string words;
  for (size_t i = begin; i < end; ++i) {
    const MathToken& token = tokens[i];
    if (token.kind == Token::kOperator && (token.text == "{" || token.text == "}")) continue;
    const bool points = token.kind == Token::kNumber || token.text == "...";
    for (const char c : token.text) {
      if (!is_space(c) && (c != '.' || points)) words += c;
    }
    words += token.repeated;
  }
  if (words.size() > 2 && words.front() == '(' && words.find(')') == words.size() - 1) {
    words = words.substr(1, words.size() - 2);
  }
  return small_letters(words);
}

// Whether words behind a value leave it as it is: "dollars", "square feet", "cm".
bool is_unit(const MathToken& token) {
  constexpr std::array<std::string_view, 26> kShort = {
      "cm", "mm",  "km",  "nm",  "ft", "in", "yd", "mi",  "kg",  "mg", "lb", "lbs", "oz",
      "hr", "hrs", "min", "sec", "ms", "ml", "mL", "mph", "kph", "sq", "cu", "Hz",  "rad"};
  constexpr std::array<std::string_view, 24> kNone = {
      "or",      "and",     "to",       "than", "if",      "mod",   "base",     "times",
      "plus",    "minus",   "over",     "more", "less",    "dozen", "hundred",  "thousand",
      "million", "billion", "trillion", "half", "quarter", "third", "solution", "solutions"};
  if (token.kind != Token::kText && token.kind != Token::kWord) return false;
  if (is_time_of_day(token.text)) return false;
  if (token.kind == Token::kWord && token.text.size() < 4 && !holds(kShort, token.text)) {
    return false;
  }
  for (std::string_view rest = token.text; !rest.empty();) {
    const size_t size = std::min(rest.find_first_of(" /-^."), rest.size());
    if (holds(kNone, rest.substr(0, size))) return false;
    rest.remove_prefix(std::min(size + 1, rest.size()));
  }
  return true;
}

// "\alpha", "\therefore"
bool is_command_name(const MathToken& token) {
  return token.text.size() > 2 && token.text[0] == '\\' && is_letter(token.text[1]);
}

MathNode number(std::string digits) { return {Kind::kNumber, std::move(digits)}; }

MathNode node(Kind kind, std::vector<MathNode> parts, std::string text = {}) {
  return {kind, std::move(text), std::move(parts)};
}

MathNode negative(MathNode x) {
  if (x.kind == Kind::kNumber && x.text[0] != '-') {
    x.text.insert(0, 1, '-');
    return x;
  }
  return node(Kind::kProduct, {number("-1"), std::move(x)});
}

bool is_digits(const MathNode& x) {
  return x.kind == Kind::kNumber && std::all_of(x.text.begin(), x.text.end(), is_digit);
}
// Of whole numbers, between 0 and 1; by length and digits, since they may be long.
bool is_proper_fraction(const MathNode& x) {
  if (x.kind != Kind::kQuotient || !is_digits(x.parts[0]) || !is_digits(x.parts[1])) return false;
  const std::string& a = x.parts[0].text;
  const std::string& b = x.parts[1].text;
  return a[0] != '0' && b[0] != '0' && (a.size() < b.size() || (a.size() == b.size() && a < b));
}

class Parser {
 public:
  explicit Parser(std::vector<MathToken> tokens) : tokens_(std::move(tokens)) {}

  MathNode answer() {
    std::vector<MathNode> elements = list(true);
    if (at_ < tokens_.size()) return {Kind::kText, {}, {}, {}, words_of(tokens_, 0, at_end())};
    if (elements.size() == 1) return std::move(elements[0]);
    MathNode all = node(Kind::kList, std::move(elements));
    all.words = words_of(tokens_, 0, at_end());
    return all;
  }

  std::optional<MathNode> leading_number() {
    const auto starts = [](const MathToken& t) {
      return t.kind == Token::kNumber || t.kind == Token::kCommand;
    };
    at_ =
        static_cast<size_t>(std::find_if(tokens_.begin(), tokens_.end(), starts) - tokens_.begin());
    if (at_ == at_end()) return std::nullopt;
    // What stands before it, from the last "=" on: a sign, but nothing that changes the number.
    size_t before = at_;
    bool minus = false;
    if (before > 0 && tokens_[before - 1].kind == Token::kOperator &&
        (tokens_[before - 1].text == "-" || tokens_[before - 1].text == "+")) {
      const bool first = before == 1;
      const bool apart = first || tokens_[before - 2].kind == Token::kText ||
                         (tokens_[before - 2].kind == Token::kOperator &&
                          !holds(kClosers, tokens_[before - 2].text)) ||
                         tokens_[before - 1].space;
      if (first || (apart && !tokens_[before].space)) minus = tokens_[--before].text == "-";
    }
    for (size_t i = before; i-- > 0;) {
      const MathToken& t = tokens_[i];
      if (t.kind == Token::kOperator && t.text == "=") break;
      if (is_command_name(t)) return std::nullopt;
      if (t.kind == Token::kOperator && i + 1 == before && (t.text == "^" || t.text == "/")) {
        return std::nullopt;
      }
    }
    number_alone_ = true;
    try {
      MathNode found = product();
      const MathToken& next = peek();
      if (next.kind == Token::kCommand || next.text == "^" || next.text == "*" ||
          is_command_name(next)) {
        return std::nullopt;
      }
      return minus ? negative(std::move(found)) : std::move(found);
    } catch (const NotMath&) {
      return std::nullopt;
    }
  }

 private:
  static constexpr std::array<std::string_view, 4> kOpeners = {"(", "[", "{", "\\{"};
  static constexpr std::array<std::string_view, 4> kClosers = {")", "]", "}", "\\}"};

  size_t at_end() const { return tokens_.size(); }
  const MathToken& peek(size_t ahead = 0) const {
    static const MathToken kNothing;
    return at_ + ahead < tokens_.size() ? tokens_[at_ + ahead] : kNothing;
  }
  bool is(std::string_view text, size_t ahead = 0) const {
    return peek(ahead).kind == Token::kOperator && peek(ahead).text == text;
  }
  bool take(std::string_view text) {
    if (!is(text)) return false;
    ++at_;
    return true;
  }
  void expect(std::string_view text) {
    if (!take(text)) throw NotMath();
  }
  bool is_comma() const { return is(",") || is("and") || is("or"); }
  bool is_closer() const { return peek().kind == Token::kOperator && holds(kClosers, peek().text); }
  bool ends_element() const { return at_ == at_end() || is_comma() || is_closer(); }

  // `spread`: an element with a sign of two values is two elements.
  std::vector<MathNode> list(bool spread) {
    std::vector<MathNode> elements;
    while (true) {
      while (is_comma()) ++at_;
      if (ends_element() && !elements.empty()) return elements;
      MathNode next = element();
      if (spread && has_two_signs(next)) {
        for (const bool plus : {true, false}) {
          MathNode one = next;
          choose_sign(one, plus);
          one.words += plus ? "+" : "-";
          elements.push_back(std::move(one));
        }
      } else {
        elements.push_back(std::move(next));
      }
      if (!is_comma()) return elements;
    }
  }

  MathNode element() {
    const size_t begin = at_;
    const bool bars = in_bars_, angle = of_angle_;
    MathNode result;
    try {
      result = relation();
      if (!ends_element()) throw NotMath();
    } catch (const NotMath&) {
      at_ = begin;
      in_bars_ = bars;
      of_angle_ = angle;
      skip_element();
      result = MathNode();
    }
    result.words = words_of(tokens_, begin, at_);
    return result;
  }

  void skip_element() {
    for (int depth = 0; at_ < at_end() && (depth > 0 || !ends_element()); ++at_) {
      depth += nesting(peek());
    }
  }

  // What a token adds to the depth of brackets.
  static int nesting(const MathToken& token) {
    if (token.kind != Token::kOperator) return 0;
    return (holds(kOpeners, token.text) ? 1 : 0) - (holds(kClosers, token.text) ? 1 : 0);
  }

  static bool has_two_signs(const MathNode& x) {
    return x.kind == Kind::kPlusMinus ||
           (x.kind != Kind::kBracket && x.kind != Kind::kSet &&
            std::any_of(x.parts.begin(), x.parts.end(), has_two_signs));
  }
  static void choose_sign(MathNode& x, bool plus) {
    for (MathNode& part : x.parts) choose_sign(part, plus);
    if (x.kind != Kind::kPlusMinus) return;
    if (plus != (x.text == "pm")) x.parts[1] = negative(std::move(x.parts[1]));
    x.kind = Kind::kSum;
  }

  MathNode relation() {
    constexpr std::array<std::string_view, 7> kRelations = {"=", "~=", "<", "<=", ">", ">=", "!="};
    MathNode all = {Kind::kRelation};
    if (!take("=")) take("~=");
    all.parts.push_back(left_side());
    while (peek().kind == Token::kOperator) {
      if (take("in")) {
        all.parts.back() = union_of();
      } else if (holds(kRelations, peek().text)) {
        all.operators.push_back(tokens_[at_++].text);
        all.parts.push_back(union_of());
      } else {
        break;
      }
    }
    return all.parts.size() == 1 ? std::move(all.parts[0]) : std::move(all);
  }

  // Words may name what is equal to something: "\text{Area} = 20", "P(\text{red}) = 0.5".
  MathNode left_side() {
    const size_t begin = at_;
    const bool bars = in_bars_, angle = of_angle_;
    try {
      return union_of();
    } catch (const NotMath&) {
      at_ = begin;
      in_bars_ = bars;
      of_angle_ = angle;
      for (int depth = 0; depth > 0 || !is("="); ++at_) {
        if (at_ == at_end() || (depth == 0 && ends_element())) throw;
        depth += nesting(peek());
      }
      const std::string words = words_of(tokens_, begin, at_);
      return {Kind::kText, words, {}, {}, words};
    }
  }

  MathNode union_of() {
    MathNode first = without();
    if (take("choose")) return node(Kind::kFunction, {std::move(first), sum()}, "binom");
    if (!is("cup")) return first;
    MathNode all = node(Kind::kUnion, {std::move(first)});
    while (take("cup")) all.parts.push_back(without());
    return all;
  }

  MathNode without() {
    MathNode all = sum();
    while (take("but")) all = node(Kind::kWithout, {std::move(all), sum()});
    return all;
  }

  MathNode sum() {
    MathNode all = {Kind::kSum};
    for (bool first = true;; first = false) {
      const std::string sign =
          is("+") || is("-") || is("pm") || is("mp") ? tokens_[at_++].text : "";
      if (sign.empty() && !first) break;
      if (sign == "pm" || sign == "mp") {
        if (first) all.parts.push_back(number("0"));
        MathNode left = all.parts.size() == 1 ? std::move(all.parts[0]) : std::move(all);
        all = {Kind::kSum};
        all.parts.push_back(node(Kind::kPlusMinus, {std::move(left), product()}, sign));
      } else {
        all.parts.push_back(sign == "-" ? negative(product()) : product());
      }
    }
    return all.parts.size() == 1 ? std::move(all.parts[0]) : std::move(all);
  }

  // Of factors with and without a sign between. In a function's argument only those without, up to
  // the next function.
  MathNode product(bool argument = false) {
    MathNode all = {Kind::kProduct};
    all.parts.push_back(factor());
    while (true) {
      if (take("%")) {
        // Of all of a mixed number.
        MathNode x = all.parts.size() == 1 ? std::move(all.parts[0]) : std::move(all);
        all = {Kind::kProduct};
        all.parts.push_back(node(Kind::kPercent, {std::move(x)}));
      } else if (!argument && take("*")) {
        all.parts.push_back(factor());
      } else if (!argument && (is("/") || is(":"))) {
        if (is_unit(peek(1)) || (number_alone_ && peek(1).kind == Token::kWord)) {
          skip_units();
          break;
        }
        ++at_;
        MathNode top = all.parts.size() == 1 ? std::move(all.parts[0]) : std::move(all);
        all = {Kind::kProduct};
        all.parts.push_back(node(Kind::kQuotient, {std::move(top), factor()}));
      } else if (is_unit(peek()) || is_ordinal()) {
        skip_units();
        break;
      } else if (is_unit_fraction()) {
        ++at_;
        skip_group();
        if (is("{")) skip_group();
        break;
      } else if (!starts_factor(argument)) {
        break;
      } else {
        multiply_by_next(all.parts);
      }
    }
    return all.parts.size() == 1 ? std::move(all.parts[0]) : std::move(all);
  }

  // The next factor has no sign before it.
  void multiply_by_next(std::vector<MathNode>& parts) {
    const bool after_whole = is_digits(parts.back());
    const bool digits = peek().kind == Token::kNumber;
    if (digits && after_whole && is("/", 1) && peek(2).kind == Token::kNumber) {
      MathNode top = factor();
      ++at_;
      MathNode part = node(Kind::kQuotient, {std::move(top), factor()});
      if (!is_proper_fraction(part)) throw NotMath();
      parts.back() = node(Kind::kSum, {std::move(parts.back()), std::move(part)});
      return;
    }
    if (digits && (parts.back().kind == Kind::kNumber || parts.back().kind == Kind::kSymbol)) {
      throw NotMath();  // "2 3", "x2"
    }
    MathNode next = factor();
    if (after_whole && parts.size() == 1 && is_proper_fraction(next)) {
      parts.back() = node(Kind::kSum, {std::move(parts.back()), std::move(next)});
      return;
    }
    parts.push_back(std::move(next));
  }

  bool starts_factor(bool argument) {
    const MathToken& next = peek();
    if (number_alone_ && (next.text != "frac" && next.kind != Token::kNumber)) {
      return next.kind == Token::kCommand || next.text == "\\pi";
    }
    if (number_alone_ && next.kind == Token::kNumber) {
      return is("/", 1) && peek(2).kind == Token::kNumber;
    }
    switch (next.kind) {
      case Token::kNumber:
      case Token::kSymbol:
      case Token::kWord:
        return true;
      case Token::kText:
        throw NotMath();
      case Token::kCommand:
        if (argument && next.text != "frac" && next.text != "sqrt") return false;
        return !next.text.starts_with("end{");
      case Token::kOperator:
        return holds(kOpeners, next.text) || (next.text == "|" && !in_bars_) ||
               next.text == "lfloor" || next.text == "lceil";
    }
    return false;
  }

  void skip_units() {
    while (true) {
      if (is_unit(peek()) || (is("/") && peek(1).kind != Token::kOperator)) {
        ++at_;
      } else if (is("^")) {
        ++at_;
        argument();
      } else if (peek().kind == Token::kWord ||
                 (peek().kind == Token::kSymbol && tokens_[at_ - 1].text == "/")) {
        ++at_;  // "miles per hour", "km/h"
      } else {
        return;
      }
    }
  }

  // From a bracket that opens to behind the one that closes it.
  void skip_group() {
    int depth = 0;
    do {
      if (at_ == at_end()) throw NotMath();
      depth += nesting(tokens_[at_++]);
    } while (depth > 0);
  }

  // \frac{\text{m}}{\text{s}^2}
  bool is_unit_fraction() const { return peek().text == "frac" && is("{", 1) && is_unit(peek(2)); }
  // "1st"
  bool is_ordinal() const {
    constexpr std::array<std::string_view, 4> kEnds = {"st", "nd", "rd", "th"};
    return peek().kind == Token::kWord && !peek().space && holds(kEnds, peek().text) &&
           tokens_[at_ - 1].kind == Token::kNumber;
  }

  MathNode factor() {
    MathNode x = base();
    while (true) {
      if (take("^")) {
        x = node(Kind::kPower, {std::move(x), argument()});
      } else if (take("!")) {
        x = node(Kind::kFunction, {std::move(x)}, "!");
      } else if (take("deg")) {
        if (of_angle_) {
          x = node(Kind::kProduct,
                   {std::move(x), node(Kind::kQuotient, {{Kind::kSymbol, "\\pi"}, number("180")})});
        }
        if (peek().text == "C" || peek().text == "F") ++at_;
      } else {
        return x;
      }
    }
  }

  // What stands behind ^ or _.
  MathNode argument() {
    if (take("{")) {
      MathNode inner = relation();
      expect("}");
      return inner;
    }
    const bool minus = take("-");
    return minus ? negative(base()) : base();
  }

  // What stands behind \frac: of digits without braces one.
  MathNode digit_argument() {
    MathToken* next = at_ < at_end() ? &tokens_[at_] : nullptr;
    if (next != nullptr && next->kind == Token::kNumber && next->text.size() > 1 &&
        std::all_of(next->text.begin(), next->text.end(), is_digit)) {
      MathNode digit = number(next->text.substr(0, 1));
      next->text.erase(0, 1);
      return digit;
    }
    return argument();
  }

  // Letters in a row are symbols in a product where they are no word.
  void split_word() {
    if (peek().kind != Token::kWord) return;
    const std::string word = tokens_[at_].text;
    if (word.size() > 3) throw NotMath();
    std::vector<MathToken> letters;
    for (const char c : word) letters.push_back({Token::kSymbol, std::string(1, c)});
    letters[0].space = tokens_[at_].space;
    tokens_.erase(tokens_.begin() + static_cast<ptrdiff_t>(at_));
    tokens_.insert(tokens_.begin() + static_cast<ptrdiff_t>(at_), letters.begin(), letters.end());
  }

  MathNode base() {
    split_word();
    if (at_ == at_end() || depth_ == kMostDepth) throw NotMath();
    struct Level {  // however it is left
      explicit Level(int& depth) : depth_(depth) { ++depth_; }
      ~Level() { --depth_; }
      int& depth_;
    } const level(depth_);
    const MathToken token = tokens_[at_++];
    switch (token.kind) {
      case Token::kNumber:
        return based(token);
      case Token::kSymbol:
        return symbol(token.text);
      case Token::kCommand:
        return command(token.text);
      case Token::kText:
        if (token.text.size() > 1) throw NotMath();
        return symbol(token.text);
      case Token::kWord:
        throw NotMath();
      case Token::kOperator:
        return bracketed(token.text);
    }
    throw NotMath();
  }

  MathNode symbol(const std::string& name) {
    MathNode x = {Kind::kSymbol, name};
    if (take("_")) {
      const size_t begin = at_;
      if (is("{")) {
        skip_group();
      } else {
        argument();
      }
      x.text += "_" + words_of(tokens_, begin, at_);
    }
    return x;
  }

  MathNode based(const MathToken& token) {
    if (take("_")) return node(Kind::kBased, {argument()}, token.text);
    if (token.repeated.empty()) return number(token.text);
    // 0.1(6) is (16 - 1) / 90.
    std::string once = token.text;
    const size_t point = once.find('.');
    const size_t places = point == std::string::npos ? 0 : once.size() - point - 1;
    std::erase(once, '.');
    return node(Kind::kQuotient,
                {node(Kind::kSum, {number(once + token.repeated), negative(number(once))}),
                 number(std::string(token.repeated.size(), '9') + std::string(places, '0'))});
  }

  MathNode command(const std::string& name) {
    if (name == "frac") {
      MathNode top = digit_argument();
      return node(Kind::kQuotient, {std::move(top), digit_argument()});
    }
    if (name == "binom") {
      MathNode top = digit_argument();
      return node(Kind::kFunction, {std::move(top), digit_argument()}, name);
    }
    if (name == "overline") return argument();
    if (name == "sqrt") {
      MathNode index = number("2");
      if (take("[")) {
        index = sum();
        expect("]");
      }
      return node(Kind::kFunction, {std::move(index), digit_argument()}, name);
    }
    if (name.starts_with("begin{")) return matrix(name.substr(6));
    return function(name);
  }

  MathNode function(const std::string& given) {
    constexpr std::array<std::string_view, 15> kKnown = {
        "sin",    "cos",  "tan",  "cot",  "sec", "csc", "arcsin", "arccos",
        "arctan", "sinh", "cosh", "tanh", "ln",  "log", "exp"};
    std::string name = given == "lg" ? "log" : given;
    if (!holds(kKnown, name)) throw NotMath();
    std::vector<MathNode> parts;
    std::optional<MathNode> power;
    while (is("_") || is("^")) {
      if (take("_")) {
        if (name != "log") throw NotMath();
        parts.push_back(peek().text == "10" ? argument() : digit_argument());
      } else {
        ++at_;
        power = argument();
      }
    }
    if (name == "log" && parts.empty()) parts.push_back(number("10"));
    if (power && power->kind == Kind::kNumber && power->text == "-1" && name.size() == 3) {
      name = "arc" + name;
      power.reset();
    }
    const bool brackets = is("(") || is("{") || is("[");
    const bool outer = std::exchange(of_angle_, name.size() == 3 && name != "log");
    parts.push_back(brackets ? base() : product(true));
    of_angle_ = outer;
    MathNode x = name == "exp" ? node(Kind::kPower, {{Kind::kSymbol, "e"}, std::move(parts[0])})
                               : node(Kind::kFunction, std::move(parts), name);
    return power ? node(Kind::kPower, {std::move(x), std::move(*power)}) : std::move(x);
  }

  MathNode matrix(const std::string& environment) {
    const bool bars = environment[0] == 'v' || environment[0] == 'V';  // a determinant or norm
    if (bars ||
        (environment.find("matrix") == std::string::npos && !environment.starts_with("array"))) {
      throw NotMath();
    }
    MathNode all = {Kind::kMatrix};
    all.parts.push_back({Kind::kList});
    while (true) {
      all.parts.back().parts.push_back(sum());
      if (take("&")) continue;
      const bool row = take("\\\\");
      if (peek().kind == Token::kCommand && peek().text == "end{" + environment) {
        ++at_;
        return all;
      }
      if (!row) throw NotMath();
      all.parts.push_back({Kind::kList});
    }
  }

  // The "x |" of {x | x > 2}, or "x \in \mathbb{R} :", which is passed over.
  bool starts_condition() {
    const size_t bar = is("in", 1) ? 3 : 1;
    if (peek().kind != Token::kSymbol || !(is("|", bar) || is(":", bar))) return false;
    at_ += bar + 1;
    return true;
  }

  MathNode bracketed(const std::string& open) {
    if (open == "(" || open == "[") {
      std::vector<MathNode> items = list(false);
      const std::string close = peek().text;
      if (!take(")")) expect("]");
      if (items.size() > 1) return node(Kind::kBracket, std::move(items), open + close);
      if (items[0].kind == Kind::kText || (open == "(") != (close == ")")) throw NotMath();
      return std::move(items[0]);
    }
    if (open == "{" || open == "\\{") {
      const std::string_view close = open == "{" ? "}" : "\\}";
      if (open == "\\{" && take(close)) return {Kind::kSet};
      if (open == "\\{" && starts_condition()) {
        MathNode condition = relation();
        expect(close);
        return condition;
      }
      std::vector<MathNode> items = list(true);
      expect(close);
      if (open == "{" && items.size() == 1) return std::move(items[0]);
      return node(Kind::kSet, std::move(items));
    }
    if (open == "|") {
      if (in_bars_) throw NotMath();
      in_bars_ = true;
      MathNode inner = sum();
      in_bars_ = false;
      expect("|");
      return node(Kind::kFunction, {std::move(inner)}, "|");
    }
    if (open == "lfloor" || open == "lceil") {
      MathNode inner = sum();
      expect("r" + open.substr(1));
      return node(Kind::kFunction, {std::move(inner)}, open.substr(1));
    }
    throw NotMath();
  }

  std::vector<MathToken> tokens_;
  size_t at_ = 0;
  int depth_ = 0;
  bool in_bars_ = false;
  bool of_angle_ = false;      // within what a sine is taken of
  bool number_alone_ = false;  // words and letters end a product
};

}  // namespace

MathNode parse_math(const std::vector<MathToken>& tokens) { return Parser(tokens).answer(); }

std::optional<MathNode> parse_number(const std::vector<MathToken>& tokens) {
  return Parser(tokens).leading_number();
}

}  // namespace looplm
