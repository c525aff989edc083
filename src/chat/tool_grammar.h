// Tool calls as a grammar, for tool_choice "required" or a named tool.
#ifndef LOOPLM_CHAT_TOOL_GRAMMAR_H_
#define LOOPLM_CHAT_TOOL_GRAMMAR_H_

#include <cstdint>
#include <span>
#include <string>

#include "looplm/chat.h"
#include "looplm/status.h"

#include "grammar/expression.h"

namespace looplm {

struct ToolGrammarOptions {
  std::string only{};       // the one tool to call; empty: any
  int64_t most_calls = 16;  // parallel_tool_calls off: 1
};
// Every text of the grammar is one call or several in the model's form, with arguments that the
// tools' schemas allow; ChatOutputParser reads it. Fails on no tools, an unknown name, and schemas
// that cannot be obeyed, naming the place ("tools.get_weather.parameters...").
Result<Grammar> tool_call_grammar(ToolCallFormat format, std::span<const ChatTool> tools,
                                  const ToolGrammarOptions& options = {});

}  // namespace looplm

#endif  // LOOPLM_CHAT_TOOL_GRAMMAR_H_
