#include "eval/math_tokens.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "eval/ascii.h"
#include "eval/numbers.h"
#include "text/utf8.h"

namespace looplm {
namespace {

using Kind = MathToken::Kind;
using Pair = std::pair<std::string_view, std::string_view>;

template <size_t n>
bool holds(const std::array<std::string_view, n>& list, std::string_view name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}
template <size_t n>
const Pair* find(const std::array<Pair, n>& table, std::string_view name) {
  const auto* const found =
      std::find_if(table.begin(), table.end(), [&](const Pair& p) { return p.first == name; });
  return found == table.end() ? nullptr : found;
}

// Commands without meaning here. Their arguments stay, as groups.
constexpr std::array<std::string_view, 37> kLayout = {
    "left",      "right",      "big",   "Big",      "bigg",         "Bigg",      "bigl",
    "bigr",      "Bigl",       "Bigr",  "middle",   "displaystyle", "textstyle", "limits",
    "nolimits",  "quad",       "qquad", "mathbf",   "mathit",       "mathsf",    "bm",
    "pmb",       "boldsymbol", "boxed", "fbox",     "rm",           "bf",        "it",
    "angle",     "mathstrut",  "strut", "nonumber", "thinspace",    "enspace",   "mathopen",
    "mathclose", "underline"};
// Letters by the names of their commands, those of Greek in Unicode's order from alpha on. A
// command that is neither known nor a letter has no value: "A \cap B", "p \to q".
constexpr std::array<std::string_view, 25> kGreek = {
    "alpha", "beta",   "gamma",   "delta", "epsilon", "zeta",    "eta",  "theta", "iota",
    "kappa", "lambda", "mu",      "nu",    "xi",      "omicron", "pi",   "rho",   "varsigma",
    "sigma", "tau",    "upsilon", "phi",   "chi",     "psi",     "omega"};
constexpr std::array<std::string_view, 11> kLetters = {
    "varepsilon", "vartheta",   "varpi", "varrho", "varphi", "infty",
    "emptyset",   "varnothing", "ell",   "hbar",   "partial"};
constexpr std::string_view kSets = "RZNQC";
constexpr std::array<uint32_t, 5> kSetSigns = {U'ℝ', U'ℤ', U'ℕ', U'ℚ', U'ℂ'};
// Marks at a letter, and typefaces, that make it another letter.
constexpr std::array<std::string_view, 9> kAccents = {
    "vec", "hat", "widehat", "bar", "tilde", "overrightarrow", "mathbb", "mathcal", "mathfrak"};
constexpr std::array<std::pair<uint32_t, std::string_view>, 7> kFractions = {{{U'½', "12"},
                                                                              {U'⅓', "13"},
                                                                              {U'⅔', "23"},
                                                                              {U'¼', "14"},
                                                                              {U'¾', "34"},
                                                                              {U'⅕', "15"},
                                                                              {U'⅛', "18"}}};
// Units that are functions too: "30 min".
constexpr std::array<std::string_view, 2> kFunctionUnits = {"min", "sec"};
constexpr std::array<std::string_view, 8> kTexts = {
    "text", "textrm", "textbf", "textit", "mathrm", "textnormal", "mbox", "operatorname"};
constexpr std::array<std::string_view, 27> kFunctions = {
    "sin",  "cos",  "tan",  "cot", "sec",  "csc",  "arcsin", "arccos", "arctan",
    "sinh", "cosh", "tanh", "ln",  "log",  "exp",  "sqrt",   "lg",     "max",
    "min",  "gcd",  "lcm",  "mod", "bmod", "pmod", "frac",   "binom",  "overline"};

bool is_greek(std::string_view name) {
  std::string small(name);
  if (!small.empty() && small[0] < 'a') small[0] = static_cast<char>(small[0] - 'A' + 'a');
  return holds(kGreek, small);
}

// Commands that are operators, and other names of commands.
constexpr std::array<Pair, 47> kCommandOperators = {{
    {"times", "*"},       {"cdot", "*"},        {"ast", "*"},         {"div", "/"},
    {"le", "<="},         {"leq", "<="},        {"leqslant", "<="},   {"ge", ">="},
    {"geq", ">="},        {"geqslant", ">="},   {"lt", "<"},          {"gt", ">"},
    {"ne", "!="},         {"neq", "!="},        {"approx", "~="},     {"simeq", "~="},
    {"doteq", "~="},      {"equiv", "="},       {"choose", "choose"}, {"setminus", "but"},
    {"backslash", "but"}, {"coloneqq", "="},    {"pm", "pm"},         {"mp", "mp"},
    {"cup", "cup"},       {"in", "in"},         {"lbrace", "\\{"},    {"rbrace", "\\}"},
    {"lvert", "|"},       {"rvert", "|"},       {"vert", "|"},        {"mid", "|"},
    {"lbrack", "["},      {"rbrack", "]"},      {"degree", "deg"},    {"circ", "deg"},
    {"percent", "%"},     {"dots", "..."},      {"ldots", "..."},     {"cdots", "..."},
    {"colon", ":"},       {"lfloor", "lfloor"}, {"rfloor", "rfloor"}, {"lceil", "lceil"},
    {"rceil", "rceil"},   {"land", ","},        {"lor", ","},
}};
constexpr std::array<Pair, 5> kSameCommand = {{{"dfrac", "frac"},
                                               {"tfrac", "frac"},
                                               {"cfrac", "frac"},
                                               {"dbinom", "binom"},
                                               {"tbinom", "binom"}}};
constexpr std::array<Pair, 24> kSigns = {{
    {"×", "*"},  {"·", "*"},   {"⋅", "*"},     {"÷", "/"},   {"−", "-"},          {"–", "-"},
    {"≤", "<="}, {"≥", ">="},  {"≠", "!="},    {"≈", "~="},  {"±", "pm"},         {"∪", "cup"},
    {"∈", "in"}, {"°", "deg"}, {"<=", "<="},   {">=", ">="}, {"!=", "!="},        {"**", "^"},
    {":=", "="}, {"∖", "but"}, {"...", "..."}, {"…", "..."}, {"∅", "\\emptyset"}, {"∞", "\\infty"},
}};
// Marks that make no token, and spaces.
constexpr std::array<std::string_view, 5> kCurrency = {"€", "£", "¥", "₹", "\\$"};
constexpr std::array<std::string_view, 12> kSpaces = {
    "\\,", "\\;", "\\:", "\\!", "\\ ", "~", "\\(", "\\)", "$", "\u00a0", "\u2009", "\u202f"};

bool is_greek_letter(uint32_t c) { return c >= U'α' || (c <= U'Ω' && c != 0x3A2); }

// Of a superscript or a subscript; -1: none.
int script_digit(uint32_t c) {
  if (c == U'¹') return 1;
  if (c == U'²' || c == U'³') return static_cast<int>(c - U'²') + 2;
  if (c == U'⁰' || (c >= U'⁴' && c <= U'⁹')) return static_cast<int>(c - U'⁰');
  return c >= U'₀' && c <= U'₉' ? static_cast<int>(c - U'₀') : -1;
}

class Lexer {
 public:
  Lexer(std::string_view text, bool commas, std::vector<MathToken>& tokens)
      : text_(text), commas_(commas), tokens_(tokens) {}

  void run() {
    while (at_ < text_.size()) {
      if (!skip_space() && !sign() && !number() && !letters() && !command()) character();
    }
  }

 private:
  std::string_view rest() const { return text_.substr(at_); }

  void add(Kind kind, std::string_view text) {
    tokens_.push_back({kind, std::string(text), {}, space_});
    space_ = false;
  }

  bool skip_space() {
    if (is_space(text_[at_])) {
      ++at_;
      return space_ = true;
    }
    for (const std::string_view mark : kCurrency) {
      if (rest().starts_with(mark)) {
        at_ += mark.size();
        return true;
      }
    }
    for (const std::string_view mark : kSpaces) {
      if (rest().starts_with(mark)) {
        at_ += mark.size();
        return space_ = true;
      }
    }
    // \[ and \], but not those of a matrix's line end with a bracket behind.
    if (rest().starts_with("\\[") || rest().starts_with("\\]")) {
      at_ += 2;
      return space_ = true;
    }
    return false;
  }

  bool sign() {
    for (const auto& [mark, text] : kSigns) {
      if (!rest().starts_with(mark)) continue;
      at_ += mark.size();
      add(text.starts_with('\\') ? Kind::kSymbol : Kind::kOperator, text);
      return true;
    }
    if (static_cast<unsigned char>(text_[at_]) >= 0x80 && unicode_sign()) return true;
    // A degree sign as a power.
    for (const std::string_view degree : {"^\\circ", "^{\\circ}", "^{\\degree}", "^°"}) {
      if (!rest().starts_with(degree)) continue;
      at_ += degree.size();
      add(Kind::kOperator, "deg");
      return true;
    }
    return false;
  }

  bool unicode_sign() {
    const auto [kind, size] = utf8_step(rest());
    if (kind != Utf8Step::Kind::kCharacter) return false;
    const uint32_t c = utf8_decode(rest().substr(0, size));
    if (c >= U'Α' && c <= U'ω' && is_greek_letter(c)) {
      const bool capital = c < U'α';
      std::string name(kGreek[c - (capital ? U'Α' : U'α')]);
      if (capital) name[0] = static_cast<char>(name[0] - 'a' + 'A');
      add(Kind::kSymbol, "\\" + name);
    } else if (c == U'√') {
      add(Kind::kCommand, "sqrt");
    } else if (const auto* set = std::find(kSetSigns.begin(), kSetSigns.end(), c);
               set != kSetSigns.end()) {
      add(Kind::kSymbol,
          fmt::format("\\mathbb{{{}}}", kSets[static_cast<size_t>(set - kSetSigns.begin())]));
    } else if (const auto* part = std::find_if(kFractions.begin(), kFractions.end(),
                                               [&](const auto& f) { return f.first == c; });
               part != kFractions.end()) {
      add(Kind::kCommand, "frac");
      for (const char digit : part->second) add(Kind::kNumber, std::string(1, digit));
    } else {
      return scripts();
    }
    at_ += size;
    return true;
  }

  // Digits set high or low: x⁻¹² and x₁.
  bool scripts() {
    const size_t begin = at_;
    std::string digits;
    bool low = false;
    while (at_ < text_.size()) {
      const auto [kind, size] = utf8_step(rest());
      if (kind != Utf8Step::Kind::kCharacter) break;
      const uint32_t c = utf8_decode(rest().substr(0, size));
      const int digit = script_digit(c);
      const bool below = c >= 0x2080;
      if ((digit < 0 && c != U'⁻') || (at_ > begin && below != low)) break;
      low = below;
      digits += digit < 0 ? '-' : static_cast<char>('0' + digit);
      at_ += size;
    }
    if (at_ == begin) return false;
    add(Kind::kOperator, low ? "_" : "^");
    add(Kind::kOperator, "{");
    if (digits[0] == '-') add(Kind::kOperator, "-");
    if (digits.size() > (digits[0] == '-')) add(Kind::kNumber, digits.substr(digits[0] == '-'));
    add(Kind::kOperator, "}");
    return true;
  }

  bool number() {
    const auto digit_at = [&](size_t i) { return i < text_.size() && is_digit(text_[i]); };
    if (!digit_at(at_) && !(text_[at_] == '.' && digit_at(at_ + 1))) return false;
    std::string digits;
    at_ = scan_number(text_, at_, commas_ && depth_ == 0, digits);
    add(Kind::kNumber, digits);
    // 0.1\overline{6}
    constexpr std::string_view kOverline = "\\overline{";
    const size_t point = rest().starts_with('.') ? 1 : 0;
    if ((point == 1 || digits.find('.') != std::string::npos) &&
        rest().substr(point).starts_with(kOverline)) {
      const size_t begin = at_ + point + kOverline.size();
      size_t end = begin;
      while (digit_at(end)) ++end;
      if (end > begin && end < text_.size() && text_[end] == '}') {
        tokens_.back().repeated = text_.substr(begin, end - begin);
        at_ = end + 1;
      }
    }
    return true;
  }

  bool letters() {
    for (const std::string_view mark : {"a.m.", "p.m.", "A.M.", "P.M."}) {
      if (!rest().starts_with(mark)) continue;
      at_ += mark.size();
      add(Kind::kText, std::string{mark[0], mark[2]});
      return true;
    }
    size_t end = at_;
    while (end < text_.size() && is_letter(text_[end])) ++end;
    if (end == at_) return false;
    const std::string_view letters = text_.substr(at_, end - at_);
    at_ = end;
    word(letters);
    return true;
  }

  // Whether a unit ends here: nothing that a function could be taken of follows.
  bool ends_unit() const {
    const size_t next = text_.find_first_not_of(" \t\r\n", at_);
    return next == std::string_view::npos ||
           std::string_view(".,;)}/$").find(text_[next]) != std::string_view::npos;
  }

  void word(std::string_view word) {
    if (word == "and" || word == "or") return add(Kind::kOperator, word);
    if (word == "percent" || word == "pct" || word == "percentage") {
      return add(Kind::kOperator, "%");
    }
    if (word == "degrees" || word == "degree" || word == "deg") return add(Kind::kOperator, "deg");
    if (word == "pi") return add(Kind::kSymbol, "\\pi");
    if (word == "infinity" || word == "inf") return add(Kind::kSymbol, "\\infty");
    if (word == "infty" || word == "emptyset") return add(Kind::kSymbol, "\\" + std::string(word));
    const bool after_number = !tokens_.empty() && tokens_.back().kind == Kind::kNumber;
    if (after_number && is_time_of_day(word)) return add(Kind::kText, word);
    if (holds(kFunctionUnits, word) && ends_unit()) return add(Kind::kText, word);
    if (holds(kFunctions, word)) return add(Kind::kCommand, word);
    add(word.size() == 1 ? Kind::kSymbol : Kind::kWord, word);
  }

  // The contents of the group that stands next, which is passed over; none: empty.
  std::string_view group() {
    size_t open = at_;
    while (open < text_.size() && is_space(text_[open])) ++open;
    if (open >= text_.size() || text_[open] != '{') return {};
    const size_t close = closing_brace(text_, open);
    if (close == std::string_view::npos) return {};
    at_ = close + 1;
    return text_.substr(open + 1, close - open - 1);
  }

  std::string_view group_or_letter() {
    const std::string_view inner = group();
    if (!inner.empty()) return inner;
    const size_t next = text_.find_first_not_of(' ', at_);
    if (next == std::string_view::npos || !is_letter(text_[next])) return {};
    at_ = next + 1;
    return text_.substr(next, 1);
  }

  bool command() {
    if (text_[at_] != '\\') return false;
    size_t end = at_ + 1;
    while (end < text_.size() && is_letter(text_[end])) ++end;
    std::string_view name = text_.substr(at_ + 1, end - at_ - 1);
    if (name.empty()) {
      const std::string_view two = text_.substr(at_, 2);
      at_ += two.size();
      if (two == "\\{") ++depth_;
      if (two == "\\}") --depth_;
      const bool sign = two == "\\%" || two == "\\|";
      add(Kind::kOperator, sign ? two.substr(1) : two);
      return true;
    }
    at_ = end;
    if (holds(kLayout, name)) return true;
    if (holds(kTexts, name)) {
      text(stripped(group()));
      return true;
    }
    if (name == "color" || name == "textcolor" || name == "hspace" || name == "phantom") {
      group();
      return true;
    }
    if (name == "begin" || name == "end") {
      const std::string_view environment = group();
      if (name == "begin" && environment == "array") group();  // its columns
      add(Kind::kCommand, std::string(name) + "{" + std::string(environment) + "}");
      return true;
    }
    if (holds(kAccents, name)) {
      if (name == "mathcal") name = "mathbb";
      add(Kind::kSymbol, fmt::format("\\{}{{{}}}", name, stripped(group_or_letter())));
      return true;
    }
    const bool composes =
        name == "circ" && (tokens_.empty() || tokens_.back().kind == Kind::kSymbol);
    if (const Pair* operation = find(kCommandOperators, name); operation != nullptr && !composes) {
      add(Kind::kOperator, operation->second);
    } else if (const Pair* same = find(kSameCommand, name)) {
      add(Kind::kCommand, same->second);
    } else if (holds(kFunctions, name)) {
      add(Kind::kCommand, name);
    } else {
      if (name == "varnothing") name = "emptyset";
      const bool letter = is_greek(name) || holds(kLetters, name);
      add(letter ? Kind::kSymbol : Kind::kOperator, "\\" + std::string(name));
    }
    return true;
  }

  // Of \text{...}: mathematics where it is a number, a letter, or a word with a meaning.
  void text(std::string_view inner) {
    while (inner.starts_with('~')) inner = stripped(inner.substr(1));
    if (inner.empty()) return;
    if (is_digit(inner[0])) {
      Lexer(inner, commas_, tokens_).run();
    } else if (inner == "," || inner == ", and" || inner == ", or") {
      add(Kind::kOperator, inner == "," ? inner : stripped(inner.substr(1)));
    } else if (inner.size() > 1 && std::all_of(inner.begin(), inner.end(), is_letter)) {
      const size_t before = tokens_.size();
      word(inner);
      if (tokens_[before].kind == Kind::kWord) tokens_[before].kind = Kind::kText;
    } else {
      add(Kind::kText, inner);
    }
  }

  void character() {
    // Of UTF-8 the whole.
    size_t end = at_ + 1;
    while (end < text_.size() && (static_cast<unsigned char>(text_[end]) & 0xC0) == 0x80) ++end;
    std::string_view one = text_.substr(at_, end - at_);
    at_ = end;
    if (one.size() > 1) return add(Kind::kSymbol, one);
    if (one == "(" || one == "[" || one == "{") ++depth_;
    if (one == ")" || one == "]" || one == "}") --depth_;
    if (one == ";") one = ",";
    if (one == "'" || one == "\"" || one == "`") return;
    add(Kind::kOperator, one);
  }

  std::string_view text_;
  const bool commas_;
  std::vector<MathToken>& tokens_;
  size_t at_ = 0;
  int depth_ = 0;
  bool space_ = false;
};

}  // namespace

bool is_time_of_day(std::string_view text) {
  std::string letters;
  for (const char c : text) {
    if (is_letter(c)) letters += static_cast<char>(c | 0x20);
  }
  return letters == "am" || letters == "pm";
}

std::vector<MathToken> math_tokens(std::string_view text, bool commas) {
  while (text.size() > 4 && text.starts_with("**") && text.ends_with("**")) {
    text = text.substr(2, text.size() - 4);  // Markdown's bold type
  }
  std::vector<MathToken> tokens;
  Lexer(text, commas, tokens).run();
  while (!tokens.empty() && tokens.back().kind == Kind::kOperator &&
         (tokens.back().text == "." || tokens.back().text == ",")) {
    tokens.pop_back();
  }
  return tokens;
}

size_t closing_brace(std::string_view text, size_t open) {
  int depth = 0;
  for (size_t i = open; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == '{') {
      ++depth;
    } else if (text[i] == '}' && --depth == 0) {
      return i;
    }
  }
  return std::string_view::npos;
}

}  // namespace looplm
