// A request's output tokens, from the first proposal to the report.
#ifndef LOOPLM_INFER_TOKEN_QUEUE_H_
#define LOOPLM_INFER_TOKEN_QUEUE_H_

#include <deque>
#include <optional>
#include <vector>

#include "looplm/engine.h"

#include "infer/sampler.h"

namespace looplm {

//   0 ........ reported() ........ certain() ........ size()
//
//   reported   given to the caller; never taken back
//   certain    final, as are all before them; reported once their readings are complete
//   the rest   provisional, or final after a provisional one: a position may decide before the one
//              whose token it stands on, and is taken back with it
//
// What always holds:
//   - reported() <= certain() <= size().
//   - The sampler and the constraint have accepted tokens 0 .. size() - 1 in order, and no other.
//   - The token at k is a function of logits and of tokens 0 .. k - 1 alone. So putting another
//     token at k drops all after it, and the constraint's mask at k, asked for when size() was k,
//     holds until a token before k changes.
class TokenQueue {
 public:
  // `request` must outlive the queue.
  TokenQueue(const Request& request, int64_t vocabulary);

  int64_t size() const { return static_cast<int64_t>(tokens_.size()); }
  int64_t reported() const { return reported_; }
  int64_t certain() const;
  int32_t at(int64_t index) const { return tokens_[static_cast<size_t>(index)]; }
  const std::vector<int32_t>& tokens() const { return tokens_; }

  // The choice of what a loop puts at `index`, at most size(): to be made by choose_tokens() before
  // the queue changes.
  TokenChoice choice(int64_t index, const float* logits, const LogitSummary& summary);

  // Whether the constraint, if there is one, lets `token` follow.
  bool may_push(int32_t token);
  // Appends.
  void push(int32_t token);
  // Takes back token `index` and all after it; none of them is reported.
  void take_back(int64_t index);
  // Whether the constraint lets nothing follow token `index`, which is not reported.
  bool ends_after(int64_t index) const { return place(index).ends; }

  // Token `index` is final. It may be reported once it is complete.
  void decide(int64_t index, GeneratedToken token, bool complete);
  // Completes a final token by its readings.
  void complete(int64_t index, std::vector<LoopReading> readings);

  struct Report {
    GeneratedToken token;
    bool ends = false;  // the constraint lets nothing follow
  };
  // The next certain token, if it is complete.
  std::optional<Report> report();

 private:
  struct Place {
    std::vector<uint32_t> allowed{};  // the constraint's mask; empty: not asked for
    bool ends = false;
    bool complete = false;
    std::optional<GeneratedToken> final{};
  };
  // The constraint's mask at `index`.
  const std::vector<uint32_t>& mask(int64_t index);
  Place& place(int64_t index);
  const Place& place(int64_t index) const;

  TokenConstraint* const constraint_;  // null: none
  const int64_t prompt_size_;
  const int64_t vocabulary_;
  Sampler sampler_;
  std::vector<int32_t> tokens_;
  int64_t reported_ = 0;
  std::deque<Place> places_;  // from reported_ to at most size()
};

}  // namespace looplm

#endif  // LOOPLM_INFER_TOKEN_QUEUE_H_
