#include "net/http_connection.h"

#include <array>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <fmt/format.h>

#include "base/percent.h"
#include "net/await.h"
#include "net/http_reply.h"
#include "net/url.h"

namespace looplm {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;
using Parser = http::request_parser<http::string_body>;

constexpr size_t kReadSize = 8 << 10;
constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
// What every answer begins with, sent ahead to see whether the client is there.
constexpr std::string_view kProbe = "H";
constexpr std::chrono::milliseconds kProbeAfter{200};

struct Refusal {
  int status = 0;
  std::string message{};
};

// What the header asks of the connection itself and does not get.
Refusal refusal_of_header(const http::fields& header) {
  const auto coding = header[http::field::transfer_encoding];
  if (!coding.empty() && !boost::beast::iequals(coding, "chunked")) {
    return {501, fmt::format("Transfer-Encoding is '{}'; expected chunked, or none",
                             std::string_view(coding.data(), coding.size()))};
  }
  const auto expected = header[http::field::expect];
  if (!expected.empty() && !boost::beast::iequals(expected, "100-continue")) {
    return {417, fmt::format("Expect is '{}'; expected 100-continue, or none",
                             std::string_view(expected.data(), expected.size()))};
  }
  return {};
}

Refusal refusal_of(const error_code& error, const HttpServerOptions& options) {
  if (error == http::error::header_limit) {
    return {431, fmt::format("the request's header has more than {} bytes", options.header_limit)};
  }
  if (error == http::error::body_limit) {
    return {413, fmt::format("the request's body has more than {} bytes", options.body_limit)};
  }
  if (error == http::error::bad_version) return {505, "HTTP versions 1.0 and 1.1 are spoken here"};
  return {400, "the request is not HTTP: " + error.message()};
}

template <typename Stream>
class Connection : public HttpConnection, public std::enable_shared_from_this<Connection<Stream>> {
 public:
  template <typename... Arguments>
  Connection(HttpService& service, std::function<void()> closed, Arguments&&... arguments)
      : service_(service),
        closed_(std::move(closed)),
        stream_(std::forward<Arguments>(arguments)...),
        signal_(stream_.get_executor()),
        room_(stream_.get_executor()),
        guard_(stream_.get_executor()) {
    signal_.expires_at(Clock::time_point::max());
    room_.expires_at(Clock::time_point::max());
    error_code ignored;
    const asio::ip::tcp::endpoint peer = socket().remote_endpoint(ignored);
    if (!ignored) peer_ = fmt::format("{}:{}", peer.address().to_string(), peer.port());
    socket().set_option(asio::ip::tcp::no_delay(true), ignored);
    socket().non_blocking(true, ignored);
  }
  ~Connection() override { closed_(); }

  void start() override {
    asio::co_spawn(
        stream_.get_executor(), [self = this->shared_from_this()] { return self->session(); },
        asio::detached);
  }

  void drain() override {
    asio::post(stream_.get_executor(), [self = this->shared_from_this()] { self->wake(); });
  }

  void cut() override {
    asio::post(stream_.get_executor(), [self = this->shared_from_this()] { self->close(); });
  }

 private:
  static constexpr bool kTls = !std::is_same_v<Stream, HttpSocket>;

  HttpSocket& socket() {
    if constexpr (kTls) {
      return stream_.next_layer();
    } else {
      return stream_;
    }
  }

  void wake() { signal_.cancel(); }

  // Until wake(), or the deadline: then false.
  asio::awaitable<bool> wait_until(Clock::time_point deadline) {
    signal_.expires_at(deadline);
    const auto [error] = co_await signal_.async_wait(kAwait);
    co_return error == asio::error::operation_aborted;
  }

  void close() {
    error_code ignored;
    socket().cancel(ignored);
    socket().close(ignored);
    input_ended_ = true;
    half_closed_ = false;
    signal_.cancel();
    room_.cancel();
    guard_.cancel();
  }

  // Keeps one read outstanding, while there is room for what it brings.
  asio::awaitable<void> read_on() {
    const auto self = this->shared_from_this();
    while (!input_ended_) {
      if (input_.size() >= service_.options.header_limit + kReadSize) {
        room_.expires_at(Clock::time_point::max());
        co_await room_.async_wait(kAwait);
        continue;
      }
      const auto [error, count] = co_await stream_.async_read_some(asio::buffer(arrived_), kAwait);
      if (error) {
        input_ended_ = true;
        half_closed_ = !kTls && error == asio::error::eof;
        wake();
        break;
      }
      input_.append(arrived_.data(), count);
      wake();
    }
    // A client that has sent all it will send may still read; one that has closed answers the next
    // bytes with a reset.
    if (!half_closed_) co_return;
    co_await socket().async_wait(asio::socket_base::wait_error, kAwait);
    half_closed_ = false;
    wake();
  }

  // What is queued, and all that is queued meanwhile. False when the client does not take it.
  asio::awaitable<bool> write_out(ReplyQueue& queue) {
    while (!queue.out.empty()) {
      std::string bytes;
      bytes.swap(queue.out);
      if (!co_await write(bytes)) co_return false;
      queue.unread.fetch_sub(bytes.size(), std::memory_order_relaxed);
    }
    co_return true;
  }

  // Named buffers only: GCC 12 destroys temporaries of a co_await expression twice.
  asio::awaitable<bool> write(std::string_view bytes) {
    size_t written = 0;
    if constexpr (!kTls) {
      // Nearly always the system takes all at once, and no timer is needed.
      error_code error;
      written = socket().write_some(asio::buffer(bytes.data(), bytes.size()), error);
      if (error && error != asio::error::would_block) co_return false;
    }
    while (written < bytes.size()) {
      // Each piece that a client takes gives it time for the next.
      guard_.expires_after(service_.options.write_timeout);
      guard_.async_wait([weak = this->weak_from_this()](const error_code& error) {
        const auto self = weak.lock();
        if (!error && self) self->close();
      });
      const auto [error, count] = co_await stream_.async_write_some(
          asio::buffer(bytes.data() + written, std::min<size_t>(bytes.size() - written, 64 << 10)),
          kAwait);
      guard_.cancel();
      if (error) co_return false;
      written += count;
    }
    co_return true;
  }

  asio::awaitable<void> session() {
    const auto self = this->shared_from_this();
    if constexpr (kTls) {
      guard_.expires_after(service_.options.header_timeout);
      guard_.async_wait([weak = this->weak_from_this()](const error_code& error) {
        const auto connection = weak.lock();
        if (!error && connection) connection->close();
      });
      const auto [error] = co_await stream_.async_handshake(asio::ssl::stream_base::server, kAwait);
      guard_.cancel();
      if (error) co_return close();
    }
    asio::co_spawn(
        stream_.get_executor(), [self] { return self->read_on(); }, asio::detached);
    while (co_await exchange()) {
    }
    // The client reads the answer's end before the connection goes: what it has sent beyond would
    // otherwise reset it.
    if (!input_ended_) {
      error_code ignored;
      socket().shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
      const Clock::time_point deadline = Clock::now() + kLinger;
      while (!input_ended_ && Clock::now() < deadline) {
        consume(input_.size());
        co_await wait_until(deadline);
      }
    }
    close();
  }

  bool first_line_ends_properly() const {
    const size_t end = input_.find('\n');
    return end == std::string::npos || (end > 0 && input_[end - 1] == '\r');
  }

  void consume(size_t count) {
    input_.erase(0, count);
    room_.cancel();
  }

  // One request and its answer. False: the connection ends.
  asio::awaitable<bool> exchange() {
    Parser parser;
    parser.header_limit(service_.options.header_limit);
    parser.body_limit(service_.options.body_limit);
    parser.eager(true);
    Refusal refusal;
    if (!co_await read_request(parser, refusal)) {
      if (refusal.status != 0) co_await refuse(refusal);
      co_return false;
    }
    http::request<http::string_body> message = parser.release();
    if (message.version() >= 11 && message.count(http::field::host) != 1) {
      refusal = {400, "an HTTP/1.1 request must have one Host header"};
      co_await refuse(refusal);
      co_return false;
    }
    auto queue = std::make_shared<ReplyQueue>();
    queue->wake = [weak = this->weak_from_this()] {
      if (const auto self = weak.lock()) self->wake();
    };
    queue->head_only = message.method() == http::verb::head;
    queue->chunked = message.version() >= 11;
    queue->keep_alive = message.keep_alive() && !service_.draining.load(std::memory_order_relaxed);
    call(std::move(message), queue);
    co_return co_await answer(*queue) && queue->keep_alive;
  }

  // False where there is none, or one that is refused.
  asio::awaitable<bool> read_request(Parser& parser, Refusal& refusal) {
    const HttpServerOptions& options = service_.options;
    Clock::time_point deadline = Clock::now() + options.idle_timeout;
    bool begun = false;
    bool in_body = false;
    while (!parser.is_done()) {
      // Some clients end a body with a line end that does not belong to it.
      while (!begun && input_.starts_with("\r\n")) consume(2);
      if (input_.size() > 0 && (begun || input_ != "\r")) {
        if (!begun) deadline = Clock::now() + options.header_timeout;
        begun = true;
        error_code error;
        const size_t used = parser.put(asio::buffer(input_), error);
        if (error && error != http::error::need_more) {
          refusal = refusal_of(error, options);
          if (error == http::error::bad_version && !first_line_ends_properly()) {
            refusal = {400, "the request's lines end with LF; expected CR and LF"};
          }
        }
        consume(used);
        if (refusal.status != 0) {
          co_return false;
        }
        if (parser.is_header_done() && !in_body) {
          in_body = true;
          deadline = Clock::now() + options.body_timeout;
          refusal = refusal_of_header(parser.get());
          if (refusal.status != 0) co_return false;
          if (!parser.is_done() &&
              boost::beast::iequals(parser.get()[http::field::expect], "100-continue")) {
            if (!co_await write(kContinue)) co_return false;
          }
        }
        if (parser.is_done() || (used > 0 && input_.size() > 0)) continue;
      }
      if (input_ended_) co_return false;
      if (!begun && service_.draining.load(std::memory_order_relaxed)) co_return false;
      if (!co_await wait_until(deadline)) {
        if (begun) {
          refusal = {408, in_body ? "the request's body did not arrive in time"
                                  : "the request's header did not arrive in time"};
        }
        co_return false;
      }
    }
    co_return true;
  }

  void call(http::request<http::string_body> message, const std::shared_ptr<ReplyQueue>& queue) {
    HttpCall call;
    call.method = std::string(message.method_string());
    std::string target(message.target());
    // "http://host/path" is the form for proxies, which servers must understand too.
    if (const size_t scheme = target.find("://"); scheme != std::string::npos && target[0] != '/') {
      target.erase(0, std::min(target.find('/', scheme + 3), target.size()));
    }
    const size_t mark = std::min(target.find('?'), target.size());
    call.path = percent_decoded(std::string_view(target).substr(0, mark));
    if (mark < target.size()) call.query = target.substr(mark + 1);
    for (const auto& field : message) {
      call.headers.emplace_back(field.name_string(), field.value());
    }
    call.body = std::move(message.body());
    call.peer = peer_;
    const std::shared_ptr<HttpReply> reply =
        make_http_reply(service_.io, stream_.get_executor(), queue, service_.options.unread_limit);
    try {
      service_.handler(std::move(call), reply);
    } catch (const std::exception& error) {
      reply->send(500, {{"Content-Type", "application/json"}},
                  service_.refusal(500, std::string("internal error: ") + error.what()));
    }
  }

  // Writes the answer as it comes. False when the client has left, or the answer was cut.
  asio::awaitable<bool> answer(ReplyQueue& queue) {
    Clock::time_point probe = Clock::time_point::max();
    while (true) {
      const bool taken = co_await write_out(queue);
      if (queue.gone) co_return false;
      if (taken && queue.ended) co_return !queue.cut;
      if (!taken || (input_ended_ && !half_closed_)) {
        queue.leave();
        co_return false;
      }
      if (half_closed_ && !queue.begun && !queue.probed && probe == Clock::time_point::max()) {
        probe = Clock::now() + kProbeAfter;
      }
      if (co_await wait_until(probe)) continue;
      // The answer's first byte: it tells nothing to a client that still reads, and makes one that
      // has closed reply with a reset.
      probe = Clock::time_point::max();
      if (queue.begun) continue;
      queue.probed = true;
      if (!co_await write(kProbe)) {
        queue.leave();
        co_return false;
      }
    }
  }

  asio::awaitable<void> refuse(const Refusal& refusal) {
    const std::string body = service_.refusal(refusal.status, refusal.message);
    const HttpHeaders headers = {{"Content-Type", "application/json"}};
    const std::string answer =
        response_head(refusal.status, headers, static_cast<int64_t>(body.size()), false) + body;
    co_await write(answer);
  }

  static constexpr std::chrono::milliseconds kLinger{2'000};

  HttpService& service_;
  const std::function<void()> closed_;
  Stream stream_;
  std::array<char, kReadSize> arrived_;  // the read under way fills it
  std::string input_;                    // not yet parsed
  bool input_ended_ = false;
  bool half_closed_ = false;   // the client sends no more and has not been seen to close
  asio::steady_timer signal_;  // cancelled to wake the session
  asio::steady_timer room_;    // cancelled when the reader may go on
  asio::steady_timer guard_;   // closes the connection when it expires
  std::string peer_;
};

}  // namespace

std::shared_ptr<HttpConnection> make_http_connection(HttpSocket socket, HttpService& service,
                                                     std::function<void()> closed) {
  return std::make_shared<Connection<HttpSocket>>(service, std::move(closed), std::move(socket));
}

std::shared_ptr<HttpConnection> make_https_connection(HttpSocket socket, asio::ssl::context& tls,
                                                      HttpService& service,
                                                      std::function<void()> closed) {
  return std::make_shared<Connection<asio::ssl::stream<HttpSocket>>>(service, std::move(closed),
                                                                     std::move(socket), tls);
}

}  // namespace looplm
