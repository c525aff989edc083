#include "infer/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "infer/test_model.h"

namespace looplm {
namespace {

// The definitions of SamplingOptions, word for word, in double and with a full sort.
int32_t naive_choice(const SamplingOptions& o, std::vector<int32_t> prompt,
                     const std::vector<int32_t>& output, std::span<const float> raw,
                     int64_t position) {
  std::vector<double> logits(raw.begin(), raw.end());
  for (size_t id = 0; id < logits.size(); ++id) {
    const auto token = static_cast<int32_t>(id);
    const auto in_output = std::count(output.begin(), output.end(), token);
    const bool seen = in_output > 0 || std::count(prompt.begin(), prompt.end(), token) > 0;
    double& x = logits[id];
    if (seen) x = x > 0 ? x / o.repetition_penalty : x * o.repetition_penalty;
    if (in_output > 0) x -= o.presence_penalty;
    x -= o.frequency_penalty * static_cast<double>(in_output);
    if (o.logit_bias.contains(token)) x += o.logit_bias.at(token);
  }
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return logits[static_cast<size_t>(a)] > logits[static_cast<size_t>(b)];
  });
  if (o.temperature == 0) return order[0];
  for (double& x : logits) x /= o.temperature;
  if (o.top_k > 0 && o.top_k < static_cast<int64_t>(order.size())) {
    order.resize(static_cast<size_t>(o.top_k));
  }
  double total = 0;
  for (int32_t id : order) total += std::exp(logits[static_cast<size_t>(id)]);
  double sum = 0;
  std::vector<int32_t> kept;
  for (int32_t id : order) {
    if (sum >= o.top_p) break;
    sum += std::exp(logits[static_cast<size_t>(id)]) / total;
    kept.push_back(id);
  }
  const double best = std::exp(logits[static_cast<size_t>(order[0])]);
  std::erase_if(
      kept, [&](int32_t id) { return std::exp(logits[static_cast<size_t>(id)]) < o.min_p * best; });
  return *std::max_element(kept.begin(), kept.end(), [&](int32_t a, int32_t b) {
    return logits[static_cast<size_t>(a)] + gumbel_noise(o.seed, position, a) <
           logits[static_cast<size_t>(b)] + gumbel_noise(o.seed, position, b);
  });
}

std::vector<float> random_logits(size_t count, Rng& rng) {
  std::vector<float> logits(count);
  for (float& x : logits) x = 2 * rng.normal();
  return logits;
}

int32_t choose(const Sampler& sampler, std::span<const float> logits, int64_t position,
               std::span<const int32_t> later = {}) {
  const LogitSummary summary = summarize(logits);
  TokenChoice choice;
  choice.sampler = &sampler;
  choice.logits = logits.data();
  choice.summary = &summary;
  choice.position = position;
  choice.later = later;
  choose_tokens({&choice, 1}, static_cast<int64_t>(logits.size()), test_device());
  return choice.token;
}

// Runs a request of 200 tokens through both; returns how many choices differ from plain sampling.
int compare(SamplingOptions options) {
  Rng rng(11);
  const std::vector<int32_t> prompt = {3, 9, 9, 17};
  options.seed = 5;
  Sampler sampler(options, prompt);
  std::vector<int32_t> output;
  int changed = 0;
  for (int64_t position = 4; position < 204; ++position) {
    const std::vector<float> logits = random_logits(40, rng);
    const int32_t chosen = choose(sampler, logits, position);
    EXPECT_EQ(chosen, naive_choice(options, prompt, output, logits, position)) << position;
    SamplingOptions plain;
    plain.temperature = options.temperature;
    plain.seed = options.seed;
    changed += chosen != naive_choice(plain, prompt, output, logits, position);
    sampler.accept(chosen);
    output.push_back(chosen);
  }
  return changed;
}

SamplingOptions at_temperature(double temperature) {
  SamplingOptions options;
  options.temperature = temperature;
  return options;
}

TEST(Sampler, EveryOptionMatchesItsDefinition) {
  for (double temperature : {0.0, 0.7, 1.0, 1.6}) {
    SCOPED_TRACE(temperature);
    EXPECT_EQ(compare(at_temperature(temperature)), 0);
    SamplingOptions o = at_temperature(temperature);
    o.repetition_penalty = 1.7;
    EXPECT_GT(compare(o), 0);
    o = at_temperature(temperature);
    o.repetition_penalty = 0.6;
    EXPECT_GT(compare(o), 0);
    o = at_temperature(temperature);
    o.presence_penalty = 1.5;
    EXPECT_GT(compare(o), 0);
    o = at_temperature(temperature);
    o.frequency_penalty = 0.8;
    EXPECT_GT(compare(o), 0);
    o = at_temperature(temperature);
    o.logit_bias = {{2, 3.0}, {7, -100.0}, {39, 1.5}};
    EXPECT_GT(compare(o), 0);
    if (temperature == 0) continue;
    for (int64_t k : {1, 2, 5, 40, 1000}) {
      o = at_temperature(temperature);
      o.top_k = k;
      EXPECT_EQ(compare(o) > 0, k < 40) << "top_k " << k;
    }
    for (double p : {1e-9, 0.3, 0.9}) {
      o = at_temperature(temperature);
      o.top_p = p;
      EXPECT_GT(compare(o), 0) << "top_p " << p;
    }
    for (double p : {0.05, 0.4, 1.0}) {
      o = at_temperature(temperature);
      o.min_p = p;
      EXPECT_GT(compare(o), 0) << "min_p " << p;
    }
    o = at_temperature(temperature);
    o.top_k = 12;
    o.top_p = 0.8;
    o.min_p = 0.1;
    o.repetition_penalty = 1.2;
    o.presence_penalty = 0.3;
    o.frequency_penalty = 0.1;
    o.logit_bias = {{1, 1.0}};
    EXPECT_GT(compare(o), 0);
  }
}

// Under every kind of rule, and where few tokens are allowed.
TEST(Sampler, RunnersUpAreWhatWouldBeChosenWithoutTheBetterOnes) {
  Rng rng(3);
  for (int i = 0; i < 60; ++i) {
    SCOPED_TRACE(i);
    SamplingOptions o = at_temperature(i % 3 == 0 ? 0 : 0.8);
    o.seed = 9;
    o.top_k = i % 4 == 1 ? 3 : 0;
    o.repetition_penalty = i % 5 == 0 ? 1.4 : 1;
    if (i % 2 == 0) o.logit_bias = {{4, 2.0}};
    const std::vector<uint32_t> allowed = {0x13u};  // tokens 0, 1 and 4
    const std::vector<float> logits = random_logits(20, rng);
    const LogitSummary summary = summarize(logits);
    const Sampler sampler(o, std::vector<int32_t>{2, 5});
    const auto choice = [&](const Sampler& with) {
      TokenChoice c;
      c.sampler = &with;
      c.logits = logits.data();
      c.summary = &summary;
      c.position = i;
      if (i % 7 == 0) c.allowed = allowed;
      return c;
    };
    TokenChoice all = choice(sampler);
    all.runners_up = 4;
    TokenChoice none = choice(sampler);
    std::vector<TokenChoice> both = {all, none};
    choose_tokens(both, 20, test_device());
    EXPECT_EQ(both[0].token, both[1].token);
    EXPECT_TRUE(both[1].others.empty());
    ASSERT_EQ(both[0].others.size(), i % 7 == 0 ? 2u : 4u);
    int32_t better = both[0].token;
    for (const int32_t other : both[0].others) {
      o.logit_bias[better] = -INFINITY;
      const Sampler without(o, std::vector<int32_t>{2, 5});
      TokenChoice c = choice(without);
      choose_tokens({&c, 1}, 20, test_device());
      EXPECT_EQ(other, c.token);
      better = other;
    }
  }
}

TEST(Sampler, TiesGoToTheLowestId) {
  const std::vector<float> logits = {1, 5, 2, 5, 5};
  Sampler greedy({}, {});
  EXPECT_EQ(choose(greedy, logits, 0), 1);
  // Of three equal tokens top-k 2 keeps the two lowest ids, whatever the noise.
  SamplingOptions o = at_temperature(1);
  o.top_k = 2;
  std::vector<int> seen(5);
  for (uint64_t seed = 0; seed < 200; ++seed) {
    o.seed = seed;
    ++seen[static_cast<size_t>(choose(Sampler(o, {}), logits, 0))];
  }
  EXPECT_GT(seen[1], 60);
  EXPECT_GT(seen[3], 60);
  EXPECT_EQ(seen[1] + seen[3], 200);
}

// Gumbel's trick draws from the softmax: chi-square over many positions of one seed.
TEST(Sampler, DrawsFromTheSoftmax) {
  const std::vector<float> logits = {0.0f, 1.0f, -1.0f, 2.0f, 0.5f, -3.0f, 1.5f, 0.2f};
  for (double temperature : {0.5, 1.0, 2.0}) {
    SamplingOptions o = at_temperature(temperature);
    o.seed = 1234;
    Sampler sampler(o, {});
    constexpr int kDraws = 40000;
    std::vector<int> counts(logits.size());
    for (int64_t position = 0; position < kDraws; ++position) {
      ++counts[static_cast<size_t>(choose(sampler, logits, position))];
    }
    double total = 0, chi_square = 0;
    for (float x : logits) total += std::exp(static_cast<double>(x) / temperature);
    for (size_t i = 0; i < logits.size(); ++i) {
      const double expected =
          kDraws * std::exp(static_cast<double>(logits[i]) / temperature) / total;
      chi_square += (counts[i] - expected) * (counts[i] - expected) / expected;
    }
    EXPECT_LT(chi_square, 24.3) << temperature;  // 7 degrees of freedom, one in a thousand
  }
}

TEST(Sampler, NoiseIsStandardGumbel) {
  double sum = 0, squares = 0;
  constexpr int kCount = 40000;
  for (int32_t token = 0; token < kCount; ++token) {
    const double g = gumbel_noise(7, 3, token);
    ASSERT_LT(g, 23);  // the sampler skips tokens on the strength of this
    sum += g;
    squares += g * g;
  }
  const double mean = sum / kCount;
  EXPECT_NEAR(mean, 0.5772, 0.03);
  EXPECT_NEAR(squares / kCount - mean * mean, 1.6449, 0.08);
}

TEST(Sampler, ANoiseBelongsToSeedPositionAndToken) {
  EXPECT_EQ(gumbel_noise(1, 2, 3), gumbel_noise(1, 2, 3));
  EXPECT_NE(gumbel_noise(1, 2, 3), gumbel_noise(2, 2, 3));
  EXPECT_NE(gumbel_noise(1, 2, 3), gumbel_noise(1, 3, 3));
  EXPECT_NE(gumbel_noise(1, 2, 3), gumbel_noise(1, 2, 4));
}

TEST(Sampler, ForgettingUndoesAccepting) {
  SamplingOptions o;
  o.presence_penalty = 10;
  Sampler sampler(o, {});
  const std::vector<float> logits = {2, 1};
  EXPECT_EQ(choose(sampler, logits, 0), 0);
  sampler.accept(0);
  EXPECT_EQ(choose(sampler, logits, 1), 1);
  sampler.accept(0);
  sampler.forget(0);
  EXPECT_EQ(choose(sampler, logits, 1), 1);
  sampler.forget(0);
  EXPECT_EQ(choose(sampler, logits, 1), 0);
}

TEST(Sampler, ABiasOfMinusInfinityBansAndPlusInfinityForces) {
  const std::vector<float> logits = {9, 1, 1};
  for (double temperature : {0.0, 1.0}) {
    SamplingOptions o = at_temperature(temperature);
    o.logit_bias = {{0, -INFINITY}, {1, -INFINITY}};
    EXPECT_EQ(choose(Sampler(o, {}), logits, 0), 2);
    o.logit_bias = {{1, INFINITY}};
    o.top_p = 0.9;
    o.min_p = 0.1;
    EXPECT_EQ(choose(Sampler(o, {}), logits, 0), 1);
  }
}

TEST(Sampler, WrongOptionsAreNamed) {
  const auto check = [](auto change) {
    SamplingOptions o;
    change(o);
    return check_sampling(o, 40);
  };
  EXPECT_OK(check([](SamplingOptions&) {}));
  EXPECT_ERROR_SAYS(check([](auto& o) { o.temperature = -1; }), "temperature", "-1", "0 or");
  EXPECT_ERROR_SAYS(check([](auto& o) { o.temperature = NAN; }), "temperature", "nan");
  EXPECT_ERROR_SAYS(check([](auto& o) { o.top_k = -3; }), "top_k", "-3", "0 or more");
  EXPECT_ERROR_SAYS(check([](auto& o) { o.top_p = 0; }), "top_p", "0", "above 0");
  EXPECT_ERROR_SAYS(check([](auto& o) { o.top_p = 1.1; }), "top_p", "1.1", "at most 1");
  EXPECT_ERROR_SAYS(check([](auto& o) { o.min_p = 2; }), "min_p", "2", "0 to 1");
  EXPECT_ERROR_SAYS(check([](auto& o) { o.repetition_penalty = 0; }), "repetition_penalty", "0");
  EXPECT_ERROR_SAYS(check([](auto& o) { o.presence_penalty = NAN; }), "presence_penalty", "nan");
  EXPECT_ERROR_SAYS(check([](auto& o) { o.frequency_penalty = INFINITY; }), "frequency_penalty");
  EXPECT_ERROR_SAYS(check([](auto& o) { o.logit_bias[40] = 1; }), "logit_bias", "40");
  EXPECT_ERROR_SAYS(check([](auto& o) { o.logit_bias[-1] = 1; }), "logit_bias", "-1");
  EXPECT_ERROR_SAYS(check([](auto& o) { o.logit_bias[1] = NAN; }), "logit_bias", "nan");
}

}  // namespace
}  // namespace looplm
