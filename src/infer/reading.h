// What a plan keeps of one position's way through the loops.
#ifndef LOOPLM_INFER_READING_H_
#define LOOPLM_INFER_READING_H_

#include <optional>
#include <span>
#include <vector>

#include "looplm/generate.h"

#include "kernels/logit_summary.h"

namespace looplm {

class PositionReadings {
 public:
  // `plan` must outlive it.
  PositionReadings(const ReadOutPlan& plan, const ModelConfig& config, Device& device)
      : plan_(plan), has_gate_(config.exit_gate), device_(device) {}

  // `next` is the token that follows, where it is known.
  void begin(int64_t position, std::optional<int32_t> next);

  // After every loop, in order: the normed state.
  void see(std::span<const float> normed, float gate_logit);
  // After see(), where this loop is read on its own account; where it is the exit loop.
  Status read_loop(std::span<const float> logits, const LogitSummary& summary);
  Status read_exit(std::span<const float> logits, const LogitSummary& summary);
  // Now the token that follows is known.
  void set_next(int32_t token);

  // Readings of every loop, for a position that runs no more; of the exit loop.
  std::vector<LoopReading> every() const;
  std::vector<LoopReading> exit() const { return exit_; }

 private:
  std::vector<TopToken> top_tokens(std::span<const float> logits,
                                   const LogitSummary& summary) const;
  Result<LoopReading> read(std::span<const float> logits, const LogitSummary& summary) const;

  const ReadOutPlan& plan_;
  const bool has_gate_;
  Device& device_;
  int64_t position_ = 0;
  std::optional<int32_t> next_;
  std::vector<float> gates_;  // of each loop seen
  std::vector<float> normed_;
  double norm_ = 0;
  double difference_ = 0;
  std::vector<LoopReading> loops_;
  std::vector<LoopReading> exit_;  // at most one
  // Of loops that were read before the next token was known: what it takes to say its probability.
  struct Waiting {
    std::vector<float> logits;
    LogitSummary summary;
  };
  std::vector<Waiting> waiting_;
};

}  // namespace looplm

#endif  // LOOPLM_INFER_READING_H_
