// An HTTP/1.1 server over TCP or TLS that never waits for its handler: the handler starts work and
// returns, and the answer follows from any thread, whole or in pieces.
//
// Protocol: RFC 9112. Connections stay open between requests; requests sent ahead of their turn are
// answered in order. What a client may cost is bounded: bytes of header and body, seconds to send
// them, connections, and bytes of answer that it leaves unread.
#ifndef LOOPLM_NET_HTTP_SERVER_H_
#define LOOPLM_NET_HTTP_SERVER_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "looplm/status.h"

namespace looplm {

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

// The first header of this name, whatever its case; empty where there is none.
std::string_view find_header(const HttpHeaders& headers, std::string_view name);

struct HttpServerOptions {
  std::string host = "127.0.0.1";
  uint16_t port = 0;  // 0: one that is free
  int threads = 2;
  // PEM files; both or none. With them the server speaks TLS 1.2 and 1.3 only.
  std::string certificate_file{};
  std::string key_file{};

  uint64_t body_limit = uint64_t{32} << 20;    // bytes; beyond: 413
  uint32_t header_limit = uint32_t{32} << 10;  // bytes, request line included; beyond: 431
  // Beyond it: 503, and the connection closes. Lowered to what the process's limit of open files
  // leaves room for, once that has been raised as far as is allowed.
  int64_t connection_limit = 4096;
  uint64_t unread_limit = uint64_t{8} << 20;         // answer bytes that a client may leave unread
  std::chrono::milliseconds header_timeout{10'000};  // from a request's first byte; beyond: 408
  std::chrono::milliseconds body_timeout{30'000};    // from the header's end; beyond: 408
  std::chrono::milliseconds idle_timeout{75'000};    // between requests
  std::chrono::milliseconds write_timeout{30'000};   // for a client that reads nothing
};

// A request, whole.
struct HttpCall {
  std::string method;
  std::string path;   // percent-decoded, without the query
  std::string query;  // as sent, without '?'
  HttpHeaders headers;
  std::string body;
  std::string peer;  // "127.0.0.1:40312"

  std::string_view header(std::string_view name) const { return find_header(headers, name); }
};

// The answer to one request. All methods may be called from any thread, and none waits. After the
// client has left, or after the end, they do nothing. An answer that is dropped before its end
// cuts the connection, so that the client sees that something is missing.
class HttpReply {
 public:
  virtual ~HttpReply() = default;

  // A whole answer.
  virtual void send(int status, HttpHeaders headers, std::string body) = 0;

  // Or one in pieces: begin, any number of writes, end.
  virtual void begin(int status, HttpHeaders headers) = 0;
  virtual void write(std::string piece) = 0;
  virtual void end() = 0;

  // `left` is called once, from a network thread, if the client leaves before the answer's end; at
  // once if it has left. It must not wait.
  virtual void on_disconnect(std::function<void()> left) = 0;

  // A fact about the answer, as JSON, for whoever keeps a log. Before the answer's end.
  virtual void note(const char* /*name*/, const std::string& /*json*/) {}
};

// Called from network threads, several at once; must not wait. An exception is answered with 500.
using HttpHandler = std::function<void(HttpCall, std::shared_ptr<HttpReply>)>;

// What the server itself refuses (400, 408, 413, 431, 500, 503 ...) is answered with the body that
// this returns, as application/json.
using HttpRefusal = std::function<std::string(int status, const std::string& message)>;

class HttpServer {
 public:
  // Fails on a host or port that cannot be bound and on unreadable certificates, naming them.
  static Result<std::unique_ptr<HttpServer>> start(const HttpServerOptions& options,
                                                   HttpHandler handler, HttpRefusal refusal);
  ~HttpServer();  // stop()
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  uint16_t port() const;
  int64_t connections() const;

  // Takes no new connections, closes idle ones, and lets answers under way end.
  void drain();
  // Waits until all connections have closed; false if some are left at the timeout.
  bool wait_drained(std::chrono::milliseconds timeout);
  // Cuts all connections and ends the threads.
  void stop();

  class Impl;

 private:
  explicit HttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace looplm

#endif  // LOOPLM_NET_HTTP_SERVER_H_
