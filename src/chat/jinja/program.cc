#include "chat/jinja/program.h"

#include <fmt/format.h>

#include "chat/jinja/interpreter.h"
#include "chat/jinja/lexer.h"
#include "chat/jinja/objects.h"
#include "text/utf8.h"

namespace looplm::jinja {
namespace {

constexpr size_t kMaxSource = size_t{1} << 20;

Status at_line(int line, const std::string& message) {
  return invalid_argument(fmt::format("line {}: {}", line, message));
}

}  // namespace

Result<Program> Program::parse(std::string_view source) {
  if (source.size() > kMaxSource) {
    return invalid_argument(
        fmt::format("the template has {} bytes; expected at most {}", source.size(), kMaxSource));
  }
  if (!is_utf8(source)) return invalid_argument("the template is not UTF-8");
  try {
    Program program;
    program.template_ = std::make_shared<const ParsedTemplate>(parse_template(source));
    return program;
  } catch (const SourceFailure& failure) {
    return at_line(failure.line, failure.message);
  }
}

Result<Text> Program::render(const Dict& variables, std::time_t now,
                             const RenderLimits& limits) const {
  size_t input = 0;
  for (const Dict::Entry& entry : variables.entries()) input += entry.value.weight() * kWeightBytes;
  Budget budget(limits.steps + input, limits.bytes + input * limits.bytes_per_input_byte);
  const std::vector<std::string>& names = template_->names;
  Interpreter interpreter(names, budget, now);
  try {
    set_globals(interpreter.root(), names);
    for (size_t id = 0; id < names.size(); ++id) {
      if (const Value* value = variables.find(names[id])) {
        interpreter.root().set(static_cast<int>(id), *value);
      }
    }
    TextBuilder out(budget);
    template_->body.execute(interpreter, interpreter.root(), out);
    return out.take();
  } catch (const Failure& failure) {
    return at_line(interpreter.line(), failure.message);
  }
}

}  // namespace looplm::jinja
