// Quality over depth: every fixed number of loops, and q-exit at several thresholds beside the
// fixed depth of the same cost.
#ifndef LOOPLM_EVAL_DEPTH_TABLE_H_
#define LOOPLM_EVAL_DEPTH_TABLE_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "eval/depth_scores.h"

namespace looplm {

// A figure with its 95% interval: percentiles over bootstrap resamples of the examples.
struct Estimate {
  double value = 0;
  double low = 0;
  double high = 0;
};

struct DepthRow {
  std::optional<double> threshold;  // of q-exit; none: every token runs `mean_loops`
  double mean_loops = 0;            // per scored token
  Estimate nll;                     // nats per scored token
  Estimate accuracy;                // share of scored tokens that are the most likely one
  // Share of examples all of whose scored tokens are right. Given the right tokens before it, each
  // token is what greedy decoding would pick, so this is greedy decoding's exact match too.
  Estimate exact;
  // Of q-exit, against the fixed depths on both sides of mean_loops, linearly between them: what a
  // mixture of fixed depths gives at the same mean cost. Above 0 is better.
  std::optional<Estimate> nll_gain;       // nats
  std::optional<Estimate> accuracy_gain;  // share
};

struct DepthTable {
  int64_t examples = 0;
  int64_t tokens = 0;  // scored
  int64_t trained_loops = 0;
  std::vector<DepthRow> rows;  // loops 1, 2, ..., then the thresholds
};

struct DepthTableOptions {
  int64_t trained_loops = 0;
  std::vector<double> thresholds;  // each in 0 .. 1; for models with a gate
  int64_t resamples = 1000;
  uint64_t seed = 1;
};

// Scores must be of one model, with the same number of loops, at least trained_loops; at least one.
DepthTable depth_table(const std::vector<DepthScores>& scores, const DepthTableOptions& options);

// The value at `x` (from 1) of a curve given at 1, 2, ..., linearly between.
double interpolate(const std::vector<double>& curve, double x);

}  // namespace looplm

#endif  // LOOPLM_EVAL_DEPTH_TABLE_H_
