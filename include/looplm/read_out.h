// What a request reads from a model in addition to its tokens: log-probabilities, gates and states,
// at which positions and after which loops.
#ifndef LOOPLM_READ_OUT_H_
#define LOOPLM_READ_OUT_H_

#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <vector>

#include "looplm/status.h"

namespace looplm {

struct TopToken {
  int32_t id = 0;
  float log_probability = 0;  // nats
};

// What one loop says at one position about the next token. All figures come from the raw logits,
// before any temperature, penalty, bias or constraint.
struct LoopReading {
  int64_t loop = 0;  // from 1
  // Of the token that follows in the prompt or the output; NaN where the request ends before it.
  float log_probability = std::numeric_limits<float>::quiet_NaN();
  int32_t best = 0;              // the most likely token; of equals the lowest id
  double entropy = 0;            // of the next-token distribution, nats
  double margin = 0;             // the two largest probabilities' difference
  float gate_logit = 0;          // before the sigmoid; 0 for a model without a gate
  double exit_probability = 0;   // of the exit distribution, where every loop is read
  double hidden_norm = 0;        // |h_t|, the normed state
  double hidden_difference = 0;  // |h_t - h_{t-1}|; of the first loop: 0
  std::vector<TopToken> top;     // most likely first
  std::vector<float> state;      // (E): h_t, where the plan keeps states
};

struct PositionReading {
  int64_t position = 0;            // in the text; the readings are about the token after it
  std::vector<LoopReading> loops;  // ascending
};

enum class ReadLoops {
  kNone,
  kExit,   // the loop that the exit rule picks: of output, the one that chose the token. Under the
           // weighted read-out the last, with figures of the mixture
  kEvery,  // all that run; a token is then reported once its position has ended all its loops
};

enum class Pooling {
  kNone,
  kMean,  // over the prompt's positions
  kLast,  // the prompt's last position
};

struct ReadOutPlan {
  // Of prompt positions from `first` on. Those before it may come from kept prefixes.
  ReadLoops prompt = ReadLoops::kNone;
  int64_t first = 0;
  // Of the positions that choose output tokens: the prompt's last and the generated ones.
  ReadLoops output = ReadLoops::kNone;
  int64_t top = 0;      // most likely tokens to list in each reading
  bool states = false;  // keep each reading's state

  // One normed state for the whole prompt, of loop `embedding_loop` (0: the last that runs).
  Pooling embedding = Pooling::kNone;
  int64_t embedding_loop = 0;

  // Gets the raw logits of each reading; loops count from 1. An error ends the request with it.
  std::function<Status(int64_t position, int64_t loop, std::span<const float> logits)> on_logits{};

  bool reads_prompt() const { return prompt != ReadLoops::kNone || embedding != Pooling::kNone; }
};

}  // namespace looplm

#endif  // LOOPLM_READ_OUT_H_
