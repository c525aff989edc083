#include "experiments/core/chat_client.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <thread>

#include <fmt/format.h>

#include "net/http_client.h"

namespace looplm {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLongestWait{60'000};
constexpr milliseconds kLongestAskedWait{300'000};
constexpr milliseconds kLook{50};  // between looks at `stop`

std::string excerpt(const std::string& body) {
  std::string text = body.substr(0, 300);
  std::replace_if(
      text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; }, ' ');
  return text.empty() ? "(empty)" : text;
}

bool worth_another_try(int status) {
  return status == 408 || status == 409 || status == 429 || status >= 500;
}

milliseconds asked_wait(const HttpResponse& response) {
  const std::string value = response.header("Retry-After");
  double seconds = 0;
  const char* end = value.data() + value.size();
  const auto [stopped, error] = std::from_chars(value.data(), end, seconds);
  if (error != std::errc() || stopped != end || !(seconds > 0)) return milliseconds(0);
  return milliseconds(static_cast<int64_t>(
      std::min(1000 * seconds, static_cast<double>(kLongestAskedWait.count()))));
}

bool wait(milliseconds time, const std::atomic<bool>* stop) {
  const auto until = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < until) {
    if (stop != nullptr && stop->load()) return false;
    std::this_thread::sleep_for(std::min(kLook, time));
  }
  return true;
}

std::string text_in(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

int64_t count_in(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number_integer() ? found->get<int64_t>() : 0;
}

// Nothing where the body is not a chat completion.
std::optional<ChatReply> read_reply(const std::string& body) {
  const Result<Json> parsed = parse_json(body, "chat completion");
  if (!parsed.ok() || !parsed.value().is_object()) return std::nullopt;
  const Json& json = parsed.value();
  const Json::json_pointer message("/choices/0/message");
  if (!json.contains(message) || !json.at(message).is_object()) return std::nullopt;
  ChatReply reply;
  reply.text = text_in(json.at(message), "content");
  if (reply.text.empty()) reply.text = text_in(json.at(message), "refusal");
  reply.model = text_in(json, "model");
  if (const auto usage = json.find("usage"); usage != json.end() && usage->is_object()) {
    reply.prompt_tokens = count_in(*usage, "prompt_tokens");
    reply.completion_tokens = count_in(*usage, "completion_tokens");
  }
  return reply;
}

}  // namespace

Result<ChatReply> complete_chat(const ChatEndpoint& endpoint,
                                const std::vector<ClientMessage>& messages) {
  OrderedJson body;
  body["model"] = endpoint.model;
  for (const ClientMessage& m : messages) {
    body["messages"].push_back({{"role", m.role}, {"content", m.content}});
  }
  for (const auto& field : endpoint.extra.items()) body[field.key()] = field.value();

  HttpRequest request;
  request.method = "POST";
  request.url = endpoint.base_url;
  while (request.url.ends_with('/')) request.url.pop_back();
  request.url += "/chat/completions";
  request.headers = {{"Content-Type", "application/json"}};
  if (!endpoint.api_key.empty()) {
    request.headers.emplace_back("Authorization", "Bearer " + endpoint.api_key);
  }
  request.body = dump_json(body);
  request.total_timeout = endpoint.timeout;
  request.stop = endpoint.stop;

  milliseconds pause = endpoint.first_wait;
  for (int attempt = 1;; ++attempt) {
    const Result<HttpResponse> response = http_exchange(request);
    Status failure = response.status();
    milliseconds asked{0};
    if (response.ok()) {
      const HttpResponse& got = response.value();
      if (got.status == 200) {
        if (std::optional<ChatReply> reply = read_reply(got.body)) {
          reply->tries = attempt;
          return *std::move(reply);
        }
        failure =
            io_error(fmt::format("{}: not a chat completion: {}", request.url, excerpt(got.body)));
      } else {
        failure = io_error(
            fmt::format("{}: HTTP status {}: {}", request.url, got.status, excerpt(got.body)));
        if (!worth_another_try(got.status)) return failure;
        asked = asked_wait(got);
      }
    } else if (failure.code() != StatusCode::kIo) {
      return failure;
    }
    if (attempt >= endpoint.tries) {
      return failure.with_context(fmt::format("after {} tries", attempt));
    }
    if (!wait(std::max(pause, asked), endpoint.stop)) {
      return Status(StatusCode::kCancelled, "stopped while waiting to try again");
    }
    pause = std::min(2 * pause, kLongestWait);
  }
}

}  // namespace looplm
