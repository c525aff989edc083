#include "infer/sampler.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace looplm {
namespace {

// Wide enough for every use, and narrow enough that changed logits keep their differences in
// double.
constexpr double kMostRepetition = 1e6;
constexpr double kMostPenalty = 1e6;
constexpr double kMostBias = 1e9;

Status out_of_range(const std::string& name, double value, const std::string& expected) {
  return invalid_argument(fmt::format("{} is {}; expected {}", name, value, expected));
}

Status check_penalty(const char* name, double value) {
  if (std::abs(value) <= kMostPenalty) return {};
  return out_of_range(name, value, fmt::format("{} to {}", -kMostPenalty, kMostPenalty));
}

Status check_bias(const std::map<int32_t, double>& biases, int64_t vocabulary) {
  int64_t forbidden = 0;
  for (const auto& [token, bias] : biases) {
    if (token < 0 || token >= vocabulary) {
      return invalid_argument(fmt::format(
          "logit_bias names token {}; the vocabulary has {} entries", token, vocabulary));
    }
    if (!std::isinf(bias) && !(std::abs(bias) <= kMostBias)) {
      return out_of_range(fmt::format("logit_bias of token {}", token), bias,
                          fmt::format("{} to {}, or infinite", -kMostBias, kMostBias));
    }
    forbidden += bias == -INFINITY;
  }
  if (forbidden < vocabulary) return {};
  return invalid_argument(fmt::format("logit_bias forbids all {} tokens", vocabulary));
}

}  // namespace

Status check_sampling(const SamplingOptions& o, int64_t vocabulary) {
  if (!(o.temperature >= 0) || std::isinf(o.temperature)) {
    return out_of_range("temperature", o.temperature, "0 or a positive number");
  }
  if (o.top_k < 0) return out_of_range("top_k", static_cast<double>(o.top_k), "0 or more");
  if (!(o.top_p > 0 && o.top_p <= 1)) return out_of_range("top_p", o.top_p, "above 0, at most 1");
  if (!(o.min_p >= 0 && o.min_p <= 1)) return out_of_range("min_p", o.min_p, "0 to 1");
  if (!(o.repetition_penalty >= 1 / kMostRepetition && o.repetition_penalty <= kMostRepetition)) {
    return out_of_range("repetition_penalty", o.repetition_penalty,
                        fmt::format("{} to {}", 1 / kMostRepetition, kMostRepetition));
  }
  LOOPLM_RETURN_IF_ERROR(check_penalty("presence_penalty", o.presence_penalty));
  LOOPLM_RETURN_IF_ERROR(check_penalty("frequency_penalty", o.frequency_penalty));
  return check_bias(o.logit_bias, vocabulary);
}

Sampler::Sampler(const SamplingOptions& options, std::span<const int32_t> prompt)
    : options_(options),
      rule_{options.temperature, options.top_k, options.top_p, options.min_p, options.seed},
      prompt_tokens_(prompt.begin(), prompt.end()) {
  std::sort(prompt_tokens_.begin(), prompt_tokens_.end());
  prompt_tokens_.erase(std::unique(prompt_tokens_.begin(), prompt_tokens_.end()),
                       prompt_tokens_.end());
}

void Sampler::forget(int32_t token) {
  const auto found = output_counts_.find(token);
  if (found != output_counts_.end() && --found->second == 0) output_counts_.erase(found);
}

int64_t Sampler::count(int32_t token, std::span<const int32_t> later) const {
  const auto found = output_counts_.find(token);
  if (found == output_counts_.end()) return 0;
  return found->second - std::count(later.begin(), later.end(), token);
}

std::vector<LogitOverride> Sampler::changes(const float* logits,
                                            std::span<const int32_t> later) const {
  const SamplingOptions& o = options_;
  const bool repetition = o.repetition_penalty != 1;
  const bool counts = o.presence_penalty != 0 || o.frequency_penalty != 0;
  std::vector<LogitOverride> changed;
  const auto change = [&](int32_t token, bool seen, int64_t count) {
    auto x = static_cast<double>(logits[token]);
    if (seen && repetition) x = x > 0 ? x / o.repetition_penalty : x * o.repetition_penalty;
    if (count > 0) x -= o.presence_penalty + o.frequency_penalty * static_cast<double>(count);
    const auto bias = o.logit_bias.find(token);
    if (bias != o.logit_bias.end()) x += bias->second;
    changed.push_back({token, x});
  };
  if (repetition || counts) {
    for (const auto& [token, accepted] : output_counts_) {
      const int64_t times = accepted - std::count(later.begin(), later.end(), token);
      if (times > 0) change(token, true, times);
    }
  }
  if (repetition) {
    for (int32_t token : prompt_tokens_) {
      if (count(token, later) == 0) change(token, true, 0);
    }
  }
  for (const auto& [token, bias] : o.logit_bias) {
    const bool in_output = (repetition || counts) && count(token, later) > 0;
    const bool in_prompt =
        repetition && std::binary_search(prompt_tokens_.begin(), prompt_tokens_.end(), token);
    if (!in_output && !in_prompt) change(token, false, 0);
  }
  return changed;
}

namespace {

// Chooses again without what was chosen, until all rows have what they want.
void choose_others(std::span<TokenChoice> choices, std::vector<std::vector<LogitOverride>>& changes,
                   std::vector<SampleRow>& rows, int64_t vocabulary, Device& device) {
  for (bool more = true; more;) {
    more = false;
    std::vector<size_t> wanting;
    std::vector<SampleRow> again;
    for (size_t i = 0; i < choices.size(); ++i) {
      TokenChoice& c = choices[i];
      const bool wants = static_cast<int64_t>(c.others.size()) < c.runners_up;
      if (!wants || rows[i].token < 0 || !c.summary->finite) continue;
      more = true;
      const bool as_ranked =
          rows[i].rule.temperature == 0 && changes[i].empty() && c.allowed.empty();
      std::erase_if(changes[i], [&](const LogitOverride& o) { return o.token == rows[i].token; });
      changes[i].push_back({rows[i].token, -INFINITY});
      rows[i].overrides = changes[i];
      if (as_ranked) {
        rows[i].token = c.summary->second;
        if (rows[i].token >= 0) c.others.push_back(rows[i].token);
      } else {
        wanting.push_back(i);
        again.push_back(rows[i]);
      }
    }
    sample(again, vocabulary, device);
    for (size_t k = 0; k < wanting.size(); ++k) {
      const int32_t token = again[k].token;
      rows[wanting[k]].token = token;
      if (token >= 0) choices[wanting[k]].others.push_back(token);
    }
  }
}

}  // namespace

void choose_tokens(std::span<TokenChoice> choices, int64_t vocabulary, Device& device) {
  std::vector<std::vector<LogitOverride>> changes(choices.size());
  device.pool().parallel_for(static_cast<int64_t>(choices.size()), [&](int64_t i, int) {
    const auto at = static_cast<size_t>(i);
    changes[at] = choices[at].sampler->changes(choices[at].logits, choices[at].later);
  });
  std::vector<SampleRow> rows;
  for (size_t i = 0; i < choices.size(); ++i) {
    const TokenChoice& c = choices[i];
    rows.push_back({c.logits, c.summary, changes[i], c.allowed, c.sampler->rule(), c.position});
  }
  sample(rows, vocabulary, device);
  for (size_t i = 0; i < choices.size(); ++i) choices[i].token = rows[i].token;
  choose_others(choices, changes, rows, vocabulary, device);
}

}  // namespace looplm
