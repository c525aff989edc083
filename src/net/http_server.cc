#include "net/http_server.h"

#include <condition_variable>
#include <map>
#include <mutex>
#include <system_error>
#include <thread>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/write.hpp>
#include <fmt/format.h>
#include <sys/resource.h>

#include "net/await.h"
#include "net/http_connection.h"
#include "net/http_reply.h"

namespace looplm {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

// After an error of accept(), such as too many open files: time for connections to end.
constexpr std::chrono::milliseconds kAcceptPause{50};

// Each connection takes a file descriptor; the rest of the program keeps some. Raises the process's
// limit as far as is allowed, and returns how many connections fit: beyond it accept() would fail,
// and clients would wait for nothing instead of being turned away.
int64_t connections_that_fit(int64_t wanted) {
  constexpr rlim_t kReserve = 256;
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return wanted;
  const rlim_t needed = static_cast<rlim_t>(wanted) + kReserve;
  if (limit.rlim_cur < needed) {
    const rlim_t before = limit.rlim_cur;
    limit.rlim_cur = std::min(limit.rlim_max, needed);
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) limit.rlim_cur = before;
  }
  const rlim_t fit = limit.rlim_cur - std::min(kReserve, limit.rlim_cur / 2);
  return static_cast<int64_t>(std::min(static_cast<rlim_t>(wanted), fit));
}

Status prepare_tls(asio::ssl::context& tls, const HttpServerOptions& options) {
  tls.set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_sslv2 |
                  asio::ssl::context::no_sslv3 | asio::ssl::context::no_tlsv1 |
                  asio::ssl::context::no_tlsv1_1);
  error_code error;
  tls.use_certificate_chain_file(options.certificate_file, error);
  if (error) {
    return invalid_argument(fmt::format("TLS certificate '{}': {}; expected a PEM file",
                                        options.certificate_file, error.message()));
  }
  bool encrypted = false;  // a server must not ask at the terminal
  tls.set_password_callback(
      [&encrypted](size_t, asio::ssl::context::password_purpose) {
        encrypted = true;
        return std::string();
      },
      error);
  tls.use_private_key_file(options.key_file, asio::ssl::context::pem, error);
  if (encrypted) {
    return invalid_argument(fmt::format(
        "TLS key '{}' is encrypted; expected a key without a pass phrase", options.key_file));
  }
  if (error) {
    return invalid_argument(fmt::format("TLS key '{}': {}; expected the certificate's key as PEM",
                                        options.key_file, error.message()));
  }
  return {};
}

}  // namespace

class HttpServer::Impl {
 public:
  Impl(const HttpServerOptions& options, HttpHandler handler, HttpRefusal refusal)
      : io_(std::make_shared<asio::io_context>(options.threads)),
        work_(asio::make_work_guard(*io_)),
        acceptor_(asio::make_strand(*io_)),
        tls_(asio::ssl::context::tls_server) {
    service_.io = io_;
    service_.options = options;
    service_.options.connection_limit = connections_that_fit(options.connection_limit);
    service_.handler = std::move(handler);
    service_.refusal = std::move(refusal);
  }

  Status open() {
    const HttpServerOptions& o = service_.options;
    if (o.certificate_file.empty() != o.key_file.empty()) {
      return invalid_argument("TLS needs a certificate and its key; only one of them is given");
    }
    with_tls_ = !o.certificate_file.empty();
    if (with_tls_) LOOPLM_RETURN_IF_ERROR(prepare_tls(tls_, o));
    error_code error;
    tcp::resolver resolver(*io_);
    const auto places =
        resolver.resolve(o.host, std::to_string(o.port),
                         tcp::resolver::passive | tcp::resolver::numeric_service, error);
    if (error || places.empty()) {
      return invalid_argument(
          fmt::format("host '{}' cannot be listened on: {}", o.host, error.message()));
    }
    const tcp::endpoint place = places.begin()->endpoint();
    acceptor_.open(place.protocol(), error);
    if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor_.bind(place, error);
    if (!error) acceptor_.listen(tcp::acceptor::max_listen_connections, error);
    if (error) {
      const bool taken = error == boost::asio::error::address_in_use;
      return io_error(fmt::format("cannot listen on {}:{}: {}{}", o.host, o.port, error.message(),
                                  taken ? "; port 0 picks a free one" : ""));
    }
    port_ = acceptor_.local_endpoint().port();
    try {
      for (int i = 0; i < o.threads; ++i) {
        threads_.emplace_back([io = io_] { io->run(); });
      }
    } catch (const std::system_error& refused) {  // a limit of processes or of memory
      stop();
      return io_error(fmt::format("cannot start {} threads of the server: {}", o.threads,
                                  refused.code().message()));
    }
    asio::co_spawn(acceptor_.get_executor(), accept(), asio::detached);
    return {};
  }

  uint16_t port() const { return port_; }

  int64_t connections() {
    const std::lock_guard lock(mutex_);
    return static_cast<int64_t>(open_.size());
  }

  void drain() {
    service_.draining = true;
    asio::post(acceptor_.get_executor(), [this] {
      error_code ignored;
      acceptor_.close(ignored);
    });
    for_each_connection([](HttpConnection& c) { c.drain(); });
  }

  bool wait_drained(std::chrono::milliseconds timeout) {
    std::unique_lock lock(mutex_);
    return empty_.wait_for(lock, timeout, [this] { return open_.empty(); });
  }

  void stop() {
    if (threads_.empty()) return;
    drain();
    work_.reset();
    // A connection that is accepted at this moment hears of it in the next round.
    do {
      for_each_connection([](HttpConnection& c) { c.cut(); });
    } while (!wait_drained(std::chrono::milliseconds(100)));
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

 private:
  asio::awaitable<void> accept() {
    while (acceptor_.is_open()) {
      // Named: GCC 12 destroys temporaries of a co_await expression twice.
      const asio::any_io_executor strand = asio::make_strand(*io_);
      auto [error, socket] = co_await acceptor_.async_accept(strand, kAwait);
      if (!acceptor_.is_open()) break;
      if (error) {
        asio::steady_timer pause(acceptor_.get_executor(), kAcceptPause);
        co_await pause.async_wait(kAwait);
        continue;
      }
      if (connections() >= service_.options.connection_limit) {
        asio::co_spawn(*io_, turn_away(std::move(socket)), asio::detached);
        continue;
      }
      welcome(std::move(socket));
    }
  }

  asio::awaitable<void> turn_away(HttpSocket socket) {
    if (with_tls_) co_return;  // a handshake is what there is no room for
    const std::string body = service_.refusal(
        503, fmt::format("{} connections are open, no more are taken; try again later",
                         service_.options.connection_limit));
    const HttpHeaders headers = {{"Content-Type", "application/json"}, {"Retry-After", "1"}};
    const std::string answer =
        response_head(503, headers, static_cast<int64_t>(body.size()), false) + body;
    co_await asio::async_write(socket, asio::buffer(answer), kAwait);
    error_code ignored;
    socket.shutdown(tcp::socket::shutdown_send, ignored);
  }

  void welcome(HttpSocket socket) {
    const uint64_t number = ++last_;
    const auto closed = [this, number] {
      const std::lock_guard lock(mutex_);
      open_.erase(number);
      if (open_.empty()) empty_.notify_all();
    };
    {
      const std::lock_guard lock(mutex_);
      open_.emplace(number, std::weak_ptr<HttpConnection>());
    }
    const std::shared_ptr<HttpConnection> connection =
        with_tls_ ? make_https_connection(std::move(socket), tls_, service_, closed)
                  : make_http_connection(std::move(socket), service_, closed);
    {
      const std::lock_guard lock(mutex_);
      open_[number] = connection;
    }
    connection->start();
  }

  template <typename Action>
  void for_each_connection(Action action) {
    std::vector<std::shared_ptr<HttpConnection>> connections;
    {
      const std::lock_guard lock(mutex_);
      for (const auto& [number, weak] : open_) {
        if (auto connection = weak.lock()) connections.push_back(std::move(connection));
      }
    }
    for (const auto& connection : connections) action(*connection);
  }

  const std::shared_ptr<asio::io_context> io_;
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  HttpService service_;
  tcp::acceptor acceptor_;  // on a strand of its own
  asio::ssl::context tls_;
  bool with_tls_ = false;
  uint16_t port_ = 0;
  uint64_t last_ = 0;  // the acceptor's strand alone
  std::mutex mutex_;
  std::map<uint64_t, std::weak_ptr<HttpConnection>> open_;  // guarded by mutex_
  std::condition_variable empty_;                           // open_ has become empty
  std::vector<std::thread> threads_;
};

Result<std::unique_ptr<HttpServer>> HttpServer::start(const HttpServerOptions& options,
                                                      HttpHandler handler, HttpRefusal refusal) {
  auto impl = std::make_unique<Impl>(options, std::move(handler), std::move(refusal));
  LOOPLM_RETURN_IF_ERROR(impl->open());
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpServer::~HttpServer() { stop(); }

uint16_t HttpServer::port() const { return impl_->port(); }
int64_t HttpServer::connections() const { return impl_->connections(); }
void HttpServer::drain() { impl_->drain(); }
bool HttpServer::wait_drained(std::chrono::milliseconds timeout) {
  return impl_->wait_drained(timeout);
}
void HttpServer::stop() { impl_->stop(); }

}  // namespace looplm
