// A chat template on a small conversation: renders, or is refused with words that name a line,
// within bounds. What renders is UTF-8 in which everything foreign was in the conversation or made
// of it.
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/check.h"
#include "base/json.h"
#include "chat/jinja/json_value.h"
#include "chat/jinja/program.h"
#include "text/utf8.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace looplm;
  using namespace looplm::jinja;
  const std::string source(reinterpret_cast<const char*>(data), size);
  const Result<Program> program = Program::parse(source);
  if (!program.ok()) {
    LOOPLM_CHECK(!program.status().message().empty());
    return 0;
  }
  static const OrderedJson context = OrderedJson::parse(R"({
      "messages": [{"role": "system", "content": "Be brief."},
                   {"role": "user", "content": "Hi é 😀 <|x|>"},
                   {"role": "assistant", "content": "", "tool_calls": [{"id": "abcdefghi", "type": "function",
                     "function": {"name": "f", "arguments": {"a": [1, 2.5, null, true]}}}]},
                   {"role": "tool", "content": "4"}],
      "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
      "bos_token": "<s>", "eos_token": "</s>", "add_generation_prompt": true})");
  const Value variables = from_json(context, kForeign);
  const RenderLimits limits{.steps = 100'000, .bytes = size_t{1} << 20, .bytes_per_input_byte = 8};
  const Result<Text> text = program.value().render(*variables.dict(), 0, limits);
  if (!text.ok()) {
    LOOPLM_CHECK(text.status().message().starts_with("line "), "{}", text.status().message());
    return 0;
  }
  LOOPLM_CHECK(is_utf8(text.value().view()));
  size_t at = 0;
  text.value().for_each_run(0, text.value().size(), [&](std::string_view part, Marks) {
    LOOPLM_CHECK(!part.empty() && is_utf8(part), "a part at {} is not whole", at);
    at += part.size();
  });
  LOOPLM_CHECK(at == text.value().size());
  return 0;
}
