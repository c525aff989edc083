// A Jinja template, read once and rendered often.
//
// It is the language of Hugging Face's chat templates, as transformers runs it: jinja2's immutable
// sandbox with trim_blocks, lstrip_blocks, loop controls, {% generation %}, raise_exception,
// strftime_now, and a tojson that escapes nothing. The text that comes out is the same, byte for
// byte. Not there: include, import, extends, autoescape, and filters that make web pages.
#ifndef LOOPLM_CHAT_JINJA_PROGRAM_H_
#define LOOPLM_CHAT_JINJA_PROGRAM_H_

#include <cstddef>
#include <ctime>
#include <memory>
#include <string>
#include <string_view>

#include "looplm/status.h"

#include "chat/jinja/parser.h"
#include "chat/jinja/value.h"

namespace looplm::jinja {

struct RenderLimits {
  size_t steps = 20'000'000;  // evaluated nodes, visited items and the like: about a second
  // Of text made in all, what was thrown away again included: this, and as much again for each byte
  // of the variables as templates copy a text (split, joined, put together, ...).
  size_t bytes = size_t{64} << 20;
  size_t bytes_per_input_byte = 64;
};

class Program {
 public:
  // Errors name the line. Sources above 1 MiB are refused.
  static Result<Program> parse(std::string_view source);

  // Renders with variables on top of the globals. `now` is what strftime_now tells. Errors name the
  // line and the cause; a template's own raise_exception gives its message. May be called by
  // several threads at once.
  Result<Text> render(const Dict& variables, std::time_t now,
                      const RenderLimits& limits = {}) const;

 private:
  std::shared_ptr<const ParsedTemplate> template_;
};

}  // namespace looplm::jinja

#endif  // LOOPLM_CHAT_JINJA_PROGRAM_H_
