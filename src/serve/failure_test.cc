// An engine that cannot go on.
#include <future>
#include <stdexcept>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "base/json.h"
#include "infer/parts.h"
#include "net/http_client.h"
#include "serve/exchange.h"
#include "serve/server.h"
#include "support/status_matchers.h"

namespace looplm {
namespace {

using testing::HasSubstr;

TEST(Failure, OfAnEngineIsToldToEveryClientAndToHealth) {
  const std::unique_ptr<Model> model = Model::load("models/small", {.threads = 1}).value();
  ServeOptions options;
  options.model_name = "small";
  options.http.port = 0;
  const std::unique_ptr<Server> server = Server::listen(options).value();
  ASSERT_OK(server->serve(*model));
  const auto send = [&](const std::string& method, const std::string& path,
                        const OrderedJson& body = {}) {
    HttpRequest request;
    request.method = method;
    request.url = fmt::format("http://127.0.0.1:{}{}", server->port(), path);
    if (!body.is_null()) request.body = body.dump();
    return http_exchange(request).value();
  };
  EXPECT_EQ(send("GET", "/health").status, 200);
  // The next pass fails a check.
  const_cast<PackedMatrix&>(model->parts().weights.head()) = PackedMatrix();
  const OrderedJson body = {{"prompt", "4+8="}, {"max_tokens", 100}, {"ignore_eos", true}};
  std::vector<std::future<HttpResponse>> running;
  running.reserve(5);
  for (int i = 0; i < 4; ++i) {
    running.push_back(
        std::async(std::launch::async, [&] { return send("POST", "/v1/completions", body); }));
  }
  running.push_back(std::async(std::launch::async, [&] {
    OrderedJson streamed = body;
    streamed["stream"] = true;
    return send("POST", "/v1/completions", streamed);
  }));
  for (auto& one : running) {
    const HttpResponse response = one.get();
    EXPECT_EQ(response.status, 500);
    const OrderedJson error = OrderedJson::parse(response.body)["error"];
    EXPECT_EQ(error["type"], "server_error");
    EXPECT_THAT(error["message"].get<std::string>(), HasSubstr("the engine has failed"));
  }
  const HttpResponse later = send("POST", "/v1/completions", body);
  EXPECT_EQ(later.status, 500) << later.body;
  const HttpResponse health = send("GET", "/health");
  EXPECT_EQ(health.status, 503);
  EXPECT_THAT(health.body, HasSubstr("model small: the engine has failed"));
  EXPECT_ERROR_SAYS(server->failure(), "model small", "check");
  EXPECT_TRUE(server->drain(std::chrono::seconds(60)));
}

enum class Throws { kToken, kEnded, kClosed, kWhole, kWholeAndError, kPing };

class Speechless : public AnswerFormat {
 public:
  explicit Speechless(Throws where) : where_(where) {}

  void token(size_t, const GeneratedToken&, std::vector<StreamEvent>& out) override {
    fall_silent(Throws::kToken);
    out.push_back({"", "word"});
  }
  void ended(size_t, const Generation&, std::vector<StreamEvent>&) override {
    fall_silent(Throws::kEnded);
  }
  void closed(const Usage&, std::vector<StreamEvent>&) override { fall_silent(Throws::kClosed); }
  OrderedJson whole(const Usage&) override {
    fall_silent(where_ == Throws::kWholeAndError ? where_ : Throws::kWhole);
    return {};
  }
  OrderedJson error(const ApiError& e) const override {
    fall_silent(Throws::kWholeAndError);
    return e.json();
  }
  std::string ping() const override {
    fall_silent(Throws::kPing);
    return "";
  }

 private:
  void fall_silent(Throws here) const {
    if (here == where_) throw std::runtime_error("no words");
  }
  const Throws where_;
};

class HeardReply : public HttpReply {
 public:
  void send(int status, HttpHeaders, std::string body) override {
    heard.set_value(fmt::format("{} {}", status, body));
  }
  void begin(int status, HttpHeaders) override { streamed_ = fmt::format("{} stream ", status); }
  void write(std::string piece) override { streamed_ += piece; }
  void end() override { heard.set_value(streamed_); }
  void on_disconnect(std::function<void()>) override {}
  void note(const char* name, const std::string& json) override {
    streamed_ += fmt::format("[{} {}]", name, json);
  }

  std::promise<std::string> heard;

 private:
  std::string streamed_;
};

TEST(Failure, OfOneAnswerIsThatAnswersAlone) {
  const std::unique_ptr<Model> model = Model::load("models/small", {.threads = 1}).value();
  ServeMetrics metrics;
  Worker worker;
  EngineRunner runner(*model, {}, 8);
  ExchangeServices services{runner, worker, metrics.of("small"), std::chrono::milliseconds(1)};
  // Broken off where it was not answered.
  const auto answer = [&](Throws where, bool stream) -> std::string {
    Request request;
    request.prompt = model->tokenizer()->encode("4+8=").value();
    request.options.max_tokens = 3;
    request.options.ignore_eos = true;
    auto reply = std::make_shared<HeardReply>();
    std::future<std::string> heard = reply->heard.get_future();
    Exchange::begin(services, {std::move(request)}, 1, stream, std::make_unique<Speechless>(where),
                    std::move(reply));
    try {
      return heard.get();
    } catch (const std::future_error&) {
      return "broken off";
    }
  };
  const auto told = HasSubstr("internal error: no words");
  for (const Throws where : {Throws::kToken, Throws::kEnded, Throws::kWhole}) {
    const std::string whole = answer(where, false);
    EXPECT_THAT(whole, testing::StartsWith("500 "));
    EXPECT_THAT(whole, told);
  }
  for (const Throws where : {Throws::kToken, Throws::kEnded, Throws::kClosed}) {
    EXPECT_THAT(answer(where, true), told);
  }
  EXPECT_THAT(answer(Throws::kClosed, true),
              testing::AllOf(testing::StartsWith("200 stream data: \"word\""),
                             testing::EndsWith("[error 500]")));
  std::promise<void> stopped, pinged;
  std::future<void> engine_waits = std::async(std::launch::async, [&] {
    runner.between_passes([&] {
      stopped.set_value();
      pinged.get_future().wait();
    });
  });
  stopped.get_future().wait();  // or the words come before the first ping
  EXPECT_THAT(answer(Throws::kPing, true), told);
  pinged.set_value();
  engine_waits.get();
  EXPECT_EQ(answer(Throws::kWholeAndError, false), "broken off");
  EXPECT_EQ(answer(Throws::kClosed, false), "200 null");
}

}  // namespace
}  // namespace looplm
