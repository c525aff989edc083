// One measure over the seeds of a training: what reports show of it, and when two differ.
#ifndef LOOPLM_EXPERIMENTS_CORE_SEED_SUMMARY_H_
#define LOOPLM_EXPERIMENTS_CORE_SEED_SUMMARY_H_

#include <string>
#include <vector>

#include "eval/figure.h"
#include "experiments/core/estimates.h"

namespace looplm {

struct SeedSummary {
  double mean = 0;
  double low = 0;  // of the worst seed
  double high = 0;
  std::vector<double> values;  // of each seed, in the order given
};
// At least one value.
SeedSummary summarize_seeds(const std::vector<double>& values);

// `a` less `b` by seed: the i-th values of both had the same data.
SeedSummary difference(const SeedSummary& a, const SeedSummary& b);
// Their mean with its 95% interval.
Estimate paired_gain(const SeedSummary& a, const SeedSummary& b);
// Whether such a gain is more than chance explains: its interval, of two pairs at least, lies above
// 0, and it is 4 points or more (two standard errors of a difference between two shares near a half
// on a thousand examples).
bool is_ahead(const SeedSummary& a, const SeedSummary& b);

// "93.1% [92.0, 94.2]", shares as percents; a single seed without brackets.
std::string percent_text(const SeedSummary& summary);
// A point of the mean, with a bar from the worst to the best seed, all times `scale`.
void add_point(Series& series, double x, const SeedSummary& summary, double scale = 1);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_CORE_SEED_SUMMARY_H_
