#include "chat/jinja/lexer.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include <fmt/format.h>

#include "chat/jinja/characters.h"
#include "text/utf8.h"

namespace looplm::jinja {
namespace {

// Line ends become \n, and one at the very end goes.
std::string normalized(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
      out += '\n';
    } else {
      out += source[i];
    }
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

bool is_name_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}
bool is_digit_byte(char c) { return c >= '0' && c <= '9'; }

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(normalized(source)) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) {
      const size_t tag = next_tag();
      if (tag == std::string::npos) {
        add_data(at_, source_.size());
        break;
      }
      read_tag(tag);
    }
    add(TokenKind::kEnd);
    return std::move(tokens_);
  }

 private:
  bool ahead(std::string_view text) const { return source_.compare(at_, text.size(), text) == 0; }

  void add(TokenKind kind, std::string text = {}) {
    tokens_.push_back({kind, line_, std::move(text), {}});
  }

  void count_lines(size_t from, size_t to) {
    line_ += static_cast<int>(std::count(source_.begin() + static_cast<ptrdiff_t>(from),
                                         source_.begin() + static_cast<ptrdiff_t>(to), '\n'));
  }

  void add_data(size_t from, size_t to) {
    if (to > from) add(TokenKind::kData, source_.substr(from, to - from));
  }

  size_t next_tag() const {
    for (size_t i = at_; (i = source_.find('{', i)) != std::string::npos; ++i) {
      if (i + 1 < source_.size() &&
          (source_[i + 1] == '{' || source_[i + 1] == '%' || source_[i + 1] == '#')) {
        return i;
      }
    }
    return std::string::npos;
  }

  // Where the text before a tag ends: "-" strips all white space, and of a block or comment alone
  // on its line the spaces before it go, except with "+".
  size_t data_end(size_t from, size_t tag, char sign, bool variable) const {
    size_t end = tag;
    if (sign == '-') {
      while (end > from) {
        size_t begin = previous_character(source_, end);
        const size_t start = begin;
        if (!is_space(next_character(source_, begin))) break;
        end = start;
      }
      return end;
    }
    if (sign == '+' || variable) return end;
    size_t line = end;
    while (line > from && source_[line - 1] != '\n') --line;
    if (line == from && !line_starting_) return end;
    for (size_t i = line; i < end;) {
      if (!is_space(next_character(source_, i))) return end;
    }
    return line;
  }

  // Moves behind `size` bytes of a tag's end, and what it takes with it.
  void close_tag(size_t size, bool strip, bool trim_newline) {
    const size_t begin = at_;
    at_ += size;
    if (strip) {
      skip_space();
    } else if (trim_newline && at_ < source_.size() && source_[at_] == '\n') {
      ++at_;
    }
    count_lines(begin, at_);
    line_starting_ = source_[at_ - 1] == '\n';
  }

  void skip_space() {
    while (at_ < source_.size()) {
      size_t next = at_;
      if (!is_space(next_character(source_, next))) return;
      at_ = next;
    }
  }

  void read_tag(size_t tag) {
    const char kind = source_[tag + 1];
    const char sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
    const bool signed_tag = sign == '-' || sign == '+';
    add_data(at_, data_end(at_, tag, sign, kind == '{'));
    count_lines(at_, tag);
    const int line = line_;
    at_ = tag + 2 + (signed_tag ? 1 : 0);
    line_starting_ = false;
    if (kind == '#') return read_comment(line);
    if (kind == '%' && read_raw(line)) return;
    add(kind == '{' ? TokenKind::kVariableBegin : TokenKind::kBlockBegin);
    read_expression(kind == '{');
  }

  void read_comment(int line) {
    const size_t end = source_.find("#}", at_);
    if (end == std::string::npos) fail_at(line, "the comment does not end");
    const char sign = end > at_ ? source_[end - 1] : '\0';
    count_lines(at_, end);
    at_ = end;
    close_tag(2, sign == '-', sign != '+');
  }

  // {% raw %} ... {% endraw %}
  bool read_raw(int line) {
    const size_t start = at_;
    skip_space();
    const auto back = [&] {
      at_ = start;
      return false;
    };
    if (!ahead("raw")) return back();
    at_ += 3;
    skip_space();
    const bool strip = ahead("-%}");
    if (!strip && !ahead("%}")) return back();
    const size_t tag = at_;
    at_ = start;
    count_lines(start, tag);
    at_ = tag;
    close_tag(strip ? 3 : 2, strip, false);

    const size_t content = at_;
    for (size_t open = content; (open = source_.find("{%", open)) != std::string::npos; ++open) {
      at_ = open + 2;
      const char sign = at_ < source_.size() ? source_[at_] : '\0';
      if (sign == '-' || sign == '+') ++at_;
      skip_space();
      if (!ahead("endraw")) continue;
      at_ += 6;
      skip_space();
      const bool plus = ahead("+%}");
      const bool minus = ahead("-%}");
      if (!plus && !minus && !ahead("%}")) continue;
      const size_t end = at_;
      add_data(content, data_end(content, open, sign, false));
      count_lines(content, end);
      close_tag(plus || minus ? 3 : 2, minus, !plus);
      return true;
    }
    fail_at(line, "raw is never closed by endraw");
  }

  // Up to the end of a {{ or {% tag.
  void read_expression(bool variable) {
    std::vector<char> open;
    const std::string_view end = variable ? "}}" : "%}";
    while (true) {
      const size_t space = at_;
      skip_space();
      count_lines(space, at_);
      if (at_ >= source_.size()) return;  // the parser says what is missing
      if (open.empty()) {
        const char sign = source_[at_];
        const bool minus = sign == '-';
        const bool plus = sign == '+' && !variable;
        const size_t skip = minus || plus ? 1 : 0;
        if (source_.compare(at_ + skip, 2, end) == 0) {
          add(variable ? TokenKind::kVariableEnd : TokenKind::kBlockEnd);
          close_tag(2 + skip, minus, !variable && !plus);
          return;
        }
      }
      if (is_digit_byte(source_[at_])) {
        read_number();
      } else if (is_name_byte(source_[at_])) {
        const size_t begin = at_;
        while (at_ < source_.size() && is_name_byte(source_[at_])) ++at_;
        add(TokenKind::kName, source_.substr(begin, at_ - begin));
      } else if (source_[at_] == '\'' || source_[at_] == '"') {
        read_string();
      } else {
        read_operator(open);
      }
    }
  }

  size_t skip_digits(size_t at) const {
    while (at < source_.size() &&
           (is_digit_byte(source_[at]) ||
            (source_[at] == '_' && at + 1 < source_.size() && is_digit_byte(source_[at + 1])))) {
      ++at;
    }
    return at;
  }

  // The end of a float that starts here, or npos.
  size_t float_end() const {
    if (at_ > 0 && source_[at_ - 1] == '.') return std::string::npos;  // "a.0.1" is no float
    const size_t whole = skip_digits(at_);
    size_t end = whole;
    if (end + 1 < source_.size() && source_[end] == '.' && is_digit_byte(source_[end + 1])) {
      end = skip_digits(end + 1);
    }
    size_t exponent = end;
    if (exponent < source_.size() && (source_[exponent] | 0x20) == 'e') {
      ++exponent;
      if (exponent < source_.size() && (source_[exponent] == '+' || source_[exponent] == '-')) {
        ++exponent;
      }
      if (exponent < source_.size() && is_digit_byte(source_[exponent])) {
        return skip_digits(exponent);
      }
    }
    return end > whole ? end : std::string::npos;
  }

  void read_number() {
    const size_t begin = at_;
    const size_t real = float_end();
    const auto digits = [&](size_t from, size_t to) {
      std::string text = source_.substr(from, to - from);
      std::erase(text, '_');
      return text;
    };
    if (real != std::string::npos) {
      add(TokenKind::kNumber);
      tokens_.back().number = Value(std::strtod(digits(begin, real).c_str(), nullptr));
      at_ = real;
      return;
    }
    int base = 10;
    if (source_[at_] == '0' && at_ + 1 < source_.size()) {
      const char letter = static_cast<char>(source_[at_ + 1] | 0x20);
      base = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 10;
    }
    Integer value = 0;
    if (base != 10) at_ += 2;
    const size_t first = at_;
    while (at_ < source_.size()) {
      const char c = source_[at_];
      const int digit = is_digit_byte(c)              ? c - '0'
                        : is_name_byte(c) && c != '_' ? (c | 0x20) - 'a' + 10
                                                      : 99;
      if (c != '_' && (digit < 0 || digit >= base)) break;
      if (c != '_' && (__builtin_mul_overflow(value, Integer{base}, &value) ||
                       __builtin_add_overflow(value, Integer{digit}, &value))) {
        fail_at(line_, "a number has more than 127 bits");
      }
      ++at_;
    }
    if (at_ == first) fail_at(line_, "a number without digits");
    add(TokenKind::kNumber);
    tokens_.back().number = Value(value);
  }

  void read_string() {
    const char quote = source_[at_];
    const int line = line_;
    std::string text;
    size_t i = at_ + 1;
    while (i < source_.size() && source_[i] != quote) {
      if (source_[i] == '\\' && i + 1 < source_.size()) {
        i = read_escape(i + 1, text);
      } else {
        text += source_[i++];
      }
    }
    if (i >= source_.size()) fail_at(line, "a string without its closing quote");
    add(TokenKind::kString, std::move(text));
    count_lines(at_, i);
    at_ = i + 1;
  }

  // What follows a backslash, as in Python's literals. Returns the position behind it.
  size_t read_escape(size_t i, std::string& text) {
    static constexpr std::string_view kLetters = "abfnrtv\\'\"";
    static constexpr std::string_view kMeanings = "\a\b\f\n\r\t\v\\'\"";
    const char c = source_[i];
    if (const size_t known = kLetters.find(c); known != std::string_view::npos) {
      text += kMeanings[known];
      return i + 1;
    }
    if (c == '\n') return i + 1;
    if (c >= '0' && c <= '7') {
      uint32_t code = 0;
      size_t end = i;
      while (end < source_.size() && end < i + 3 && source_[end] >= '0' && source_[end] <= '7') {
        code = code * 8 + static_cast<uint32_t>(source_[end++] - '0');
      }
      utf8_append(text, code);
      return end;
    }
    const size_t length = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (length == 0) {
      if (c == 'N') fail_at(line_, "\\N{...} in a string is not supported; write the character");
      text += '\\';
      return i;
    }
    uint32_t code = 0;
    for (size_t k = i + 1; k <= i + length; ++k) {
      const char h = k < source_.size() ? source_[k] : '\0';
      const int digit = is_digit_byte(h) ? h - '0'
                        : (h | 0x20) >= 'a' && (h | 0x20) <= 'f' && h != '\0'
                            ? (h | 0x20) - 'a' + 10
                            : -1;
      if (digit < 0) fail_at(line_, fmt::format("\\{} needs {} hexadecimal digits", c, length));
      code = code * 16 + static_cast<uint32_t>(digit);
    }
    if (code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) {
      fail_at(line_, fmt::format("\\{} stands for {:x}, which is no character", c, code));
    }
    utf8_append(text, code);
    return i + length + 1;
  }

  void read_operator(std::vector<char>& open) {
    static constexpr std::string_view kLong[] = {"//", "**", "==", "!=", ">=", "<="};
    static constexpr std::string_view kShort = "+-/*%~[](){}><=.:|,;";
    for (std::string_view text : kLong) {
      if (ahead(text)) {
        add(TokenKind::kOperator, std::string(text));
        at_ += 2;
        return;
      }
    }
    const char c = source_[at_];
    if (kShort.find(c) == std::string_view::npos) {
      fail_at(line_, fmt::format("unexpected character '{}'", c));
    }
    if (c == '(' || c == '[' || c == '{') open.push_back(c == '(' ? ')' : c == '[' ? ']' : '}');
    if (c == ')' || c == ']' || c == '}') {
      if (open.empty()) fail_at(line_, fmt::format("unexpected '{}'", c));
      if (open.back() != c) {
        fail_at(line_, fmt::format("unexpected '{}'; expected '{}'", c, open.back()));
      }
      open.pop_back();
    }
    add(TokenKind::kOperator, std::string(1, c));
    ++at_;
  }

  std::string source_;
  size_t at_ = 0;
  int line_ = 1;
  bool line_starting_ = true;  // nothing stands before `at_` on its line, or its newline was taken
  std::vector<Token> tokens_;
};

}  // namespace

void fail_at(int line, std::string message) { throw SourceFailure{line, std::move(message)}; }

std::vector<Token> tokenize(std::string_view source) { return Lexer(source).run(); }

}  // namespace looplm::jinja
