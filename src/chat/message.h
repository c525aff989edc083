// Messages and tools from parsed JSON.
#ifndef LOOPLM_CHAT_MESSAGE_H_
#define LOOPLM_CHAT_MESSAGE_H_

#include <string>
#include <vector>

#include "looplm/chat.h"

#include "base/json.h"

namespace looplm {

// `place` begins the places in messages ("messages", "tools").
Result<std::vector<ChatMessage>> read_chat_messages(const OrderedJson& list,
                                                    const std::string& place);
Result<std::vector<ChatTool>> read_chat_tools(const OrderedJson& list, const std::string& place);

}  // namespace looplm

#endif  // LOOPLM_CHAT_MESSAGE_H_
