// A server inside a test that answers on 127.0.0.1, at a port of its own, what a function says.
#ifndef LOOPLM_TESTS_SUPPORT_SCRIPTED_SERVER_H_
#define LOOPLM_TESTS_SUPPORT_SCRIPTED_SERVER_H_

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "net/http_server.h"

namespace looplm {

struct ScriptedAnswer {
  int status = 200;
  std::string body{};
  HttpHeaders headers{};
  bool hang_up = false;  // close without a word
  bool silent = false;   // never answer
};

class ScriptedServer {
 public:
  // One thread calls it.
  using Handler = std::function<ScriptedAnswer(const HttpCall&)>;

  explicit ScriptedServer(Handler handler, HttpServerOptions options = {})
      : tls_(!options.certificate_file.empty()) {
    options.threads = 1;
    const auto answer = [this, handler = std::move(handler)](
                            const HttpCall& call, const std::shared_ptr<HttpReply>& reply) {
      ++requests_;
      ScriptedAnswer a = handler(call);
      if (a.silent) unanswered_.push_back(reply);
      if (!a.silent && !a.hang_up) reply->send(a.status, a.headers, a.body);
    };
    const auto refusal = [](int, const std::string& message) { return message; };
    server_ = HttpServer::start(options, answer, refusal).value();
  }

  std::string port() const { return std::to_string(server_->port()); }
  std::string url() const { return (tls_ ? "https://localhost:" : "http://127.0.0.1:") + port(); }
  int requests() const { return requests_; }

 private:
  const bool tls_;
  std::atomic<int> requests_ = 0;
  std::vector<std::shared_ptr<HttpReply>> unanswered_;  // the server's thread alone
  std::unique_ptr<HttpServer> server_;                  // goes first
};

}  // namespace looplm

#endif  // LOOPLM_TESTS_SUPPORT_SCRIPTED_SERVER_H_
