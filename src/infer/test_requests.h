// Requests for tests of the engine: what must be equal of two answers, and a toy grammar.
#ifndef LOOPLM_INFER_TEST_REQUESTS_H_
#define LOOPLM_INFER_TEST_REQUESTS_H_

#include <bit>
#include <ostream>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "looplm/engine.h"

#include "base/check.h"
#include "infer/run_request.h"

namespace looplm {

// Text of everything that a request's answer holds but its statistics; floats by their bits.
class AnswerText {
 public:
  explicit AnswerText(const Generation& g) {
    add("{} \"{}\" {}\n", finish_reason_name(g.finish_reason), g.text, g.status.message());
    for (const GeneratedToken& t : g.tokens) {
      add("{}@{} {:08x}\n", t.id, t.loops, bits(t.log_probability));
      add_readings(t.readings);
    }
    for (const PositionReading& p : g.prompt) {
      add("position {}\n", p.position);
      add_readings(p.loops);
    }
    for (float x : g.embedding) add("{:08x} ", bits(x));
  }
  const std::string& text() const { return text_; }

 private:
  template <typename... Values>
  void add(fmt::format_string<Values...> format, Values&&... values) {
    text_ += fmt::format(format, std::forward<Values>(values)...);
  }
  static uint32_t bits(float x) { return std::bit_cast<uint32_t>(x); }
  static uint64_t bits(double x) { return std::bit_cast<uint64_t>(x); }

  void add_readings(const std::vector<LoopReading>& readings) {
    for (const LoopReading& r : readings) {
      add("  loop {} {:08x} best {} {:x} {:x} gate {:08x} {:x} states {:x} {:x}", r.loop,
          bits(r.log_probability), r.best, bits(r.entropy), bits(r.margin), bits(r.gate_logit),
          bits(r.exit_probability), bits(r.hidden_norm), bits(r.hidden_difference));
      for (const TopToken& t : r.top) add(" {}:{:08x}", t.id, bits(t.log_probability));
      for (float x : r.state) add(" {:08x}", bits(x));
      text_ += '\n';
    }
  }

  std::string text_;
};

inline std::string answer_text(const Generation& g) { return AnswerText(g).text(); }

// One request alone, whose speculation may take any lane; `rest` has what else it needs.
inline Result<Generation> generate_on_free_lanes(Model& model, std::vector<int32_t> prompt,
                                                 const GenerateOptions& options,
                                                 Request rest = {}) {
  rest.prompt = std::move(prompt);
  rest.options = options;
  return generate_on_free_lanes(model, std::move(rest));
}

// Brackets that open, at most three deep, and close; letters inside; and an end where all are
// closed. Of every four ids each is of one kind.
class ToyGrammar : public TokenConstraint {
 public:
  void mask(std::span<uint32_t> allowed) override {
    const auto bits = static_cast<int32_t>(allowed.size() * 32);
    for (int32_t id = 0; id < bits; ++id) {
      if (!may_follow(id)) forbid(allowed, id);
    }
  }
  void accept(int32_t token) override {
    LOOPLM_CHECK(may_follow(token), "token {} is against the grammar", token);
    past_.push_back(token);
    depth_ += step(token);
  }
  void forget(int64_t count) override {
    LOOPLM_CHECK(count > 0 && count <= static_cast<int64_t>(past_.size()));
    for (; count > 0; --count) {
      depth_ -= step(past_.back());
      past_.pop_back();
    }
    ++forgotten_;
  }
  bool finished() const override { return !past_.empty() && past_.back() % 4 == kEnd; }

  const std::vector<int32_t>& past() const { return past_; }
  int64_t forgotten() const { return forgotten_; }

 private:
  enum Kind : int32_t { kOpen, kClose, kLetter, kEnd };
  static int64_t step(int32_t token) {
    return token % 4 == kOpen ? 1 : token % 4 == kClose ? -1 : 0;
  }
  bool may_follow(int32_t token) const {
    if (finished()) return false;
    switch (token % 4) {
      case kOpen:
        return depth_ < 3;
      case kEnd:
        return depth_ == 0 && past_.size() > 4;
      default:
        return depth_ > 0;
    }
  }

  std::vector<int32_t> past_;
  int64_t depth_ = 0;
  int64_t forgotten_ = 0;
};

}  // namespace looplm

#endif  // LOOPLM_INFER_TEST_REQUESTS_H_
