// For tests: a server of the bundled model, and requests to it.
#ifndef LOOPLM_SERVE_TEST_SERVER_H_
#define LOOPLM_SERVE_TEST_SERVER_H_

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "base/json.h"
#include "model/chat_model.h"
#include "net/http_client.h"
#include "serve/server.h"
#include "support/status_matchers.h"

namespace looplm {

inline constexpr char kModel[] = "models/small";

class ServerTest : public testing::Test {
 protected:
  void start(ServeOptions options = {}) {
    options.model_name = "small";
    options.http.port = 0;
    server_ = nullptr;
    server_ = Server::listen(options).value();
    model_ = Model::load(kModel, {.threads = 1}).value();
    ServedModelOptions served;
    served.chat = std::make_shared<const ChatTemplate>(
        load_chat_template(kModel, *model_->tokenizer()).value());
    ASSERT_OK(server_->serve(*model_, served));
  }

  HttpResponse send(const std::string& method, const std::string& path,
                    const std::string& body = "",
                    const std::vector<std::pair<std::string, std::string>>& headers = {}) const {
    HttpRequest request;
    request.method = method;
    request.url = fmt::format("http://127.0.0.1:{}{}", server_->port(), path);
    request.headers = headers;
    request.body = body;
    return http_exchange(request).value();
  }
  OrderedJson post(const std::string& path, const OrderedJson& body, int status = 200) const {
    const HttpResponse response = send("POST", path, body.dump());
    EXPECT_EQ(response.status, status) << response.body;
    return OrderedJson::parse(response.body);
  }
  OrderedJson complete(const OrderedJson& body) const { return post("/v1/completions", body); }

  // The events of a stream, without the closing one.
  std::vector<OrderedJson> stream(const std::string& path, OrderedJson body) const {
    body["stream"] = true;
    const HttpResponse response = send("POST", path, body.dump());
    EXPECT_EQ(response.status, 200) << response.body;
    EXPECT_THAT(response.header("content-type"), testing::HasSubstr("text/event-stream"));
    std::vector<OrderedJson> events;
    bool done = false;
    for (size_t at = 0; at < response.body.size();) {
      const size_t end = response.body.find("\n\n", at);
      const std::string event = response.body.substr(at, end - at);
      at = end + 2;
      if (event.starts_with(":")) continue;
      EXPECT_TRUE(event.starts_with("data: ")) << event;
      EXPECT_FALSE(done);
      if (event == "data: [DONE]") {
        done = true;
      } else {
        events.push_back(OrderedJson::parse(event.substr(6)));
      }
    }
    EXPECT_TRUE(done);
    return events;
  }

  // `name` with the braces' labels, or a model's without.
  double metric(const std::string& name, const std::string& model = "small") const {
    const std::string text = send("GET", "/metrics").body;
    for (const std::string& series : {name, fmt::format("{}{{model=\"{}\"}}", name, model)}) {
      const size_t at = text.find("\n" + series + " ");
      if (at != std::string::npos) return std::stod(text.substr(at + series.size() + 2));
    }
    return -1;
  }
  template <typename Condition>
  static bool comes_true(Condition condition) {
    for (int i = 0; i < 6'000 && !condition(); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    return condition();
  }

  std::unique_ptr<Model> model_;
  std::unique_ptr<Server> server_;
};

}  // namespace looplm

#endif  // LOOPLM_SERVE_TEST_SERVER_H_
