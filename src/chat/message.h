// Messages and tools from parsed JSON.
#ifndef LOOPLM_CHAT_MESSAGE_H_
#define LOOPLM_CHAT_MESSAGE_H_

#include <string>
#include <string_view>
#include <vector>

#include "looplm/chat.h"

#include "base/json.h"

namespace looplm {

// Names of tools and of response formats. OpenAI's chat takes up to 64 characters of these; its
// Responses and Anthropic's Messages take 128, and names of MCP tools are long.
bool is_api_name(std::string_view name);
inline constexpr char kApiNameExpected[] = "1 to 128 of a-z, A-Z, 0-9, _ and -";

// `place` begins the places in messages ("messages", "tools"). Tools may have any names here, as
// those of training files do.
Result<std::vector<ChatMessage>> read_chat_messages(const OrderedJson& list,
                                                    const std::string& place);
Result<std::vector<ChatTool>> read_chat_tools(const OrderedJson& list, const std::string& place);

}  // namespace looplm

#endif  // LOOPLM_CHAT_MESSAGE_H_
