#include "infer/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

#include "base/rng.h"

namespace looplm {
namespace {

// More than -log(-log(1 - 2^-33)) = 22.9, the largest noise there is.
constexpr double kMostNoise = 23;

Status out_of_range(const char* name, double value, const char* expected) {
  return invalid_argument(fmt::format("{} is {}; expected {}", name, value, expected));
}

}  // namespace

Status check_sampling(const SamplingOptions& o, int64_t vocabulary) {
  if (!(o.temperature >= 0) || std::isinf(o.temperature)) {
    return out_of_range("temperature", o.temperature, "0 or a positive number");
  }
  if (o.top_k < 0) return out_of_range("top_k", static_cast<double>(o.top_k), "0 or more");
  if (!(o.top_p > 0 && o.top_p <= 1)) return out_of_range("top_p", o.top_p, "above 0, at most 1");
  if (!(o.min_p >= 0 && o.min_p <= 1)) return out_of_range("min_p", o.min_p, "0 to 1");
  if (!(o.repetition_penalty > 0) || std::isinf(o.repetition_penalty)) {
    return out_of_range("repetition_penalty", o.repetition_penalty, "a positive number");
  }
  if (!std::isfinite(o.presence_penalty)) {
    return out_of_range("presence_penalty", o.presence_penalty, "a finite number");
  }
  if (!std::isfinite(o.frequency_penalty)) {
    return out_of_range("frequency_penalty", o.frequency_penalty, "a finite number");
  }
  for (const auto& [token, bias] : o.logit_bias) {
    if (token < 0 || token >= vocabulary) {
      return invalid_argument(fmt::format(
          "logit_bias names token {}; the vocabulary has {} entries", token, vocabulary));
    }
    if (std::isnan(bias)) return out_of_range("logit_bias", bias, "a number");
  }
  return {};
}

double gumbel_noise(uint64_t seed, int64_t position, int32_t token) {
  const auto id = static_cast<uint32_t>(token);
  const PhiloxBlock block = philox(seed, static_cast<uint64_t>(position), id / 4);
  // All 32 bits: with the 23 of a float, no token could be more than 16.6 ahead of its logit.
  return -std::log(-std::log((static_cast<double>(block[id % 4]) + 0.5) * 0x1p-32));
}

Sampler::Sampler(const SamplingOptions& options, std::span<const int32_t> prompt)
    : options_(options), prompt_tokens_(prompt.begin(), prompt.end()) {
  std::sort(prompt_tokens_.begin(), prompt_tokens_.end());
  prompt_tokens_.erase(std::unique(prompt_tokens_.begin(), prompt_tokens_.end()),
                       prompt_tokens_.end());
}

void Sampler::forget(int32_t token) {
  const auto found = output_counts_.find(token);
  if (found != output_counts_.end() && --found->second == 0) output_counts_.erase(found);
}

void Sampler::adjust(std::span<const float> logits) {
  logits_.assign(logits.begin(), logits.end());
  if (options_.repetition_penalty != 1) {
    const auto penalty = static_cast<float>(options_.repetition_penalty);
    const auto penalise = [&](int32_t token) {
      float& logit = logits_[static_cast<size_t>(token)];
      logit = logit > 0 ? logit / penalty : logit * penalty;
    };
    for (int32_t token : prompt_tokens_) penalise(token);
    for (const auto& [token, count] : output_counts_) {
      if (!std::binary_search(prompt_tokens_.begin(), prompt_tokens_.end(), token)) penalise(token);
    }
  }
  if (options_.presence_penalty != 0 || options_.frequency_penalty != 0) {
    for (const auto& [token, count] : output_counts_) {
      logits_[static_cast<size_t>(token)] -= static_cast<float>(
          options_.presence_penalty + options_.frequency_penalty * static_cast<double>(count));
    }
  }
  for (const auto& [token, bias] : options_.logit_bias) {
    logits_[static_cast<size_t>(token)] += static_cast<float>(bias);
  }
}

int32_t Sampler::best() const {
  return static_cast<int32_t>(std::max_element(logits_.begin(), logits_.end()) - logits_.begin());
}

int32_t Sampler::choose(std::span<const float> logits, int64_t position) {
  adjust(logits);
  return options_.temperature == 0 ? best() : sample(position);
}

int32_t Sampler::sample(int64_t position) {
  const auto temperature = static_cast<float>(options_.temperature);
  for (float& logit : logits_) logit /= temperature;

  candidates_.resize(logits_.size());
  std::iota(candidates_.begin(), candidates_.end(), 0);
  // Most likely first, ties to the lower id.
  const auto more_likely = [this](int32_t a, int32_t b) {
    const float x = logits_[static_cast<size_t>(a)];
    const float y = logits_[static_cast<size_t>(b)];
    return x > y || (x == y && a < b);
  };
  const bool ranked = options_.top_k > 0 || options_.top_p < 1;
  if (ranked) {
    const auto keep = options_.top_k > 0
                          ? std::min(candidates_.size(), static_cast<size_t>(options_.top_k))
                          : candidates_.size();
    std::partial_sort(candidates_.begin(), candidates_.begin() + static_cast<ptrdiff_t>(keep),
                      candidates_.end(), more_likely);
    candidates_.resize(keep);
  }
  const float most = logits_[static_cast<size_t>(
      ranked ? candidates_.front()
             : *std::min_element(candidates_.begin(), candidates_.end(), more_likely))];
  const auto weight = [&](int32_t token) {
    return std::exp(static_cast<double>(logits_[static_cast<size_t>(token)] - most));
  };
  if (options_.top_p < 1) {
    double total = 0;
    for (int32_t token : candidates_) total += weight(token);
    double sum = 0;
    size_t kept = 0;
    while (kept < candidates_.size() && sum < options_.top_p * total) {
      sum += weight(candidates_[kept++]);
    }
    candidates_.resize(std::max<size_t>(kept, 1));
  }
  int32_t chosen = candidates_.front();
  double best_value = -INFINITY;
  for (int32_t token : candidates_) {
    if (options_.min_p > 0 && weight(token) < options_.min_p) continue;
    const auto logit = static_cast<double>(logits_[static_cast<size_t>(token)]);
    // Noise costs far more than this comparison, and most of a large vocabulary cannot win.
    if (logit + kMostNoise < best_value) continue;
    const double value = logit + gumbel_noise(options_.seed, position, token);
    if (value > best_value) {
      best_value = value;
      chosen = token;
    }
  }
  return chosen;
}

}  // namespace looplm
