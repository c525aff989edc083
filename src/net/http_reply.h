// The queue between a handler's reply and the connection that writes it.
#ifndef LOOPLM_NET_HTTP_REPLY_H_
#define LOOPLM_NET_HTTP_REPLY_H_

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/io_context.hpp>

#include "net/http_server.h"

namespace looplm {

// "HTTP/1.1 200 OK" and the header lines, with the empty line. `length` below 0: chunked.
std::string response_head(int status, const HttpHeaders& headers, int64_t length, bool keep_alive);

// Lives on the connection's strand, but for what is atomic.
struct ReplyQueue {
  std::string out;         // bytes to write next
  bool begun = false;      // the head has been queued
  bool ended = false;      // nothing follows
  bool cut = false;        // the reply was dropped before its end: close without it
  bool gone = false;       // the client has left
  bool probed = false;     // the first byte of the head has been sent already
  bool head_only = false;  // HEAD: no body
  bool chunked = true;     // pieces are framed; false for HTTP/1.0 clients
  bool keep_alive = true;
  std::function<void()> left;
  std::function<void()> wake;       // the session looks again
  std::atomic<uint64_t> unread{0};  // queued and not yet taken by the client

  void add_head(std::string_view bytes);
  void add(std::string_view bytes);
  void leave();  // the client has gone
};

// `executor` is the connection's strand, which lives in `io`.
std::shared_ptr<HttpReply> make_http_reply(std::shared_ptr<boost::asio::io_context> io,
                                           boost::asio::any_io_executor executor,
                                           std::shared_ptr<ReplyQueue> queue,
                                           uint64_t unread_limit);

}  // namespace looplm

#endif  // LOOPLM_NET_HTTP_REPLY_H_
