// A request on its way: its generations in the engine, and its answer to the client, whole or as
// server-sent events.
//
// The engine's thread only queues what happens; the worker's thread turns it into text and hands it
// to the connection. A whole answer is made of the same pieces as a streamed one.
#ifndef LOOPLM_SERVE_EXCHANGE_H_
#define LOOPLM_SERVE_EXCHANGE_H_

#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <variant>
#include <vector>

#include "net/http_server.h"
#include "serve/engine_runner.h"
#include "serve/generation_request.h"
#include "serve/serve_metrics.h"
#include "serve/worker.h"

namespace looplm {

// What a request has cost, over all its prompts and choices.
struct Usage {
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;
  int64_t completion_tokens = 0;
  int64_t reasoning_tokens = 0;
  int64_t passes = 0;
  std::vector<int64_t> exits;  // completion tokens by the loop that chose them, from loop 1

  void add(const Generation& generation);
  int64_t loops() const;
  double mean_depth() const;
  OrderedJson tokens_json() const;  // OpenAI's three counts
  // OpenAI's object, with the `loop` object beside.
  OrderedJson json() const;
};

// An event of a stream; `name` is empty where the dialect does not name its events.
struct StreamEvent {
  std::string name;
  OrderedJson data;
  std::string text{};  // the data as it is sent, where it has been written already: `data` is null
};

// An event in which one text differs from token to token. The rest is written once: a JSON tree for
// each token would cost more than all else that the server does for it.
class TextEvent {
 public:
  // In `event` the text of `field` is empty, and stands behind names and texts of others.
  TextEvent(const OrderedJson& event, const std::string& field);
  StreamEvent with(const std::string& text) const;

 private:
  std::string before_;
  std::string after_;
};

// What an answer's events are wanted for while it is made.
enum class Pieces {
  kNone,  // nothing: the answer is sent whole
  kText,  // to be sent
  kJson,  // to be translated
};

// How a dialect says what happens. One thread calls it.
class AnswerFormat {
 public:
  virtual ~AnswerFormat() = default;

  virtual void token(size_t choice, const GeneratedToken& token, std::vector<StreamEvent>& out) = 0;
  virtual void provisional(size_t /*choice*/, const ProvisionalToken& /*token*/,
                           std::vector<StreamEvent>& /*out*/) {}
  // After the choice's last token.
  virtual void ended(size_t choice, const Generation& generation,
                     std::vector<StreamEvent>& out) = 0;
  // After the last choice.
  virtual void closed(const Usage& usage, std::vector<StreamEvent>& out) = 0;
  virtual OrderedJson whole(const Usage& usage) = 0;
  // Each event of a stream shall also tell the tokens so far.
  virtual bool tells_usage_so_far() const { return false; }
  // Tokens of reasoning among those generated.
  virtual int64_t reasoning_tokens() const { return 0; }
  virtual OrderedJson error(const ApiError& e) const { return e.json(); }
  // How a stream of this dialect is sent: server-sent events unless it says otherwise.
  virtual const char* stream_type() const { return "text/event-stream; charset=utf-8"; }
  virtual std::string framed(const StreamEvent& event) const;
  virtual StreamEvent stream_error(const ApiError& e) { return {"", error(e)}; }
  virtual std::string ping() const { return ": ping\n\n"; }
  virtual std::string last_line() const { return "data: [DONE]\n\n"; }
};

struct ExchangeServices {
  EngineRunner& runner;
  Worker& worker;
  ModelMetrics& metrics;
  std::chrono::milliseconds ping_every{15'000};
};

class Exchange : public std::enable_shared_from_this<Exchange> {
 public:
  // Choice i of the answer is request i. `prompts` counts different prompts: requests of the same
  // one follow each other.
  static void begin(ExchangeServices& services, std::vector<Request> requests, size_t prompts,
                    bool stream, std::unique_ptr<AnswerFormat> format,
                    std::shared_ptr<HttpReply> reply);

 private:
  using Clock = std::chrono::steady_clock;
  struct Event {
    size_t choice;
    std::variant<GeneratedToken, ProvisionalToken, Generation> what;
    Clock::time_point time;
  };

  Exchange(ExchangeServices& services, size_t choices, size_t prompts, bool stream,
           std::unique_ptr<AnswerFormat> format, std::shared_ptr<HttpReply> reply);

  void submit(std::vector<Request> requests);
  void push(Event event);
  void cancel();
  // On the worker's thread.
  void work();
  void work_off();
  void handle(Event& event, std::vector<StreamEvent>& out);
  void send(const std::vector<StreamEvent>& events);
  void write(std::string text);  // to the stream, which it begins
  void fail(const ApiError& error);
  void close();
  void ping();
  void ping_if_due();
  // What one answer throws ends that answer, not the thread of all.
  void guarded(void (Exchange::*piece)());

  ExchangeServices& services_;
  const size_t prompts_;
  const bool stream_;
  const std::unique_ptr<AnswerFormat> format_;
  const std::shared_ptr<HttpReply> reply_;
  const Clock::time_point arrived_ = Clock::now();

  std::mutex mutex_;
  std::vector<Event> events_;                                   // guarded by mutex_
  Clock::time_point scheduled_ = Clock::time_point::max();      // of work(); guarded by mutex_
  Clock::time_point worked_ = Clock::time_point::min();         // guarded by mutex_
  std::vector<std::shared_ptr<EngineRunner::Ticket>> tickets_;  // guarded by mutex_
  bool cancelled_ = false;                                      // guarded by mutex_

  // The worker's alone.
  std::vector<Event> taken_;  // of events_; empty between two calls of work()
  Usage usage_;
  Usage so_far_;  // counts of tokens alone, those of choices that run among them
  size_t choices_left_;
  bool begun_ = false;                         // the stream's head has been sent
  bool over_ = false;                          // the answer has ended
  std::vector<Clock::time_point> last_token_;  // by choice
  Clock::time_point last_sent_ = arrived_;
};

}  // namespace looplm

#endif  // LOOPLM_SERVE_EXCHANGE_H_
