#include "train/objective.h"

#include <cmath>
#include <numeric>

#include <gtest/gtest.h>

#include "base/rng.h"
#include "model/exit_distribution.h"
#include "support/status_matchers.h"
#include "train/pair_objective.h"

namespace looplm {
namespace {

struct Token {
  explicit Token(size_t loops)
      : nll(loops), z(loops), kl(loops), dnll(loops), dz(loops), dkl(loops) {}
  TokenLoss view() { return {nll, z, dnll, dz, kl, dkl}; }
  std::vector<float> nll, z, kl, dnll, dz, dkl;
};

Token random_token(size_t loops, uint64_t seed) {
  Token token(loops);
  Rng rng(seed);
  for (size_t t = 0; t < loops; ++t) {
    token.nll[t] = 2 + rng.normal();
    token.z[t] = 2 * rng.normal();
    token.kl[t] = rng.uniform();
  }
  return token;
}

std::vector<std::pair<std::string, std::unique_ptr<Objective>>> objectives(int64_t loops) {
  std::vector<std::pair<std::string, std::unique_ptr<Objective>>> all;
  ExitPrior geometric{ExitPrior::Kind::kGeometric, 0.3};
  ExitPrior poisson{ExitPrior::Kind::kPoissonLognormal};
  all.emplace_back("entropy", std::make_unique<StageOneObjective>(0.1, ExitPrior{}, loops));
  all.emplace_back("no entropy", std::make_unique<StageOneObjective>(0.0, ExitPrior{}, loops));
  all.emplace_back("geometric", std::make_unique<StageOneObjective>(0.2, geometric, loops));
  all.emplace_back("poisson", std::make_unique<StageOneObjective>(0.2, poisson, loops));
  all.emplace_back("distil", std::make_unique<DistilObjective>(0.7, Teacher::kLastLoop));
  all.emplace_back("taught", std::make_unique<DistilObjective>(0.7, Teacher::kFile));
  all.emplace_back("guess", std::make_unique<GuessObjective>());
  all.emplace_back("last", std::make_unique<LastLoopObjective>());
  return all;
}

double step_in(Token token, const Objective& objective, std::vector<float> Token::*field, size_t t,
               float step) {
  (token.*field)[t] += step;
  const double up = objective.evaluate(token.view());
  const auto above = static_cast<double>((token.*field)[t]);
  (token.*field)[t] -= 2 * step;
  const double down = objective.evaluate(token.view());
  return (up - down) / (above - static_cast<double>((token.*field)[t]));
}

TEST(Objectives, DerivativesAgreeWithFiniteDifferences) {
  for (size_t loops : {1, 2, 4, 8}) {
    for (const auto& [name, objective] : objectives(static_cast<int64_t>(loops))) {
      for (uint64_t seed = 0; seed < 5; ++seed) {
        Token token = random_token(loops, seed);
        objective->evaluate(token.view());
        for (size_t t = 0; t < loops; ++t) {
          SCOPED_TRACE(name + " T=" + std::to_string(loops) + " t=" + std::to_string(t));
          EXPECT_NEAR(static_cast<double>(token.dnll[t]),
                      step_in(token, *objective, &Token::nll, t, 1e-2f), 1e-4);
          EXPECT_NEAR(static_cast<double>(token.dz[t]),
                      step_in(token, *objective, &Token::z, t, 1e-2f), 1e-4);
          EXPECT_NEAR(static_cast<double>(token.dkl[t]),
                      step_in(token, *objective, &Token::kl, t, 1e-2f), 1e-4);
        }
      }
    }
  }
}

// The exit distribution is a constant: a gate that is frozen shall not be gone round.
TEST(Objectives, ExpectedLossWeighsLoopsByTheFrozenGate) {
  const ExpectedObjective objective;
  EXPECT_FALSE(objective.trains_gate());
  for (uint64_t seed = 0; seed < 5; ++seed) {
    Token token = random_token(4, seed);
    const double loss = objective.evaluate(token.view());
    std::vector<double> log_p(4);
    exit_log_probabilities(token.z, log_p);
    double expected = 0;
    for (size_t t = 0; t < 4; ++t) {
      expected += std::exp(log_p[t]) * static_cast<double>(token.nll[t]);
      EXPECT_EQ(token.dz[t], 0.0f);
      EXPECT_NEAR(static_cast<double>(token.dnll[t]),
                  step_in(token, objective, &Token::nll, t, 1e-2f), 1e-4);
    }
    EXPECT_NEAR(loss, expected, 1e-9);
  }
}

TEST(Objectives, PreferencesDerivativesAgreeWithFiniteDifferences) {
  const DpoObjective objective(0.3);
  Rng rng(3);
  const auto draw = [&] { return -20.0 + 5 * static_cast<double>(rng.normal()); };
  EXPECT_DOUBLE_EQ(objective.compare({-3, -7}, {-3, -7}).loss, std::log(2.0));
  for (int i = 0; i < 20; ++i) {
    const PairScores model = {draw(), draw()}, reference = {draw(), draw()};
    const PairLoss pair = objective.compare(model, reference);
    const auto loss = [&](double chosen, double rejected) {
      return objective.compare({model.chosen + chosen, model.rejected + rejected}, reference).loss;
    };
    constexpr double kStep = 1e-4;
    EXPECT_NEAR(pair.derivative.chosen, (loss(kStep, 0) - loss(-kStep, 0)) / (2 * kStep), 1e-7);
    EXPECT_NEAR(pair.derivative.rejected, (loss(0, kStep) - loss(0, -kStep)) / (2 * kStep), 1e-7);
    EXPECT_LT(pair.derivative.chosen, 0);
    // A right pair costs less than one at which the model stands as its reference does.
    EXPECT_EQ(pair.margin > 0, pair.loss < std::log(2.0));
  }
}

// Stage II treats its labels as constants, so only z is differentiated.
TEST(Objectives, StageTwoDerivativesAgreeWithFiniteDifferences) {
  for (bool forward_looking : {false, true}) {
    const StageTwoObjective objective({50, 0.005, forward_looking});
    for (uint64_t seed = 0; seed < 5; ++seed) {
      Token token = random_token(4, seed);
      objective.evaluate(token.view());
      for (size_t t = 0; t < 4; ++t) {
        EXPECT_EQ(token.dnll[t], 0.0f);
        EXPECT_NEAR(static_cast<double>(token.dz[t]),
                    step_in(token, objective, &Token::z, t, 1e-2f), 1e-4);
      }
    }
  }
}

TEST(Objectives, StageTwoLabelsFollowThePaper) {
  const StageTwoObjective objective({});
  Token token(2);
  // At the label's own value the gradient vanishes: 1 - lambda = w. Values from the label formula:
  // no gain gives w = sigmoid(-0.25).
  for (const auto& [gain, w] : std::vector<std::pair<float, double>>{
           {-1.0f, 0.4378}, {0.0f, 0.4378}, {0.005f, 0.5}, {0.01f, 0.5622}, {0.05f, 0.9047}}) {
    token.nll = {3.0f, 3.0f - gain};
    token.z = {0.0f, static_cast<float>(std::log((1 - w) / w))};
    objective.evaluate(token.view());
    EXPECT_NEAR(token.dz[1], 0.0f, 2e-4) << gain;
    EXPECT_EQ(token.dz[0], 0.0f);
  }
}

TEST(Objectives, UniformPriorIsEntropyUpToAConstant) {
  Token token = random_token(4, 3);
  const StageOneObjective entropy(0.1, ExitPrior{}, 4);
  const StageOneObjective uniform(0.1, ExitPrior{ExitPrior::Kind::kUniform}, 4);
  const double a = entropy.evaluate(token.view());
  const std::vector<float> dz = token.dz;
  const double b = uniform.evaluate(token.view());
  EXPECT_NEAR(b - a, 0.1 * std::log(4.0), 1e-12);
  for (size_t t = 0; t < 4; ++t) EXPECT_NEAR(token.dz[t], dz[t], 1e-6);
}

TEST(ExitDistribution, SumsToOneAlsoWhenSaturated) {
  for (float size : {1.0f, 30.0f, 500.0f}) {
    for (uint64_t seed = 0; seed < 20; ++seed) {
      Token token = random_token(6, seed);
      for (float& z : token.z) z *= size;
      std::vector<double> log_p(6);
      exit_log_probabilities(token.z, log_p);
      double total = 0;
      for (double l : log_p) {
        EXPECT_LE(l, 0.0);
        total += std::exp(l);
      }
      EXPECT_NEAR(total, 1, 1e-12);
    }
  }
}

TEST(ExitPriors, AreNormalisedAndShapedAsNamed) {
  ExitPrior geometric{ExitPrior::Kind::kGeometric, 0.25};
  const std::vector<double> g = geometric.log_probabilities(5);
  for (size_t t = 1; t < 5; ++t) EXPECT_NEAR(g[t] - g[t - 1], std::log(0.75), 1e-12);
  // Without spread the Poisson-lognormal is a Poisson.
  ExitPrior poisson{ExitPrior::Kind::kPoissonLognormal, 0, 3.0, 0.0};
  const std::vector<double> p = poisson.log_probabilities(4);
  EXPECT_NEAR(p[1] - p[0], std::log(3.0), 1e-9);
  EXPECT_NEAR(p[3] - p[2], std::log(1.0), 1e-9);
  for (const auto& log_p : {g, p}) {
    double total = 0;
    for (double l : log_p) total += std::exp(l);
    EXPECT_NEAR(total, 1, 1e-12);
  }
  EXPECT_ERROR_SAYS(value_named(kExitPriorNames, "normal"), "normal", "geometric");
}

}  // namespace
}  // namespace looplm
