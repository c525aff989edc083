// A small HTTP server inside a test: answers on 127.0.0.1, at a port of its own, what a function
// says. For tests alone.
#ifndef LOOPLM_EXPERIMENTS_CORE_SCRIPTED_SERVER_H_
#define LOOPLM_EXPERIMENTS_CORE_SCRIPTED_SERVER_H_

#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

namespace looplm {

struct ScriptedAnswer {
  int status = 200;
  std::string body{};
  std::vector<std::pair<std::string, std::string>> headers{};
  bool hang_up = false;                // close without a word
  std::chrono::milliseconds delay{0};  // before the answer
};

class ScriptedServer {
 public:
  using Message = boost::beast::http::request<boost::beast::http::string_body>;
  using Handler = std::function<ScriptedAnswer(const Message&)>;

  // `handler` may be called by several threads at once. TLS where a context with a certificate is
  // given, which must outlive the server.
  explicit ScriptedServer(Handler handler, boost::asio::ssl::context* tls = nullptr)
      : handler_(std::move(handler)),
        tls_(tls),
        acceptor_(io_, {boost::asio::ip::make_address("127.0.0.1"), 0}),
        thread_([this] { accept(); }) {}

  ~ScriptedServer() {
    stop_ = true;
    boost::asio::ip::tcp::socket wake(io_);
    boost::system::error_code ignored;
    wake.connect(acceptor_.local_endpoint(), ignored);
    thread_.join();
    for (std::thread& t : connections_) t.join();
  }

  std::string port() const { return std::to_string(acceptor_.local_endpoint().port()); }
  std::string url() const {
    return (tls_ == nullptr ? "http://127.0.0.1:" : "https://localhost:") + port();
  }
  int requests() const { return requests_; }

 private:
  void accept() {
    while (true) {
      boost::asio::ip::tcp::socket socket(io_);
      boost::system::error_code error;
      acceptor_.accept(socket, error);
      if (stop_ || error) return;
      connections_.emplace_back([this, s = std::move(socket)]() mutable { serve(std::move(s)); });
    }
  }

  void serve(boost::asio::ip::tcp::socket socket) {
    boost::system::error_code error;
    if (tls_ == nullptr) return talk(socket, error);
    boost::asio::ssl::stream<boost::asio::ip::tcp::socket> stream(std::move(socket), *tls_);
    stream.handshake(boost::asio::ssl::stream_base::server, error);
    if (!error) talk(stream, error);
  }

  template <typename Stream>
  void talk(Stream& stream, boost::system::error_code& error) {
    namespace http = boost::beast::http;
    boost::beast::flat_buffer buffer;
    Message message;
    http::read(stream, buffer, message, error);
    if (error) return;
    ++requests_;
    const ScriptedAnswer answer = handler_(message);
    const auto until = std::chrono::steady_clock::now() + answer.delay;
    while (!stop_ && std::chrono::steady_clock::now() < until) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    if (answer.hang_up) return;
    http::response<http::string_body> response(static_cast<http::status>(answer.status), 11);
    for (const auto& [name, value] : answer.headers) response.set(name, value);
    response.body() = answer.body;
    response.prepare_payload();
    http::write(stream, response, error);
  }

  Handler handler_;
  boost::asio::ssl::context* tls_;
  std::atomic<bool> stop_ = false;
  std::atomic<int> requests_ = 0;
  boost::asio::io_context io_;
  boost::asio::ip::tcp::acceptor acceptor_;
  std::vector<std::thread> connections_;  // the accepting thread's, until it has ended
  std::thread thread_;
};

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_CORE_SCRIPTED_SERVER_H_
