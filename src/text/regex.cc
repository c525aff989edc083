#include "text/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <fmt/format.h>
#include <pcre2.h>

namespace looplm {
namespace {

constexpr size_t kFirstJitStack = 64 << 10;
constexpr size_t kLargestJitStack = 64 << 20;
constexpr size_t kLongestPattern = 64 << 10;

// Unicode's White_Space, which Oniguruma's \s is; PCRE2's has U+180E besides.
constexpr const char* kSpaces =
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}"
    "\\x{205f}\\x{3000}";
constexpr const char* kWord = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}";

std::string error_text(int code) {
  char text[256] = "unknown error";
  pcre2_get_error_message(code, reinterpret_cast<PCRE2_UCHAR*>(text), sizeof(text));
  return text;
}

Status refused(const std::string& what, const std::string& pattern) {
  return unsupported(fmt::format("{} in the regular expression '{}'", what, pattern));
}

}  // namespace

Result<std::string> translate_pattern(const std::string& p) {
  std::string out;
  int bracket = 0;  // depth of character classes
  for (size_t i = 0; i < p.size(); ++i) {
    const char c = p[i];
    const char next = i + 1 < p.size() ? p[i + 1] : '\0';
    if (c == '\\') {
      ++i;
      const bool inside = bracket > 0;
      const auto put_class = [&](const char* members) {
        out += inside ? std::string(members) : fmt::format("[{}]", members);
      };
      switch (next) {
        case 's':
          put_class(kSpaces);
          break;
        case 'w':
          put_class(kWord);
          break;
        case 'd':
          out += "\\p{Nd}";
          break;
        case 'D':
          out += "\\P{Nd}";
          break;
        case 'S':
          if (inside) {
            // No list of members: PCRE2 knows the property, only slower.
            out += "\\P{White_Space}";
          } else {
            out += fmt::format("[^{}]", kSpaces);
          }
          break;
        case 'W':
          if (inside) return refused("\\W in a character class", p);
          out += fmt::format("[^{}]", kWord);
          break;
        case 'h':
        case 'H':
        case 'K':
        case 'X':
        case 'R':
        case 'N':
        case 'Q':
        case 'E':
        case 'C':
          return refused(fmt::format("\\{}", next), p);
        case '\0':
          return refused("a backslash at the end", p);
        case 'p':
        case 'P':
        case 'x': {  // with its braces, which are no repetition
          const size_t close = i + 1 < p.size() && p[i + 1] == '{' ? p.find('}', i) : i;
          if (close == std::string::npos) return refused("an open '{'", p);
          out += p.substr(i - 1, close + 2 - i);
          i = close;
          break;
        }
        default:
          out += {'\\', next};
      }
      continue;
    }
    if (c == '[') {
      if (bracket > 0 && next != ':') return refused("a character class within another", p);
      if (bracket > 0) {  // [:alpha:]
        const size_t close = p.find(":]", i);
        if (close == std::string::npos) return refused("an open '[:'", p);
        out += p.substr(i, close + 2 - i);
        i = close + 1;
        continue;
      }
      ++bracket;
      out += c;
      if (next == '^') {
        out += '^';
        ++i;
      }
      if (i + 1 < p.size() && p[i + 1] == ']') return refused("an empty character class", p);
      continue;
    }
    if (c == ']' && bracket > 0) --bracket;
    if (bracket > 0 && c == '&' && next == '&') return refused("'&&' in a character class", p);
    if (bracket == 0 && c == '{' && next == ',') return refused("'{,'", p);
    if (bracket == 0 && c == '}' && next == '+') return refused("'}+'", p);
    if (bracket == 0 && c == '(' && next == '?') {
      const size_t end = p.find_first_of(":)=!<>#|P'&", i + 2);
      const std::string flags = end == std::string::npos ? "" : p.substr(i + 2, end - i - 2);
      if (flags.find('m') != std::string::npos || flags.find('s') != std::string::npos) {
        return refused("the option m or s", p);
      }
    }
    if (bracket == 0 && c == '(' && next == '*') return refused("'(*'", p);
    out += c;
  }
  if (bracket > 0) return refused("an open '['", p);
  return out;
}

struct Regex::Code {
  pcre2_code* code = nullptr;
  bool jit = false;
  std::string shown;

  ~Code() { pcre2_code_free(code); }
};

Regex::Regex(std::unique_ptr<Code> code) : code_(std::move(code)) {}
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;
Regex::~Regex() = default;

size_t Regex::groups() const {
  uint32_t count = 0;
  pcre2_pattern_info(code_->code, PCRE2_INFO_CAPTURECOUNT, &count);
  return count;
}

Result<Regex> Regex::build(const std::string& pattern, uint32_t options, const std::string& shown) {
  if (pattern.size() > kLongestPattern) {
    return unsupported(fmt::format("a regular expression of {} bytes; at most {} are accepted",
                                   pattern.size(), kLongestPattern));
  }
  int error = 0;
  PCRE2_SIZE at = 0;
  auto code = std::make_unique<Code>();
  code->shown = shown;
  code->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                             options | PCRE2_UTF, &error, &at, nullptr);
  if (code->code == nullptr) {
    return invalid_argument(
        fmt::format("regular expression '{}': {} at byte {}", shown, error_text(error), at));
  }
  code->jit = pcre2_jit_compile(code->code, PCRE2_JIT_COMPLETE) == 0;
  return Regex(std::move(code));
}

Result<Regex> Regex::compile(const std::string& pattern) {
  LOOPLM_ASSIGN_OR_RETURN(const std::string translated, translate_pattern(pattern));
  // In Ruby ^ and $ stand at every line.
  return build(translated, PCRE2_UCP | PCRE2_MULTILINE, pattern);
}

Result<Regex> Regex::literal(const std::string& text) { return build(text, PCRE2_LITERAL, text); }

struct Regex::Matcher::State {
  const Code* code = nullptr;
  pcre2_match_data* data = nullptr;
  pcre2_match_context* context = nullptr;
  pcre2_jit_stack* stack = nullptr;
  size_t ranges = 0;  // that the last match filled

  ~State() {
    pcre2_jit_stack_free(stack);
    pcre2_match_context_free(context);
    pcre2_match_data_free(data);
  }
};

Regex::Matcher::Matcher(const Regex& regex) : state_(std::make_unique<State>()) {
  state_->code = regex.code_.get();
  state_->data = pcre2_match_data_create_from_pattern(state_->code->code, nullptr);
  if (state_->data == nullptr) throw std::bad_alloc();
}
Regex::Matcher::~Matcher() = default;

Result<bool> Regex::Matcher::find(std::string_view text, size_t from, size_t* begin, size_t* end) {
  State& s = *state_;
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data() == nullptr ? "" : text.data());
  const auto match = [&] {
    return s.code->jit
               ? pcre2_jit_match(s.code->code, subject, text.size(), from, 0, s.data, s.context)
               : pcre2_match(s.code->code, subject, text.size(), from, PCRE2_NO_UTF_CHECK, s.data,
                             s.context);
  };
  int found = match();
  if (found == PCRE2_ERROR_JIT_STACKLIMIT && s.stack == nullptr) {
    // The default is 32 KiB of the machine's stack; few texts ever need more.
    s.context = pcre2_match_context_create(nullptr);
    s.stack = pcre2_jit_stack_create(kFirstJitStack, kLargestJitStack, nullptr);
    if (s.context == nullptr || s.stack == nullptr) throw std::bad_alloc();
    pcre2_jit_stack_assign(s.context, nullptr, s.stack);
    found = match();
  }
  if (found == PCRE2_ERROR_NOMATCH) return false;
  if (found < 0) {
    return invalid_argument(fmt::format("regular expression '{}' on a text of {} bytes: {}",
                                        s.code->shown, text.size(), error_text(found)));
  }
  const PCRE2_SIZE* range = pcre2_get_ovector_pointer(s.data);
  *begin = range[0];
  *end = range[1];
  s.ranges = static_cast<size_t>(found);
  return true;
}

bool Regex::Matcher::group(size_t number, size_t* begin, size_t* end) const {
  if (number >= state_->ranges) return false;
  const PCRE2_SIZE* range = pcre2_get_ovector_pointer(state_->data) + 2 * number;
  if (range[0] == PCRE2_UNSET) return false;
  *begin = range[0];
  *end = range[1];
  return true;
}

}  // namespace looplm
