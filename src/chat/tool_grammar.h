// Tool calls as a grammar.
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
  std::string only{};        // the one tool to call; empty: any
  int64_t most_calls = 16;   // parallel_tool_calls off: 1
  bool strict_only = false;  // arguments of tools without "strict": true are any object
};
// Every text of the grammar is one call or several in the model's form, with arguments that the
// tools' schemas allow; ChatOutputParser reads it. Fails on no tools, an unknown name, and schemas
// that cannot be obeyed, naming the place ("tools.get_weather.parameters...").
Result<Grammar> tool_call_grammar(ToolCallFormat format, std::span<const ChatTool> tools,
                                  const ToolGrammarOptions& options = {});

// The same where the model may also answer: text in which no call begins, then calls or none.
Result<Grammar> answer_or_calls_grammar(ToolCallFormat format, std::span<const ChatTool> tools,
                                        const ToolGrammarOptions& options = {});

// Whether the tool says "strict": true.
bool is_strict(const ChatTool& tool);

}  // namespace looplm

#endif  // LOOPLM_CHAT_TOOL_GRAMMAR_H_
