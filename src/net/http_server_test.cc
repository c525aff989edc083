#include "net/http_server.h"

#include <atomic>
#include <csignal>
#include <future>
#include <mutex>
#include <thread>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net/http_client.h"

namespace looplm {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

// All test clients block, so one serves them all; each costs a single file descriptor.
asio::io_context& client_io() {
  static asio::io_context io;
  return io;
}

// A client that sends exactly these bytes.
class RawClient {
 public:
  explicit RawClient(uint16_t port) : socket_(client_io()) {
    socket_.connect({asio::ip::make_address("127.0.0.1"), port});
  }
  void send(const std::string& bytes) {
    boost::system::error_code ignored;
    asio::write(socket_, asio::buffer(bytes), ignored);
  }
  // Until the text has come, or the connection ends.
  std::string read_until(const std::string& text) {
    boost::system::error_code error;
    while (got_.find(text) == std::string::npos && !error) {
      char buffer[4096];
      const size_t count = socket_.read_some(asio::buffer(buffer), error);
      got_.append(buffer, count);
    }
    return got_;
  }
  std::string read_all() { return read_until(std::string(1, '\0') + "never"); }
  void shutdown_send() { socket_.shutdown(asio::ip::tcp::socket::shutdown_send); }
  void close() { socket_.close(); }

 private:
  asio::ip::tcp::socket socket_;
  std::string got_;
};

class HttpServerTest : public testing::Test {
 protected:
  // /echo answers with what it got; /later keeps the reply for the test; /throw throws.
  void start(HttpServerOptions options = {}) {
    const auto handler = [this](HttpCall call, std::shared_ptr<HttpReply> reply) {
      if (call.path == "/throw") throw std::runtime_error("what a test throws");
      if (call.path == "/later") {
        reply->on_disconnect([this] { ++left_; });
        const std::lock_guard lock(mutex_);
        kept_.push_back(std::move(reply));
        return;
      }
      reply->send(200, {{"Content-Type", "text/plain"}},
                  fmt::format("{} {} ?{} x={} {}", call.method, call.path, call.query,
                              call.header("x-test"), call.body));
    };
    const auto refusal = [](int status, const std::string& message) {
      return fmt::format("refused {}: {}", status, message);
    };
    server_ = HttpServer::start(options, handler, refusal).value();
  }
  std::string url(const std::string& path) const {
    return fmt::format("http://127.0.0.1:{}{}", server_->port(), path);
  }
  HttpResponse get(const std::string& path) const {
    HttpRequest request;
    request.url = url(path);
    request.total_timeout = std::chrono::seconds(60);
    return http_exchange(request).value();
  }
  std::string raw(const std::string& bytes) const {
    RawClient client(server_->port());
    client.send(bytes);
    return client.read_all();
  }
  std::shared_ptr<HttpReply> kept(size_t index = 0) {
    for (int i = 0; i < 500; ++i) {
      {
        const std::lock_guard lock(mutex_);
        if (kept_.size() > index) return kept_[index];
      }
      std::this_thread::sleep_for(milliseconds(10));
    }
    ADD_FAILURE() << "request " << index << " did not arrive";
    return nullptr;
  }
  template <typename Condition>
  static bool comes_true(Condition condition) {
    for (int i = 0; i < 500 && !condition(); ++i) std::this_thread::sleep_for(milliseconds(10));
    return condition();
  }

  std::unique_ptr<HttpServer> server_;
  std::mutex mutex_;
  std::vector<std::shared_ptr<HttpReply>> kept_;  // guarded by mutex_
  std::atomic<int> left_ = 0;
};

TEST_F(HttpServerTest, HandsOverTheWholeRequest) {
  start();
  HttpRequest request;
  request.method = "POST";
  request.url = url("/echo/a%20b?q=%41&r");
  request.headers = {{"X-Test", "seven"}};
  request.body = std::string(300'000, 'x');
  const HttpResponse response = http_exchange(request).value();
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body, "POST /echo/a b ?q=%41&r x=seven " + request.body);
  EXPECT_THAT(response.header("date"), EndsWith("GMT"));
}

TEST_F(HttpServerTest, AnswersInPiecesAsTheyCome) {
  start();
  RawClient client(server_->port());
  client.send("GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
  const auto reply = kept();
  reply->begin(200, {{"Content-Type", "text/event-stream"}});
  reply->write("one");
  EXPECT_THAT(client.read_until("3\r\none\r\n"), HasSubstr("Transfer-Encoding: chunked\r\n"));
  reply->write("");
  reply->write("twotwotwotwotwotwo");
  reply->end();
  EXPECT_THAT(client.read_until("0\r\n\r\n"), EndsWith("12\r\ntwotwotwotwotwotwo\r\n0\r\n\r\n"));
  client.send("GET /echo HTTP/1.1\r\nHost: h\r\n\r\n");  // the connection goes on
  EXPECT_THAT(client.read_until("GET /echo"), HasSubstr("200 OK"));
}

TEST_F(HttpServerTest, AnswersRequestsSentAheadInOrder) {
  start();
  RawClient client(server_->port());
  client.send(
      "GET /later HTTP/1.1\r\nHost: h\r\n\r\nGET /echo?2 HTTP/1.1\r\nHost: h\r\n\r\n"
      "GET /echo?3 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  kept()->send(200, {}, "first");
  const std::string all = client.read_all();
  EXPECT_LT(all.find("first"), all.find("?2"));
  EXPECT_LT(all.find("?2"), all.find("?3"));
  EXPECT_THAT(all, EndsWith("?3 x= "));
}

TEST_F(HttpServerTest, LineEndsBetweenRequestsAreLeftOut) {
  start();
  RawClient client(server_->port());
  client.send("\r\nGET /echo?1 HTTP/1.1\r\nHost: h\r\n\r\n\r\n\r");
  client.send("\nGET /echo?2 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  const std::string all = client.read_all();
  EXPECT_THAT(all, HasSubstr("?1 x= "));
  EXPECT_THAT(all, EndsWith("?2 x= "));
}

TEST_F(HttpServerTest, NoticesAClientThatLeaves) {
  start();
  {
    RawClient client(server_->port());
    client.send("POST /later HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
    kept();
  }
  EXPECT_TRUE(comes_true([&] { return left_ == 1; }));
  kept()->send(200, {}, "nobody reads this");  // and nothing happens
  EXPECT_TRUE(comes_true([&] { return server_->connections() == 0; }));
  std::atomic<bool> at_once = false;
  kept()->on_disconnect([&] { at_once = true; });
  EXPECT_TRUE(comes_true([&] { return at_once.load(); }));
}

TEST_F(HttpServerTest, AnswersAClientThatOnlyStoppedSending) {
  start();
  RawClient client(server_->port());
  client.send("GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
  client.shutdown_send();
  const auto reply = kept();
  EXPECT_EQ(client.read_until("H"), "H");  // the answer's own first byte
  EXPECT_EQ(left_, 0);
  reply->send(200, {}, "still there");
  const std::string rest = client.read_all();
  EXPECT_THAT(rest, StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(rest, EndsWith("still there"));
}

TEST_F(HttpServerTest, CutsAnAnswerThatIsDropped) {
  start();
  RawClient client(server_->port());
  client.send("GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
  kept()->begin(200, {});
  kept()->write("half");
  {
    const std::lock_guard lock(mutex_);
    kept_.clear();
  }
  EXPECT_THAT(client.read_all(), EndsWith("4\r\nhalf\r\n"));  // no last chunk
}

TEST_F(HttpServerTest, RefusesWhatIsNotARequest) {
  HttpServerOptions options;
  options.header_limit = 2048;
  options.body_limit = 1000;
  start(options);
  EXPECT_THAT(raw("HELLO\r\n\r\n"), StartsWith("HTTP/1.1 400 "));
  // What follows would be read as another request.
  EXPECT_THAT(raw("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n"),
              StartsWith("HTTP/1.1 501 "));
  EXPECT_THAT(raw("POST / HTTP/1.1\r\nHost: h\r\nExpect: cake\r\nContent-Length: 2\r\n\r\n{}"),
              StartsWith("HTTP/1.1 417 "));
  EXPECT_THAT(raw("GET / HTTP/3.7\r\n\r\n"), StartsWith("HTTP/1.1 505 "));
  EXPECT_THAT(raw("GET / HTTP/1.1\nHost: a\n\n"),
              HasSubstr("refused 400: the request's lines end"));
  EXPECT_THAT(raw("GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n"), HasSubstr("refused 400"));
  EXPECT_THAT(raw("GET / HTTP/1.1\r\n\r\n"), HasSubstr("one Host header"));
  EXPECT_THAT(raw("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), HasSubstr("one Host header"));
  EXPECT_THAT(raw("GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(5000, 'x') + "\r\n\r\n"),
              HasSubstr("refused 431: the request's header has more than 2048 bytes"));
  const std::string post = "POST /echo HTTP/1.1\r\nHost: a\r\n";
  EXPECT_THAT(raw(post + "Content-Length: 1099511627776\r\n\r\n"),
              HasSubstr("refused 413: the request's body has more than 1000 bytes"));
  EXPECT_THAT(raw(post + "Transfer-Encoding: chunked\r\n\r\n7d0\r\n" + std::string(2000, 'x')),
              HasSubstr("refused 413"));
  EXPECT_THAT(raw(post + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"),
              HasSubstr("refused 400"));
  EXPECT_THAT(raw(post + "Content-Length: -1\r\n\r\n"), HasSubstr("refused 400"));
  EXPECT_THAT(raw(post + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
              HasSubstr("refused 400"));
  EXPECT_EQ(get("/echo").status, 200);
}

TEST_F(HttpServerTest, ChunkedBodiesAndExpectations) {
  start();
  EXPECT_THAT(raw("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: "
                  "close\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: t\r\n\r\n"),
              EndsWith("abcde"));
  RawClient client(server_->port());
  client.send(
      "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.send("hello");
  EXPECT_THAT(client.read_until("hello"), HasSubstr("200 OK"));
}

TEST_F(HttpServerTest, HeadHasNoBodyAndOldClientsGetAnEnd) {
  start();
  EXPECT_THAT(raw("HEAD /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
              EndsWith("Connection: close\r\n\r\n"));
  RawClient client(server_->port());
  client.send("GET /later HTTP/1.0\r\n\r\n");
  kept()->begin(200, {});
  kept()->write("as it is");
  kept()->end();
  EXPECT_THAT(client.read_all(), EndsWith("Connection: close\r\n\r\nas it is"));
}

TEST_F(HttpServerTest, SlowSendersAreTurnedAway) {
  HttpServerOptions options;
  options.header_timeout = milliseconds(100);
  options.body_timeout = milliseconds(150);
  options.idle_timeout = milliseconds(200);
  start(options);
  EXPECT_THAT(raw("GET / HT"), HasSubstr("refused 408: the request's header did not arrive"));
  EXPECT_THAT(raw("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab"),
              HasSubstr("refused 408: the request's body did not arrive"));
  EXPECT_EQ(raw(""), "");  // an idle one goes without a word
}

TEST_F(HttpServerTest, AHandlersExceptionIsAnAnswer) {
  start();
  const HttpResponse response = get("/throw");
  EXPECT_EQ(response.status, 500);
  EXPECT_THAT(response.body, HasSubstr("what a test throws"));
  EXPECT_EQ(get("/echo").status, 200);
}

TEST_F(HttpServerTest, AClientThatReadsNothingIsLeft) {
  HttpServerOptions options;
  options.unread_limit = 1 << 20;
  options.write_timeout = milliseconds(300);
  start(options);
  RawClient client(server_->port());
  client.send("GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
  kept()->begin(200, {});
  for (int i = 0; i < 200; ++i) kept()->write(std::string(100'000, 'x'));
  EXPECT_TRUE(comes_true([&] { return left_ == 1; }));
  EXPECT_TRUE(comes_true([&] { return server_->connections() == 0; }));
}

TEST_F(HttpServerTest, ManyIdleConnectionsTakeNoThread) {
  start();
  std::vector<std::unique_ptr<RawClient>> idle;
  for (int i = 0; i < 300; ++i) {
    idle.push_back(std::make_unique<RawClient>(server_->port()));
    idle.back()->send("GET /ec");
  }
  EXPECT_EQ(get("/echo").status, 200);
  EXPECT_TRUE(comes_true([&] { return server_->connections() == 300; }));
}

TEST_F(HttpServerTest, BeyondTheConnectionLimitIsTurnedAway) {
  HttpServerOptions options;
  options.connection_limit = 1;
  start(options);
  RawClient first(server_->port());
  first.send("GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
  kept();
  EXPECT_THAT(raw("GET /echo HTTP/1.1\r\nHost: a\r\n\r\n"), HasSubstr("Retry-After: 1\r\n"));
  kept()->send(200, {}, "done");
  EXPECT_THAT(first.read_until("done"), HasSubstr("200 OK"));
}

// Where the process may open few files, clients are turned away instead of waiting for nothing.
TEST(HttpServer, TheLimitOfOpenFilesBoundsTheConnections) {
  int port_pipe[2];
  ASSERT_EQ(pipe(port_pipe), 0);
  const pid_t child = fork();
  if (child == 0) {
    const rlimit few{100, 100};
    if (setrlimit(RLIMIT_NOFILE, &few) != 0) _exit(1);
    const auto server = HttpServer::start(
        {}, [](const HttpCall&, const std::shared_ptr<HttpReply>& r) { r->send(200, {}, "here"); },
        [](int status, const std::string& message) {
          return fmt::format("{} {}", status, message);
        });
    const uint16_t port = server.value()->port();
    if (write(port_pipe[1], &port, sizeof(port)) != sizeof(port)) _exit(1);
    pause();
    _exit(0);
  }
  uint16_t port = 0;
  ASSERT_EQ(read(port_pipe[0], &port, sizeof(port)), static_cast<ssize_t>(sizeof(port)));
  std::vector<std::unique_ptr<RawClient>> idle;
  for (int i = 0; i < 50; ++i) {
    idle.push_back(std::make_unique<RawClient>(port));
    idle.back()->send("GET /ec");
  }
  RawClient last(port);
  last.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_THAT(last.read_until("later"), HasSubstr("50 connections are open"));
  idle.pop_back();
  std::string answer;
  for (int i = 0; i < 500 && answer.find("here") == std::string::npos; ++i) {
    std::this_thread::sleep_for(milliseconds(10));
    RawClient next(port);
    next.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    answer = next.read_all();
  }
  EXPECT_THAT(answer, HasSubstr("here"));
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  close(port_pipe[0]);
  close(port_pipe[1]);
}

TEST_F(HttpServerTest, DrainingLetsAnswersEnd) {
  start();
  RawClient idle(server_->port());
  RawClient busy(server_->port());
  busy.send("GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
  const auto reply = kept();
  server_->drain();
  EXPECT_EQ(idle.read_all(), "");
  EXPECT_FALSE(server_->wait_drained(milliseconds(50)));
  HttpRequest request;
  request.url = url("/echo");
  EXPECT_FALSE(http_exchange(request).ok());
  reply->send(200, {}, "the last words");
  EXPECT_THAT(busy.read_all(), EndsWith("the last words"));
  EXPECT_TRUE(server_->wait_drained(milliseconds(5000)));
}

TEST_F(HttpServerTest, StopsWithAnswersUnderWay) {
  start();
  RawClient client(server_->port());
  client.send("GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
  const auto reply = kept();
  server_->stop();
  EXPECT_EQ(left_, 1);
  EXPECT_EQ(client.read_all(), "");
  server_.reset();
  reply->send(200, {}, "too late");  // outlives the server
}

TEST(HttpServer, SaysWhatItCannotListenOn) {
  HttpServerOptions options;
  options.host = "256.1.1.1";
  const auto message = [](const HttpServerOptions& o) {
    return HttpServer::start(o, {}, {}).status().message();
  };
  EXPECT_THAT(message(options), HasSubstr("256.1.1.1"));
  options = {};
  options.certificate_file = "no-such.pem";
  EXPECT_THAT(message(options), HasSubstr("only one"));
  options.key_file = "no-key.pem";
  EXPECT_THAT(message(options), HasSubstr("no-such.pem"));
}

}  // namespace
}  // namespace looplm
