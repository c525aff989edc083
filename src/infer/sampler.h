// From logits to a token.
#ifndef LOOPLM_INFER_SAMPLER_H_
#define LOOPLM_INFER_SAMPLER_H_

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "looplm/generate.h"

#include "kernels/sample.h"

namespace looplm {

// Fails on values out of the ranges that SamplingOptions states.
Status check_sampling(const SamplingOptions& options, int64_t vocabulary);

// One request's sampler: knows which tokens the prompt and the output hold.
class Sampler {
 public:
  Sampler(const SamplingOptions& options, std::span<const int32_t> prompt);

  void accept(int32_t token) { ++output_counts_[token]; }
  void forget(int32_t token);  // undoes accept

  const SampleRule& rule() const { return rule_; }
  // The logits that penalties and biases change, with their new values. Of the tokens accepted,
  // those in `later` do not count. May be called by several threads at once.
  std::vector<LogitOverride> changes(const float* logits, std::span<const int32_t> later) const;

 private:
  int64_t count(int32_t token, std::span<const int32_t> later) const;

  SamplingOptions options_;
  SampleRule rule_;
  std::vector<int32_t> prompt_tokens_;  // distinct, sorted
  std::unordered_map<int32_t, int64_t> output_counts_;
};

// A token to choose: penalties and bias, then temperature, top-k, top-p, min-p, then argmax with
// the position's Gumbel noise. A pure function of (logits, tokens before, seed, position).
struct TokenChoice {
  const Sampler* sampler = nullptr;
  const float* logits = nullptr;
  const LogitSummary* summary = nullptr;  // of the logits
  int64_t position = 0;
  // Tokens that the sampler has accepted for this place and the ones after it.
  std::span<const int32_t> later{};
  std::span<const uint32_t> allowed{};  // as SampleRow says
  int64_t runners_up = 0;               // wanted
  // Out: -1 when every token is forbidden. Without meaning when the logits are not finite.
  int32_t token = -1;
  // Out: what would be chosen without `token`, then without that too, ...; fewer where nothing is
  // left.
  std::vector<int32_t> others{};
};

// Makes all choices of a pass, on all threads.
void choose_tokens(std::span<TokenChoice> choices, int64_t vocabulary, Device& device);

}  // namespace looplm

#endif  // LOOPLM_INFER_SAMPLER_H_
