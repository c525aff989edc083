#include "net/http_reply.h"

#include <ctime>
#include <utility>

#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http/status.hpp>
#include <fmt/chrono.h>
#include <fmt/format.h>

namespace looplm {
namespace {

namespace asio = boost::asio;

// A header that would end its line and begin another loses its control characters.
void append_header(std::string& head, std::string_view name, std::string_view value) {
  head += name;
  head += ": ";
  for (char c : value) {
    if (static_cast<unsigned char>(c) >= 0x20 || c == '\t') head += c;
  }
  head += "\r\n";
}

class Reply : public HttpReply {
 public:
  Reply(std::shared_ptr<asio::io_context> io, asio::any_io_executor executor,
        std::shared_ptr<ReplyQueue> queue, uint64_t unread_limit)
      : io_(std::move(io)),
        executor_(std::move(executor)),
        queue_(std::move(queue)),
        unread_limit_(unread_limit) {}

  ~Reply() override {
    asio::post(executor_, [queue = queue_] {
      if (queue->ended) return;
      queue->cut = true;
      queue->ended = true;
      queue->wake();
    });
  }

  void send(int status, HttpHeaders headers, std::string body) override {
    on_strand([status, headers = std::move(headers), body = std::move(body)](ReplyQueue& q) {
      if (q.begun) return;
      q.begun = true;
      q.ended = true;
      q.add_head(response_head(status, headers, static_cast<int64_t>(body.size()), q.keep_alive));
      if (!q.head_only) q.add(body);
    });
  }

  void begin(int status, HttpHeaders headers) override {
    on_strand([status, headers = std::move(headers)](ReplyQueue& q) {
      if (q.begun) return;
      q.begun = true;
      q.keep_alive = q.keep_alive && q.chunked;
      q.add_head(response_head(status, headers, q.chunked ? -1 : -2, q.keep_alive));
    });
  }

  void write(std::string piece) override {
    if (piece.empty()) return;  // an empty chunk would end the answer
    on_strand([piece = std::move(piece), limit = unread_limit_](ReplyQueue& q) {
      if (!q.begun || q.head_only) return;
      q.add(q.chunked ? fmt::format("{:x}\r\n{}\r\n", piece.size(), piece) : piece);
      if (q.unread.load(std::memory_order_relaxed) > limit) {
        q.cut = true;
        q.ended = true;
        q.leave();
      }
    });
  }

  void end() override {
    on_strand([](ReplyQueue& q) {
      if (!q.begun) return;
      q.ended = true;
      if (q.chunked && !q.head_only) q.add("0\r\n\r\n");
    });
  }

  void on_disconnect(std::function<void()> left) override {
    asio::dispatch(executor_, [queue = queue_, left = std::move(left)]() mutable {
      if (queue->gone) return left();
      if (!queue->ended) queue->left = std::move(left);
    });
  }

 private:
  template <typename Change>
  void on_strand(Change change) {
    asio::dispatch(executor_, [queue = queue_, change = std::move(change)] {
      if (queue->gone || queue->ended) return;
      change(*queue);
      queue->wake();
    });
  }

  // A reply may outlive the server: its strand then still exists, and nobody runs it.
  const std::shared_ptr<asio::io_context> io_;
  const asio::any_io_executor executor_;
  const std::shared_ptr<ReplyQueue> queue_;
  const uint64_t unread_limit_;
};

}  // namespace

std::string_view find_header(const HttpHeaders& headers, std::string_view name) {
  for (const auto& [key, value] : headers) {
    if (boost::beast::iequals({key.data(), key.size()}, {name.data(), name.size()})) return value;
  }
  return {};
}

std::string response_head(int status, const HttpHeaders& headers, int64_t length, bool keep_alive) {
  const boost::beast::string_view reason =
      boost::beast::http::obsolete_reason(static_cast<boost::beast::http::status>(status));
  std::string head =
      fmt::format("HTTP/1.1 {} {}\r\n", status, std::string_view(reason.data(), reason.size()));
  append_header(head, "Date",
                fmt::format("{:%a, %d %b %Y %H:%M:%S} GMT", fmt::gmtime(std::time(nullptr))));
  for (const auto& [name, value] : headers) append_header(head, name, value);
  if (length >= 0) append_header(head, "Content-Length", std::to_string(length));
  if (length == -1) append_header(head, "Transfer-Encoding", "chunked");
  append_header(head, "Connection", keep_alive ? "keep-alive" : "close");
  head += "\r\n";
  return head;
}

void ReplyQueue::add_head(std::string_view bytes) { add(bytes.substr(probed ? 1 : 0)); }

void ReplyQueue::add(std::string_view bytes) {
  out += bytes;
  unread.fetch_add(bytes.size(), std::memory_order_relaxed);
}

void ReplyQueue::leave() {
  gone = true;
  if (const std::function<void()> call = std::exchange(left, nullptr)) call();
  wake();
}

std::shared_ptr<HttpReply> make_http_reply(std::shared_ptr<asio::io_context> io,
                                           asio::any_io_executor executor,
                                           std::shared_ptr<ReplyQueue> queue,
                                           uint64_t unread_limit) {
  return std::make_shared<Reply>(std::move(io), std::move(executor), std::move(queue),
                                 unread_limit);
}

}  // namespace looplm
