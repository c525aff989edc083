// Regular expressions of tokenizer files, matched by PCRE2.
//
// The files are written for Oniguruma's Ruby syntax with Unicode classes. Where PCRE2 means
// something else by the same letters, the pattern is rewritten (\s, \w, \d) or refused.
#ifndef LOOPLM_TEXT_REGEX_H_
#define LOOPLM_TEXT_REGEX_H_

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "looplm/status.h"

namespace looplm {

// May be used by several threads at once.
class Regex {
 public:
  static Result<Regex> compile(const std::string& pattern);
  // Matches the text itself.
  static Result<Regex> literal(const std::string& text);
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;
  ~Regex();

  size_t groups() const;  // that capture, without the whole match

  // Finds matches from left to right without overlap in one text after another.
  class Matcher {
   public:
    explicit Matcher(const Regex& regex);
    ~Matcher();
    Matcher(const Matcher&) = delete;
    Matcher& operator=(const Matcher&) = delete;

    // The next match at or after `from` in valid UTF-8. False: none. An error that names the
    // pattern when it needs more steps than PCRE2 allows (10 million), which only a pathological
    // pattern does.
    Result<bool> find(std::string_view text, size_t from, size_t* begin, size_t* end);
    // Of the match last found: where a group stands, from 1; 0 is the whole. False for a group that
    // took no part or does not exist.
    bool group(size_t number, size_t* begin, size_t* end) const;

   private:
    struct State;
    std::unique_ptr<State> state_;
  };

 private:
  struct Code;
  explicit Regex(std::unique_ptr<Code> code);
  static Result<Regex> build(const std::string& pattern, uint32_t options,
                             const std::string& shown);
  std::unique_ptr<Code> code_;
};

// The pattern in PCRE2's dialect.
Result<std::string> translate_pattern(const std::string& pattern);

}  // namespace looplm

#endif  // LOOPLM_TEXT_REGEX_H_
