#include "serve/exchange.h"

#include <algorithm>
#include <exception>
#include <numeric>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"
#include "base/count_text.h"

namespace looplm {
namespace {

// A client gets what it has coming at most this often, so that a model of thousands of tokens per
// second does not cost a wake-up and a packet for each: every 4 ms up to 8 requests, and up to 16
// ms where there are more, of which each is slower. Answers that are sent whole wait longer.
constexpr std::chrono::milliseconds kWholeEvery{50};
std::chrono::milliseconds stream_every(int64_t requests) {
  return std::chrono::milliseconds(std::clamp<int64_t>(requests / 2, 4, 16));
}

// The next of the moments that all exchanges share, so that one wake-up serves all of them.
std::chrono::steady_clock::time_point next_moment(std::chrono::steady_clock::time_point now,
                                                  std::chrono::milliseconds every) {
  const auto since = now.time_since_epoch();
  return now + (every - since % every);
}

double seconds_between(std::chrono::steady_clock::time_point from,
                       std::chrono::steady_clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

}  // namespace

void Usage::add(const Generation& generation) {
  completion_tokens += static_cast<int64_t>(generation.tokens.size());
  passes += generation.statistics.passes;
  for (const GeneratedToken& token : generation.tokens) {
    if (exits.size() < static_cast<size_t>(token.loops))
      exits.resize(static_cast<size_t>(token.loops));
    if (token.loops > 0) ++exits[static_cast<size_t>(token.loops) - 1];
  }
}

int64_t Usage::loops() const {
  int64_t sum = 0;
  for (size_t i = 0; i < exits.size(); ++i) sum += exits[i] * static_cast<int64_t>(i + 1);
  return sum;
}

double Usage::mean_depth() const {
  const int64_t tokens = std::accumulate(exits.begin(), exits.end(), int64_t{0});
  return tokens == 0 ? 0 : static_cast<double>(loops()) / static_cast<double>(tokens);
}

OrderedJson Usage::tokens_json() const {
  return {{"prompt_tokens", prompt_tokens},
          {"completion_tokens", completion_tokens},
          {"total_tokens", prompt_tokens + completion_tokens}};
}

OrderedJson Usage::json() const {
  OrderedJson histogram = OrderedJson::object();
  for (size_t i = 0; i < exits.size(); ++i) {
    if (exits[i] > 0) histogram[std::to_string(i + 1)] = exits[i];
  }
  OrderedJson json = tokens_json();
  json["prompt_tokens_details"] = {{"cached_tokens", cached_tokens}};
  json["completion_tokens_details"] = {{"reasoning_tokens", reasoning_tokens}};
  json["loop"] = {{"passes", passes},
                  {"loops", loops()},
                  {"mean_depth", mean_depth()},
                  {"exits", std::move(histogram)}};
  return json;
}

TextEvent::TextEvent(const OrderedJson& event, const std::string& field)
    : before_(dump_json(event)) {
  // Inside a text the quotes would be escaped.
  const std::string empty = "\"" + field + "\":\"\"";
  const size_t at = before_.rfind(empty);
  LOOPLM_CHECK(at != std::string::npos, "no text '{}' in {}", field, before_);
  const size_t quotes = at + empty.size() - 2;
  after_ = before_.substr(quotes + 2);
  before_.resize(quotes);
}

StreamEvent TextEvent::with(const std::string& text) const {
  return {"", nullptr, before_ + dump_json(Json(text)) + after_};
}

std::string AnswerFormat::framed(const StreamEvent& event) const {
  std::string framed = event.name.empty() ? "" : "event: " + event.name + "\n";
  framed += "data: ";
  framed += event.text.empty() ? dump_json(event.data) : event.text;
  framed += "\n\n";
  return framed;
}

void Exchange::begin(ExchangeServices& services, std::vector<Request> requests, size_t prompts,
                     bool stream, std::unique_ptr<AnswerFormat> format,
                     std::shared_ptr<HttpReply> reply) {
  const std::shared_ptr<Exchange> exchange(new Exchange(services, requests.size(), prompts, stream,
                                                        std::move(format), std::move(reply)));
  exchange->submit(std::move(requests));
}

Exchange::Exchange(ExchangeServices& services, size_t choices, size_t prompts, bool stream,
                   std::unique_ptr<AnswerFormat> format, std::shared_ptr<HttpReply> reply)
    : services_(services),
      prompts_(prompts),
      stream_(stream),
      format_(std::move(format)),
      reply_(std::move(reply)),
      choices_left_(choices),
      last_token_(choices, arrived_) {}

void Exchange::submit(std::vector<Request> requests) {
  const size_t per_prompt = requests.size() / prompts_;
  for (size_t i = 0; i < requests.size(); ++i) {
    Request& r = requests[i];
    if (i % per_prompt == 0) usage_.prompt_tokens += static_cast<int64_t>(r.prompt.size());
    r.callbacks.token = [self = shared_from_this(), i](const GeneratedToken& token) {
      self->push({i, token, Clock::now()});
      return true;
    };
    if (r.callbacks.screen) {  // asked for by the dialect: to see proposals
      r.callbacks.screen = [self = shared_from_this(), i](const ProvisionalToken& token) {
        self->push({i, token, Clock::now()});
        return true;
      };
    }
    r.done = [self = shared_from_this(), i](Generation generation) {
      self->push({i, std::move(generation), Clock::now()});
    };
  }
  so_far_.prompt_tokens = usage_.prompt_tokens;
  const size_t count = requests.size();
  std::vector<std::shared_ptr<EngineRunner::Ticket>> tickets =
      services_.runner.submit(std::move(requests));
  if (tickets.empty()) {
    services_.metrics.refused();
    return fail(
        {.status = 429,
         .message = fmt::format("{} already; try again later",
                                count_text(services_.runner.requests(), "request runs or waits",
                                           "requests run or wait")),
         .code = "queue_full"});
  }
  services_.metrics.began(static_cast<int64_t>(count));
  bool cancelled = false;
  {
    const std::lock_guard lock(mutex_);
    tickets_ = std::move(tickets);
    cancelled = cancelled_;
  }
  if (cancelled) cancel();
  // The reply holds this until its end or the client's.
  reply_->on_disconnect([weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->cancel();
  });
  if (stream_) {
    services_.worker.post_after(services_.ping_every, [weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->ping();
    });
  }
}

void Exchange::cancel() {
  std::vector<std::shared_ptr<EngineRunner::Ticket>> tickets;
  {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
    tickets = tickets_;
  }
  for (const auto& ticket : tickets) services_.runner.cancel(ticket);
}

void Exchange::push(Event event) {
  const std::chrono::milliseconds every =
      stream_ ? stream_every(services_.runner.requests()) : kWholeEvery;
  const Clock::time_point now = event.time;
  Clock::time_point due = now;
  {
    const std::lock_guard lock(mutex_);
    const bool may_wait = std::holds_alternative<GeneratedToken>(event.what);
    events_.push_back(std::move(event));
    if (may_wait && worked_ + every > now) due = next_moment(now, every);
    if (due >= scheduled_) return;
    scheduled_ = due;
  }
  services_.worker.post_at(due, [self = shared_from_this()] { self->work(); });
}

void Exchange::work() { guarded(&Exchange::work_off); }
void Exchange::ping() { guarded(&Exchange::ping_if_due); }

// What the error's own words throw cuts the connection.
void Exchange::guarded(void (Exchange::*piece)()) {
  try {
    (this->*piece)();
  } catch (const std::exception& error) {
    taken_.clear();
    if (over_) return;
    try {
      fail({.status = 500, .message = std::string("internal error: ") + error.what()});
    } catch (const std::exception&) {
      over_ = true;
    }
  }
}

void Exchange::work_off() {
  {
    const std::lock_guard lock(mutex_);
    taken_.swap(events_);
    scheduled_ = Clock::time_point::max();
    worked_ = Clock::now();
  }
  std::vector<StreamEvent> out;
  for (Event& event : taken_) {
    const size_t before = out.size();
    handle(event, out);
    if (over_) break;
    if (!format_->tells_usage_so_far()) continue;
    for (size_t i = before; i < out.size(); ++i) out[i].data["usage"] = so_far_.tokens_json();
  }
  taken_.clear();
  if (over_) return;
  if (stream_) send(out);
  if (choices_left_ == 0) close();
}

void Exchange::handle(Event& event, std::vector<StreamEvent>& out) {
  if (over_) return;
  Clock::time_point& last = last_token_[event.choice];
  if (const auto* token = std::get_if<GeneratedToken>(&event.what)) {
    if (last == arrived_) {
      services_.metrics.first_token(seconds_between(arrived_, event.time));
    } else {
      services_.metrics.next_token(seconds_between(last, event.time));
    }
    last = event.time;
    ++so_far_.completion_tokens;
    format_->token(event.choice, *token, out);
  } else if (const auto* proposal = std::get_if<ProvisionalToken>(&event.what)) {
    format_->provisional(event.choice, *proposal, out);
  } else {
    const auto& generation = std::get<Generation>(event.what);
    --choices_left_;
    services_.metrics.ended(generation, seconds_between(arrived_, event.time));
    const auto whole = static_cast<size_t>(event.choice) % (last_token_.size() / prompts_) == 0;
    if (whole) usage_.cached_tokens += generation.statistics.cached_prompt_tokens;
    usage_.add(generation);
    switch (generation.finish_reason) {
      case FinishReason::kError:
        if (stream_) send(out);
        return fail(api_error_of(generation.status));
      case FinishReason::kCancelled:
        // The client has gone, or the server ends.
        return fail({.status = 503, .message = "the server is shutting down", .code = "shutdown"});
      case FinishReason::kDeadline:
        if (stream_) send(out);
        return fail({.status = 408, .message = "the request's time was up", .code = "timeout"});
      case FinishReason::kStop:
      case FinishReason::kLength:
        format_->ended(event.choice, generation, out);
        return;
    }
  }
}

void Exchange::send(const std::vector<StreamEvent>& events) {
  if (events.empty()) return;
  std::string text;
  for (const StreamEvent& event : events) text += format_->framed(event);
  write(std::move(text));
}

void Exchange::write(std::string text) {
  if (!std::exchange(begun_, true)) {
    reply_->begin(200, {{"Content-Type", format_->stream_type()},
                        {"Cache-Control", "no-cache"},
                        {"X-Accel-Buffering", "no"}});
  }
  reply_->write(std::move(text));
  last_sent_ = Clock::now();
}

void Exchange::fail(const ApiError& error) {
  over_ = true;
  cancel();
  if (!begun_) {
    reply_->send(error.status, error.headers(), dump_json(format_->error(error)));
    return;
  }
  send({format_->stream_error(error)});
  reply_->note("error", std::to_string(error.status));
  reply_->end();
}

void Exchange::close() {
  usage_.reasoning_tokens = format_->reasoning_tokens();
  reply_->note("prompt_tokens", std::to_string(usage_.prompt_tokens));
  reply_->note("completion_tokens", std::to_string(usage_.completion_tokens));
  if (usage_.loops() > 0) reply_->note("mean_depth", fmt::format("{:.2f}", usage_.mean_depth()));
  if (!stream_) {
    reply_->send(200, {{"Content-Type", "application/json"}}, dump_json(format_->whole(usage_)));
    over_ = true;
    return;
  }
  std::vector<StreamEvent> out;
  format_->closed(usage_, out);
  send(out);
  if (std::string last = format_->last_line(); !last.empty()) write(std::move(last));
  reply_->end();
  over_ = true;
}

void Exchange::ping_if_due() {
  if (over_) return;
  if (std::string text = format_->ping();
      !text.empty() && Clock::now() - last_sent_ >= services_.ping_every) {
    write(std::move(text));
  }
  services_.worker.post_after(services_.ping_every, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->ping();
  });
}

}  // namespace looplm
