#include "experiments/core/chat_client.h"

#include <mutex>
#include <thread>

#include <gmock/gmock.h>

#include "support/scripted_server.h"

namespace looplm {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

ScriptedAnswer completion(const std::string& text) {
  const Json body = {{"model", "scripted-1"},
                     {"choices", {{{"message", {{"role", "assistant"}, {"content", text}}}}}},
                     {"usage", {{"prompt_tokens", 7}, {"completion_tokens", 3}}}};
  return {200, body.dump()};
}

// Gives these answers in turn, then the last one again.
class Script {
 public:
  explicit Script(std::vector<ScriptedAnswer> answers) : answers_(std::move(answers)) {}
  ScriptedAnswer operator()(const HttpCall& message) {
    const std::lock_guard lock(mutex_);
    last = message;
    return answers_[std::min(next_++, answers_.size() - 1)];
  }
  HttpCall last;

 private:
  std::mutex mutex_;
  std::vector<ScriptedAnswer> answers_;
  size_t next_ = 0;
};

ChatEndpoint endpoint_of(const ScriptedServer& server) {
  ChatEndpoint endpoint;
  endpoint.base_url = server.url() + "/v1/";
  endpoint.model = "judge";
  endpoint.first_wait = milliseconds(1);
  return endpoint;
}

TEST(ChatClient, SendsTheProtocolAndReadsTheReply) {
  Script script({completion("hello")});
  const ScriptedServer server(std::ref(script));
  ChatEndpoint endpoint = endpoint_of(server);
  endpoint.api_key = "k-1";
  endpoint.extra = {{"temperature", 0}};
  const ChatReply reply =
      complete_chat(endpoint, {{"system", "Be \"brief\"."}, {"user", "Say hello."}}).value();
  EXPECT_EQ(reply.text, "hello");
  EXPECT_EQ(reply.model, "scripted-1");
  EXPECT_EQ(reply.tries, 1);
  EXPECT_EQ(reply.prompt_tokens, 7);
  EXPECT_EQ(reply.completion_tokens, 3);
  EXPECT_EQ(script.last.path, "/v1/chat/completions");
  EXPECT_EQ(script.last.header("authorization"), "Bearer k-1");
  EXPECT_EQ(script.last.header("content-type"), "application/json");
  EXPECT_EQ(Json::parse(script.last.body),
            Json::parse(R"({"model": "judge", "temperature": 0, "messages": [
                {"role": "system", "content": "Be \"brief\"."},
                {"role": "user", "content": "Say hello."}]})"));
}

TEST(ChatClient, TriesAgainAfterWhatMayPass) {
  Script script({{500, "broken"},
                 {429, "slow down", {{"Retry-After", "0.01"}}},
                 {.hang_up = true},
                 {200, "<html>a proxy</html>"},
                 {200, R"({"choices": []})"},
                 completion("at last")});
  const ScriptedServer server(std::ref(script));
  const ChatReply reply = complete_chat(endpoint_of(server), {{"user", "?"}}).value();
  EXPECT_EQ(reply.text, "at last");
  EXPECT_EQ(reply.tries, 6);
  EXPECT_EQ(server.requests(), 6);
}

TEST(ChatClient, WaitsLongerEachTimeAndAsLongAsAsked) {
  Script script({{503, ""}, {503, ""}, {429, "", {{"Retry-After", "0.3"}}}, completion("ok")});
  const ScriptedServer server(std::ref(script));
  ChatEndpoint endpoint = endpoint_of(server);
  endpoint.first_wait = milliseconds(40);
  const auto start = std::chrono::steady_clock::now();
  ASSERT_TRUE(complete_chat(endpoint, {{"user", "?"}}).ok());
  // 40 + 80 + the 300 asked for, which is more than 160.
  EXPECT_GE(std::chrono::steady_clock::now() - start, milliseconds(420));
}

TEST(ChatClient, GivesUpWithWhatTheServerSaid) {
  const ScriptedServer down([](const auto&) { return ScriptedAnswer{500, "no\nroom"}; });
  ChatEndpoint endpoint = endpoint_of(down);
  endpoint.tries = 3;
  const Status status = complete_chat(endpoint, {{"user", "?"}}).status();
  EXPECT_THAT(status.message(), HasSubstr("after 3 tries"));
  EXPECT_THAT(status.message(), HasSubstr("HTTP status 500: no room"));
  EXPECT_EQ(down.requests(), 3);

  const ScriptedServer refuses([](const auto&) { return ScriptedAnswer{401, "no such key"}; });
  ChatEndpoint keyed = endpoint_of(refuses);
  keyed.api_key = "k-secret";
  const Status refused = complete_chat(keyed, {{"user", "?"}}).status();
  EXPECT_THAT(refused.message(), HasSubstr("HTTP status 401: no such key"));
  EXPECT_THAT(refused.message(), testing::Not(HasSubstr("k-secret")));
  EXPECT_EQ(refuses.requests(), 1);
}

TEST(ChatClient, StopsBetweenTries) {
  const ScriptedServer down([](const auto&) { return ScriptedAnswer{503, ""}; });
  ChatEndpoint endpoint = endpoint_of(down);
  endpoint.first_wait = milliseconds(60'000);
  std::atomic<bool> stop = false;
  endpoint.stop = &stop;
  std::thread later([&] {
    std::this_thread::sleep_for(milliseconds(50));
    stop = true;
  });
  EXPECT_EQ(complete_chat(endpoint, {{"user", "?"}}).status().code(), StatusCode::kCancelled);
  later.join();
}

}  // namespace
}  // namespace looplm
