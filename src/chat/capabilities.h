// What a template can take, found by rendering small conversations with it, and conversations
// changed into what it can take.
#ifndef LOOPLM_CHAT_CAPABILITIES_H_
#define LOOPLM_CHAT_CAPABILITIES_H_

#include <map>
#include <span>
#include <string>
#include <vector>

#include "looplm/chat.h"

#include "chat/jinja/program.h"
#include "chat/render.h"

namespace looplm {

struct ChatCapabilities {
  bool developer = false;  // knows the role, else its messages are the system's
  bool system = false;
  bool plain_content = false;
  bool parts = false;  // content as a list of parts
  bool tools = false;
  bool tool_calls = false;
  bool tool_role = false;
  ArgumentsAs arguments = ArgumentsAs::kObject;
};
// A tool for small conversations that show what a template does.
ChatTool probe_tool();
ChatCapabilities find_capabilities(const jinja::Program& program, const std::string& source,
                                   const std::map<std::string, std::string>& tokens);

// What adapted() works around, in words for users.
std::vector<std::string> capability_notes(const ChatCapabilities& capabilities);

// The messages, changed so that the template neither drops nor refuses anything for lack of a
// feature. If it has no place for tools, the system message describes them, and calls and answers
// are written out in Hermes' form.
std::vector<ChatMessage> adapted(std::span<const ChatMessage> messages,
                                 const std::vector<ChatTool>& tools,
                                 const ChatCapabilities& capabilities);

}  // namespace looplm

#endif  // LOOPLM_CHAT_CAPABILITIES_H_
