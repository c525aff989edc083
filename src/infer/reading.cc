#include "infer/reading.h"

#include <algorithm>
#include <cmath>

#include "infer/exit_rule.h"
#include "kernels/sample.h"
#include "model/exit_distribution.h"

namespace looplm {

// Most likely first, of equals the lowest id.
std::vector<TopToken> PositionReadings::top_tokens(std::span<const float> logits,
                                                   const LogitSummary& summary) const {
  const auto size = static_cast<int64_t>(logits.size());
  const int64_t count = std::min(plan_.top, size);
  if (count == 0) return {};
  std::vector<TopToken> top;
  for (const int32_t id : most_likely(logits.data(), size, count, device_.kernels())) {
    top.push_back({id, summary.log_probability(logits[static_cast<size_t>(id)])});
  }
  return top;
}

void PositionReadings::begin(int64_t position, std::optional<int32_t> next) {
  position_ = position;
  next_ = next;
  gates_.clear();
  normed_.clear();
  loops_.clear();
  exit_.clear();
  waiting_.clear();
}

void PositionReadings::see(std::span<const float> normed, float gate_logit) {
  const StateChange change = state_change(normed, normed_);
  norm_ = change.norm;
  difference_ = change.difference;
  normed_.assign(normed.begin(), normed.end());
  gates_.push_back(gate_logit);
}

Result<LoopReading> PositionReadings::read(std::span<const float> logits,
                                           const LogitSummary& summary) const {
  LoopReading r;
  r.loop = static_cast<int64_t>(gates_.size());
  if (next_) r.log_probability = summary.log_probability(logits[static_cast<size_t>(*next_)]);
  r.best = summary.best;
  r.entropy = summary.entropy;
  r.margin = summary.margin();
  r.gate_logit = gates_.back();
  r.hidden_norm = norm_;
  r.hidden_difference = difference_;
  r.top = top_tokens(logits, summary);
  if (plan_.states) r.state = normed_;
  if (plan_.on_logits) LOOPLM_RETURN_IF_ERROR(plan_.on_logits(position_, r.loop, logits));
  return r;
}

Status PositionReadings::read_loop(std::span<const float> logits, const LogitSummary& summary) {
  LOOPLM_ASSIGN_OR_RETURN(LoopReading r, read(logits, summary));
  loops_.push_back(std::move(r));
  if (!next_) waiting_.push_back({{logits.begin(), logits.end()}, summary});
  return {};
}

Status PositionReadings::read_exit(std::span<const float> logits, const LogitSummary& summary) {
  LOOPLM_ASSIGN_OR_RETURN(LoopReading r, read(logits, summary));
  exit_.push_back(std::move(r));
  return {};
}

void PositionReadings::set_next(int32_t token) {
  if (next_) return;
  next_ = token;
  for (size_t i = 0; i < waiting_.size(); ++i) {
    const Waiting& w = waiting_[i];
    loops_[i].log_probability = w.summary.log_probability(w.logits[static_cast<size_t>(token)]);
  }
  waiting_.clear();
}

std::vector<LoopReading> PositionReadings::every() const {
  std::vector<LoopReading> loops = loops_;
  std::vector<double> log_p(gates_.size());
  exit_log_probabilities(gates_, log_p);
  for (LoopReading& r : loops) {
    const bool last = r.loop == static_cast<int64_t>(gates_.size());
    r.exit_probability =
        has_gate_ ? std::exp(log_p[static_cast<size_t>(r.loop - 1)]) : (last ? 1.0 : 0.0);
  }
  return loops;
}

}  // namespace looplm
