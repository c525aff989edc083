#include "net/http_client.h"

#include <algorithm>
#include <exception>
#include <optional>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>
#include <fmt/format.h>

#include "net/await.h"

namespace looplm {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kLook{100};  // between looks at `stop` and the deadlines
constexpr size_t kPieceBytes = size_t{64} << 10;
constexpr int kMostRedirects = 10;

Status failed(const Url& url, const char* step, const error_code& error) {
  return io_error(fmt::format("{} {}:{}: {}", step, url.host, url.port, error.message()));
}

bool is_token(const std::string& text) {
  const std::string_view marks = "!#$%&'*+-.^_`|~";
  for (char c : text) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!letter && marks.find(c) == std::string_view::npos) return false;
  }
  return !text.empty();
}

// A header that would end its line and begin another is refused, not sent.
Status check_headers(const HttpRequest& request) {
  if (!is_token(request.method)) {
    return invalid_argument(fmt::format("HTTP method '{}'", request.method));
  }
  for (const auto& [name, value] : request.headers) {
    if (!is_token(name)) return invalid_argument(fmt::format("HTTP header name '{}'", name));
    for (char c : value) {
      const auto byte = static_cast<unsigned char>(c);
      if ((byte < 0x20 && c != '\t') || byte == 0x7f) {
        // Not the value: it may be a key.
        return invalid_argument(
            fmt::format("the value of HTTP header '{}' holds a control character", name));
      }
    }
  }
  return {};
}

http::request<http::string_body> message_of(const HttpRequest& request, const Url& url) {
  http::request<http::string_body> message;
  message.version(11);
  message.method_string(request.method);
  message.target(url.target);
  const bool v6 = url.host.find(':') != std::string::npos;
  const bool usual = url.port == (url.tls ? "443" : "80");
  message.set(http::field::host,
              (v6 ? "[" + url.host + "]" : url.host) + (usual ? std::string() : ":" + url.port));
  message.set(http::field::user_agent, "looplm");
  message.set(http::field::connection, "close");
  for (const auto& [name, value] : request.headers) message.insert(name, value);
  message.body() = request.body;
  message.prepare_payload();
  return message;
}

// One exchange, and when something of the answer came last.
struct Exchange {
  const HttpRequest& request;
  const HttpBodySink& sink;
  const Url& url;
  Clock::time_point last_byte = Clock::now();
};

template <typename Stream>
asio::awaitable<Result<HttpResponse>> send_and_read(Stream& stream, Exchange& e) {
  http::request<http::string_body> message = message_of(e.request, e.url);
  auto [write_error, sent] = co_await http::async_write(stream, message, kAwait);
  if (write_error) co_return failed(e.url, "sending to", write_error);
  beast::flat_buffer buffer;
  http::response_parser<http::buffer_body> parser;
  parser.body_limit(e.request.response_limit);
  const auto reading = [&e](const error_code& error) {
    if (error != http::error::body_limit) return failed(e.url, "reading the answer of", error);
    return io_error(fmt::format("the answer of {}:{} has more than {} bytes", e.url.host,
                                e.url.port, e.request.response_limit));
  };
  auto [head_error, head_size] = co_await http::async_read_header(stream, buffer, parser, kAwait);
  if (head_error) co_return reading(head_error);
  HttpResponse response;
  response.status = parser.get().result_int();
  for (const auto& field : parser.get()) {
    response.headers.emplace_back(field.name_string(), field.value());
  }
  std::string piece(kPieceBytes, '\0');
  while (!parser.is_done()) {
    parser.get().body().data = piece.data();
    parser.get().body().size = piece.size();
    auto [error, got] = co_await http::async_read_some(stream, buffer, parser, kAwait);
    e.last_byte = Clock::now();
    const std::string_view read(piece.data(), piece.size() - parser.get().body().size);
    if (!read.empty() && e.sink) {
      const Status taken = e.sink(response, read);
      if (!taken.ok()) co_return taken;
    } else {
      response.body += read;
    }
    if (error && error != http::error::need_buffer) co_return reading(error);
  }
  co_return response;
}

asio::awaitable<Result<HttpResponse>> exchange(asio::io_context& io, asio::ssl::context& tls,
                                               Exchange& e) {
  const HttpRequest& request = e.request;
  const Url& url = e.url;
  asio::ip::tcp::resolver resolver(io);
  auto [resolve_error, places] = co_await resolver.async_resolve(url.host, url.port, kAwait);
  if (resolve_error) co_return failed(url, "looking up", resolve_error);
  if (!url.tls) {
    beast::tcp_stream stream(io);
    stream.expires_after(request.connect_timeout);
    auto [error, place] = co_await stream.async_connect(places, kAwait);
    if (error) co_return failed(url, "connecting to", error);
    stream.expires_never();  // the deadline is watched outside
    co_return co_await send_and_read(stream, e);
  }
  beast::ssl_stream<beast::tcp_stream> stream(io, tls);
  // SSL_set_tlsext_host_name() is a macro of C casts.
  std::string name = url.host;
  if (SSL_ctrl(stream.native_handle(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
               name.data()) != 1) {
    co_return invalid_argument(fmt::format("'{}' cannot be named to a TLS server", url.host));
  }
  stream.set_verify_callback(asio::ssl::host_name_verification(url.host));
  stream.next_layer().expires_after(request.connect_timeout);
  auto [error, place] = co_await stream.next_layer().async_connect(places, kAwait);
  if (error) co_return failed(url, "connecting to", error);
  auto [shake_error] = co_await stream.async_handshake(asio::ssl::stream_base::client, kAwait);
  if (shake_error) co_return failed(url, "TLS handshake with", shake_error);
  stream.next_layer().expires_never();
  co_return co_await send_and_read(stream, e);
}

}  // namespace

std::string HttpResponse::header(const std::string& name) const {
  for (const auto& [key, value] : headers) {
    if (beast::iequals(key, name)) return value;
  }
  return "";
}

Result<HttpResponse> http_exchange(const HttpRequest& request, const HttpBodySink& sink) {
  LOOPLM_ASSIGN_OR_RETURN(const Url url, parse_url(request.url));
  LOOPLM_RETURN_IF_ERROR(check_headers(request));
  const Clock::time_point begin = Clock::now();
  try {
    Exchange e{.request = request, .sink = sink, .url = url};
    std::optional<Result<HttpResponse>> result;
    asio::ssl::context tls(asio::ssl::context::tls_client);
    if (url.tls) {
      tls.set_default_verify_paths();
      tls.set_verify_mode(asio::ssl::verify_peer);
    }
    asio::io_context io(1);  // goes first, and with it what was still under way
    asio::co_spawn(
        io, [&]() -> asio::awaitable<void> { result.emplace(co_await exchange(io, tls, e)); },
        [](const std::exception_ptr& thrown) {
          if (thrown) std::rethrow_exception(thrown);
        });
    const auto beyond = [](Clock::time_point since, std::chrono::milliseconds timeout) {
      return timeout.count() > 0 && Clock::now() >= since + timeout;
    };
    while (!result.has_value()) {
      if (request.stop != nullptr && request.stop->load()) {
        return Status(StatusCode::kCancelled,
                      fmt::format("stopped while waiting for {}:{}", url.host, url.port));
      }
      if (beyond(begin, request.total_timeout)) {
        return io_error(fmt::format("no answer from {}:{} within {} ms", url.host, url.port,
                                    request.total_timeout.count()));
      }
      if (beyond(e.last_byte, request.idle_timeout)) {
        return io_error(fmt::format("{}:{} has sent nothing for {} ms", url.host, url.port,
                                    request.idle_timeout.count()));
      }
      Clock::time_point look = Clock::now() + kLook;
      if (request.total_timeout.count() > 0) look = std::min(look, begin + request.total_timeout);
      io.run_one_until(look);
    }
    return *std::move(result);
  } catch (const boost::system::system_error& error) {
    return io_error(fmt::format("{}:{}: {}", url.host, url.port, error.what()));
  }
}

Result<HttpResponse> http_get_following(HttpRequest request, const HttpBodySink& sink) {
  const auto redirects = [](int status) {
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
  };
  const std::string first = request.url;
  HttpBodySink of_the_last;
  if (sink) {
    of_the_last = [&](const HttpResponse& head, std::string_view piece) {
      return redirects(head.status) ? Status() : sink(head, piece);
    };
  }
  for (int hops = 0; hops <= kMostRedirects; ++hops) {
    LOOPLM_ASSIGN_OR_RETURN(HttpResponse response, http_exchange(request, of_the_last));
    const std::string place = response.header("Location");
    if (!redirects(response.status) || place.empty()) return response;
    LOOPLM_ASSIGN_OR_RETURN(const std::string next, resolve_url(request.url, place));
    LOOPLM_ASSIGN_OR_RETURN(const Url from, parse_url(request.url));
    LOOPLM_ASSIGN_OR_RETURN(const Url to, parse_url(next));
    if (from.tls != to.tls || from.host != to.host || from.port != to.port) {
      std::erase_if(request.headers, [](const auto& header) {
        return beast::iequals(header.first, "authorization");
      });
    }
    request.url = next;
  }
  return io_error(fmt::format("'{}' redirects more than {} times", first, kMostRedirects));
}

}  // namespace looplm
