// Choosing a token from a row of logits.
#ifndef LOOPLM_KERNELS_SAMPLE_H_
#define LOOPLM_KERNELS_SAMPLE_H_

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/logit_summary.h"

namespace looplm {

// Tokens are ranked by logit, of equals the lowest id first. With x a token's logit and b the best
// one, its weight is e^((x - b) / temperature); weights have the accuracy of fp32. The rule keeps
//   the first top_k,
//   of those the fewest first ones whose weights reach top_p of the sum over those,
//   of those the ones whose weight is at least min_p,
// and chooses argmax(x / temperature + gumbel_noise(seed, position, token)) among them, which draws
// each with a probability proportional to its weight (Gumbel, 1954). Every finite temperature
// works, however small or large. Temperature 0 takes the best.
struct SampleRule {
  double temperature = 0;
  int64_t top_k = 0;  // 0: all
  double top_p = 1;   // (0, 1]
  double min_p = 0;   // [0, 1]
  uint64_t seed = 0;
};

// Standard Gumbel noise, a function of its arguments alone.
double gumbel_noise(uint64_t seed, int64_t position, int32_t token);

struct LogitOverride {
  int32_t token = 0;
  double logit = 0;  // -infinity forbids the token, +infinity forbids all others
};

struct SampleRow {
  const float* logits = nullptr;          // (vocabulary)
  const LogitSummary* summary = nullptr;  // of the logits
  // Take the logits' place; each token once.
  std::span<const LogitOverride> overrides{};
  // A bit per token, id i at bit i % 32 of word i / 32; one without its bit is forbidden. Empty:
  // all may come.
  std::span<const uint32_t> allowed{};
  SampleRule rule;
  int64_t position = 0;
  // Out. -1 when every token is forbidden. Without meaning when the logits are not finite.
  int32_t token = -1;
};

// Rows are independent and run on all threads.
void sample(std::span<SampleRow> rows, int64_t vocabulary, Device& device);

// The `count` first-ranked of n logits, in order; count <= n.
std::vector<int32_t> most_likely(const float* logits, int64_t n, int64_t count,
                                 const cpu::KernelTable& kernels);

}  // namespace looplm

#endif  // LOOPLM_KERNELS_SAMPLE_H_
