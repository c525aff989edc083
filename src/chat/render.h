// A conversation through a template, as transformers' apply_chat_template renders it.
#ifndef LOOPLM_CHAT_RENDER_H_
#define LOOPLM_CHAT_RENDER_H_

#include <ctime>
#include <map>
#include <string>
#include <vector>

#include "looplm/chat.h"

#include "chat/jinja/program.h"
#include "chat/jinja/value.h"

namespace looplm {

// How a template takes what it is given.
enum class ArgumentsAs { kObject, kText };

struct RenderInput {
  std::vector<jinja::Value> messages;  // dicts
  jinja::Value tools;                  // a list of dicts, or none
  bool add_generation_prompt = false;
  bool continue_final_message = false;
  const std::map<std::string, std::string>* tokens = nullptr;  // or null
  jinja::Dict variables;                                       // more of them
  std::time_t now = 0;
};
Result<jinja::Text> render_conversation(const jinja::Program& program, const RenderInput& input);

// A message as templates see it: keys without a value are left out, reasoning stands under its two
// names. Roles are the template's words; all else is foreign.
jinja::Value message_value(const ChatMessage& message, ArgumentsAs arguments);
jinja::Value tools_value(const std::vector<ChatTool>& tools);

}  // namespace looplm

#endif  // LOOPLM_CHAT_RENDER_H_
