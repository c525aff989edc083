// Chat completions of any endpoint that speaks OpenAI's protocol.
#ifndef LOOPLM_EXPERIMENTS_CORE_CHAT_CLIENT_H_
#define LOOPLM_EXPERIMENTS_CORE_CHAT_CLIENT_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "looplm/status.h"

#include "base/json.h"

namespace looplm {

struct ChatEndpoint {
  std::string base_url;  // "https://host/v1"; "/chat/completions" is added
  std::string model;
  std::string api_key{};  // sent as a bearer token; empty: none
  OrderedJson extra{};    // fields added to the request, e.g. {"temperature": 0}
  std::chrono::milliseconds timeout{120'000};  // of one try
  int tries = 6;
  // Between tries: doubled each time, at most a minute. A server's Retry-After in seconds is
  // followed where it asks for longer, up to five minutes.
  std::chrono::milliseconds first_wait{1'000};
  const std::atomic<bool>* stop = nullptr;
};

struct ClientMessage {
  std::string role;
  std::string content;
};

struct ChatReply {
  std::string text;
  std::string model;  // that the server says answered
  int tries = 1;
  int64_t prompt_tokens = 0;  // as the server counts them; 0 where it does not
  int64_t completion_tokens = 0;
};

// Tries again after transport errors, the statuses 408, 409, 429 and from 500 on, and answers that
// are not a chat completion. Other statuses are errors at once, with what the server said.
Result<ChatReply> complete_chat(const ChatEndpoint& endpoint,
                                const std::vector<ClientMessage>& messages);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_CORE_CHAT_CLIENT_H_
