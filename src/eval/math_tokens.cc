#include "eval/math_tokens.h"

#include <algorithm>
#include <array>
#include <utility>

#include "eval/ascii.h"
#include "eval/numbers.h"

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
constexpr std::array<std::string_view, 36> kLayout = {
    "left",      "right",    "big",       "Big",     "bigg",       "Bigg",
    "bigl",      "bigr",     "Bigl",      "Bigr",    "middle",     "displaystyle",
    "textstyle", "limits",   "nolimits",  "quad",    "qquad",      "mathbf",
    "mathit",    "mathsf",   "bm",        "pmb",     "boldsymbol", "boxed",
    "fbox",      "rm",       "bf",        "it",      "angle",      "mathstrut",
    "strut",     "nonumber", "thinspace", "enspace", "mathopen",   "mathclose"};
constexpr std::array<std::string_view, 8> kTexts = {
    "text", "textrm", "textbf", "textit", "mathrm", "textnormal", "mbox", "operatorname"};
constexpr std::array<std::string_view, 27> kFunctions = {
    "sin",  "cos",  "tan",  "cot", "sec",  "csc",  "arcsin", "arccos", "arctan",
    "sinh", "cosh", "tanh", "ln",  "log",  "exp",  "sqrt",   "lg",     "max",
    "min",  "gcd",  "lcm",  "mod", "bmod", "pmod", "frac",   "binom",  "overline"};

// Commands that are operators, and other names of commands.
constexpr std::array<Pair, 41> kCommandOperators = {{
    {"times", "*"},       {"cdot", "*"},      {"ast", "*"},       {"div", "/"},
    {"le", "<="},         {"leq", "<="},      {"leqslant", "<="}, {"ge", ">="},
    {"geq", ">="},        {"geqslant", ">="}, {"lt", "<"},        {"gt", ">"},
    {"ne", "!="},         {"neq", "!="},      {"approx", "="},    {"equiv", "="},
    {"pm", "pm"},         {"mp", "mp"},       {"cup", "cup"},     {"in", "in"},
    {"lbrace", "\\{"},    {"rbrace", "\\}"},  {"lvert", "|"},     {"rvert", "|"},
    {"vert", "|"},        {"mid", "|"},       {"lbrack", "["},    {"rbrack", "]"},
    {"degree", "deg"},    {"circ", "deg"},    {"percent", "%"},   {"dots", "..."},
    {"ldots", "..."},     {"cdots", "..."},   {"colon", ":"},     {"lfloor", "lfloor"},
    {"rfloor", "rfloor"}, {"lceil", "lceil"}, {"rceil", "rceil"}, {"land", ","},
    {"lor", ","},
}};
constexpr std::array<Pair, 5> kSameCommand = {{{"dfrac", "frac"},
                                               {"tfrac", "frac"},
                                               {"cfrac", "frac"},
                                               {"dbinom", "binom"},
                                               {"tbinom", "binom"}}};
constexpr std::array<Pair, 24> kSigns = {{
    {"×", "*"},  {"·", "*"},   {"⋅", "*"},     {"÷", "/"},   {"−", "-"},          {"–", "-"},
    {"≤", "<="}, {"≥", ">="},  {"≠", "!="},    {"≈", "="},   {"±", "pm"},         {"∪", "cup"},
    {"∈", "in"}, {"°", "deg"}, {"<=", "<="},   {">=", ">="}, {"!=", "!="},        {"**", "^"},
    {"²", "^2"}, {"³", "^3"},  {"...", "..."}, {"…", "..."}, {"∅", "\\emptyset"}, {"∞", "\\infty"},
}};
// Marks that make no token, and spaces.
constexpr std::array<std::string_view, 5> kCurrency = {"€", "£", "¥", "₹", "\\$"};
constexpr std::array<std::string_view, 12> kSpaces = {
    "\\,", "\\;", "\\:", "\\!", "\\ ", "~", "\\(", "\\)", "$", "\u00a0", "\u2009", "\u202f"};

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
      if (text.starts_with('^') && text.size() > 1) {
        add(Kind::kOperator, "^");
        add(Kind::kNumber, text.substr(1));
      } else {
        add(text.starts_with('\\') ? Kind::kSymbol : Kind::kOperator, text);
      }
      return true;
    }
    for (const auto& [mark, text] : {Pair{"π", "\\pi"}, Pair{"√", "sqrt"}}) {
      if (!rest().starts_with(mark)) continue;
      at_ += mark.size();
      add(text == "sqrt" ? Kind::kCommand : Kind::kSymbol, text);
      return true;
    }
    // A degree sign as a power.
    for (const std::string_view degree : {"^\\circ", "^{\\circ}", "^{\\degree}", "^°"}) {
      if (!rest().starts_with(degree)) continue;
      at_ += degree.size();
      add(Kind::kOperator, "deg");
      return true;
    }
    return false;
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
    size_t end = at_;
    while (end < text_.size() && is_letter(text_[end])) ++end;
    if (end == at_) return false;
    word(text_.substr(at_, end - at_));
    at_ = end;
    return true;
  }

  void word(std::string_view word) {
    if (word == "and" || word == "or") return add(Kind::kOperator, word);
    if (word == "percent" || word == "pct" || word == "percentage") {
      return add(Kind::kOperator, "%");
    }
    if (word == "degrees" || word == "degree") return add(Kind::kOperator, "deg");
    if (word == "pi") return add(Kind::kSymbol, "\\pi");
    if (word == "infinity" || word == "inf") return add(Kind::kSymbol, "\\infty");
    if (word == "infty" || word == "emptyset") return add(Kind::kSymbol, "\\" + std::string(word));
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
    if (name == "mathbb" || name == "mathcal") {
      add(Kind::kSymbol, "\\mathbb{" + std::string(stripped(group())) + "}");
      return true;
    }
    if (const Pair* operation = find(kCommandOperators, name)) {
      add(Kind::kOperator, operation->second);
    } else if (const Pair* same = find(kSameCommand, name)) {
      add(Kind::kCommand, same->second);
    } else if (holds(kFunctions, name)) {
      add(Kind::kCommand, name);
    } else {
      if (name == "varnothing") name = "emptyset";
      add(Kind::kSymbol, "\\" + std::string(name));
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

std::vector<MathToken> math_tokens(std::string_view text, bool commas) {
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
