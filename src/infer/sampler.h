// From logits to a token.
#ifndef LOOPLM_INFER_SAMPLER_H_
#define LOOPLM_INFER_SAMPLER_H_

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "looplm/generate.h"

namespace looplm {

// Fails on values out of the ranges that SamplingOptions states.
Status check_sampling(const SamplingOptions& options, int64_t vocabulary);

// One request's sampler: knows which tokens the prompt and the output hold.
class Sampler {
 public:
  Sampler(const SamplingOptions& options, std::span<const int32_t> prompt);

  // The token of `position`: penalties and bias, then temperature, top-k, top-p, min-p, then argmax
  // with the position's Gumbel noise. A pure function of (logits, what was accepted so far, seed,
  // position).
  int32_t choose(std::span<const float> logits, int64_t position);

  void accept(int32_t token) { ++output_counts_[token]; }
  void forget(int32_t token);  // undoes accept

 private:
  void adjust(std::span<const float> logits);
  int32_t best() const;
  int32_t sample(int64_t position);

  SamplingOptions options_;
  std::vector<int32_t> prompt_tokens_;  // distinct, sorted
  std::unordered_map<int32_t, int64_t> output_counts_;
  std::vector<float> logits_;  // adjusted
  std::vector<int32_t> candidates_;
};

// Standard Gumbel noise of (seed, position, token).
double gumbel_noise(uint64_t seed, int64_t position, int32_t token);

}  // namespace looplm

#endif  // LOOPLM_INFER_SAMPLER_H_
