// One client's connection: reads requests, hands them to the handler, writes answers in order.
//
// Two coroutines share a strand. The reader keeps one read outstanding at all times, so that a
// client that leaves is noticed while its answer is being made. The session parses what was read
// and writes what the handler's replies have queued.
#ifndef LOOPLM_NET_HTTP_CONNECTION_H_
#define LOOPLM_NET_HTTP_CONNECTION_H_

#include <atomic>
#include <functional>
#include <memory>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/strand.hpp>

#include "net/http_server.h"

namespace looplm {

// What connections share; outlives them.
struct HttpService {
  std::shared_ptr<boost::asio::io_context> io;
  HttpServerOptions options;
  HttpHandler handler;
  HttpRefusal refusal;
  std::atomic<bool> draining{false};  // relaxed: a connection that misses it once sees it next time
};

class HttpConnection {
 public:
  virtual ~HttpConnection() = default;
  virtual void start() = 0;
  // Closes it if it is between requests; otherwise its answer is the last one.
  virtual void drain() = 0;
  virtual void cut() = 0;
};

using HttpSocket = boost::asio::ip::tcp::socket;  // on a strand of its own

// `closed` is called once when the connection has ended, from its strand.
std::shared_ptr<HttpConnection> make_http_connection(HttpSocket socket, HttpService& service,
                                                     std::function<void()> closed);
std::shared_ptr<HttpConnection> make_https_connection(HttpSocket socket,
                                                      boost::asio::ssl::context& tls,
                                                      HttpService& service,
                                                      std::function<void()> closed);

}  // namespace looplm

#endif  // LOOPLM_NET_HTTP_CONNECTION_H_
