// A conversation with a model: what was said, how deep the model thinks, and the commands that
// change it.
#ifndef LOOPLM_CLI_CHAT_SESSION_H_
#define LOOPLM_CLI_CHAT_SESSION_H_

#include <optional>
#include <string>
#include <vector>

#include "looplm/chat.h"
#include "looplm/engine.h"

namespace looplm::cli {

struct ChatSessionOptions {
  GenerateOptions generate;           // max_tokens 0: as many as fit
  std::optional<std::string> system;  // the system prompt
  std::optional<ChatTemplate> chat;   // without: the model goes on with each text, alone
  bool colors = false;                // tokens by the loops they took
  bool proposals = false;             // shows tokens before their last loop; needs a terminal
};

class ChatSession {
 public:
  // The model has a tokenizer and must outlive this.
  ChatSession(Model& model, ChatSessionOptions options);

  // "/loops", "/exit" and so on, in order.
  static std::vector<std::string> commands();

  // One message, or one command. An error leaves the conversation as it was.
  Status take(const std::string& text);
  // Whether /quit was said.
  bool ended() const { return ended_; }

 private:
  Status command(const std::string& name, const std::string& argument);
  Status set_loops(const std::string& argument);
  Status set_exit(const std::string& argument);
  Status set_system(const std::string& argument);
  Status compare(const std::string& argument);
  Status regenerate();
  Status save(const std::string& path) const;
  Status say(ChatMessage message);
  // Answers `messages_` and shows it.
  Result<ChatMessage> answer(const GenerateOptions& options);
  Result<std::vector<int32_t>> prompt(bool& in_reasoning) const;
  std::string depth_text(const GenerateOptions& options) const;

  Model& model_;
  ChatSessionOptions options_;
  Engine engine_;  // keeps the conversation's keys and values from one answer to the next
  std::vector<ChatMessage> messages_;
  bool ended_ = false;
};

}  // namespace looplm::cli

#endif  // LOOPLM_CLI_CHAT_SESSION_H_
