#include "train/objective.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "model/exit_distribution.h"
#include "train/pair_objective.h"

namespace looplm {
namespace {

// P(n) for n = 0..count-1 with n ~ Poisson(e^tau), tau normal: the integral over tau by the
// midpoint rule on +-8 sigma.
std::vector<double> poisson_lognormal(double mean, double sigma, int64_t count) {
  constexpr int kPoints = 4001;
  constexpr double kReach = 8;
  std::vector<double> p(static_cast<size_t>(count));
  const double center = std::log(mean) - sigma * sigma / 2;
  double total_weight = 0;
  for (int i = 0; i < kPoints; ++i) {
    const double u = kReach * (2 * (i + 0.5) / kPoints - 1);
    const double weight = std::exp(-u * u / 2);
    const double tau = center + sigma * u;
    const double rate = std::exp(tau);
    total_weight += weight;
    for (int64_t n = 0; n < count; ++n) {
      const auto k = static_cast<double>(n);
      p[static_cast<size_t>(n)] += weight * std::exp(k * tau - rate - std::lgamma(k + 1));
    }
  }
  for (double& x : p) x /= total_weight;
  return p;
}

}  // namespace

std::vector<double> ExitPrior::log_probabilities(int64_t loops) const {
  std::vector<double> p(static_cast<size_t>(loops), 1.0);
  switch (kind) {
    case Kind::kEntropy:
      return std::vector<double>(static_cast<size_t>(loops), 0.0);
    case Kind::kUniform:
      break;
    case Kind::kGeometric:
      for (int64_t t = 0; t < loops; ++t) {
        p[static_cast<size_t>(t)] = std::pow(1 - parameter, static_cast<double>(t)) * parameter;
      }
      break;
    case Kind::kPoissonLognormal:
      p = poisson_lognormal(mean, sigma, loops);
      break;
  }
  double total = 0;
  for (double x : p) total += x;
  for (double& x : p) x = std::log(x / total);
  return p;
}

StageOneObjective::StageOneObjective(double beta, ExitPrior prior, int64_t loops)
    : beta_(beta), log_prior_(prior.log_probabilities(loops)) {}

// With a_t = nll_t + beta (log p_t - log prior_t), the loss is sum_t p_t a_t. Since d log p_t / d
// z_j is 1 - lambda_j for t = j, -lambda_j for t > j and 0 for t < j, and sum_t p_t is constant:
//   d loss / d z_j = (1 - lambda_j) p_j a_j - lambda_j sum_{t>j} p_t a_t
double StageOneObjective::evaluate(const TokenLoss& token) const {
  const size_t loops = token.nll.size();
  LOOPLM_CHECK(loops == log_prior_.size(), "{} loops, prior over {}", loops, log_prior_.size());
  thread_local std::vector<double> log_p;
  log_p.resize(loops);
  exit_log_probabilities(token.gate_logit, log_p);
  double loss = 0;
  double later = 0;  // sum_{t>j} p_t a_t
  for (size_t j = loops; j-- > 0;) {
    const double p = std::exp(log_p[j]);
    const double a = static_cast<double>(token.nll[j]) + beta_ * (log_p[j] - log_prior_[j]);
    token.dnll[j] = static_cast<float>(p);
    if (j + 1 == loops) {
      token.dgate[j] = 0;
    } else {
      const double lambda = sigmoid(static_cast<double>(token.gate_logit[j]));
      token.dgate[j] = static_cast<float>((1 - lambda) * p * a - lambda * later);
    }
    later += p * a;
    loss += p * a;
  }
  return loss;
}

double StageTwoObjective::evaluate(const TokenLoss& token) const {
  const size_t loops = token.nll.size();
  std::fill(token.dnll.begin(), token.dnll.end(), 0.0f);
  std::fill(token.dgate.begin(), token.dgate.end(), 0.0f);
  double loss = 0;
  const auto divisor = static_cast<double>(loops);
  for (size_t t = 1; t < loops; ++t) {
    const double gain =
        std::max(0.0, static_cast<double>(token.nll[t - 1]) - static_cast<double>(token.nll[t]));
    const double go_on = sigmoid(settings_.k * (gain - settings_.gamma));
    const size_t taught = settings_.forward_looking ? t - 1 : t;
    const auto z = static_cast<double>(token.gate_logit[taught]);
    loss -= (go_on * log_sigmoid(-z) + (1 - go_on) * log_sigmoid(z)) / divisor;
    token.dgate[taught] = static_cast<float>((sigmoid(z) - (1 - go_on)) / divisor);
  }
  return loss;
}

double ExpectedObjective::evaluate(const TokenLoss& token) const {
  thread_local std::vector<double> log_p;
  log_p.resize(token.nll.size());
  exit_log_probabilities(token.gate_logit, log_p);
  double loss = 0;
  for (size_t t = 0; t < log_p.size(); ++t) {
    const double p = std::exp(log_p[t]);
    loss += p * static_cast<double>(token.nll[t]);
    token.dnll[t] = static_cast<float>(p);
    token.dgate[t] = 0;
  }
  return loss;
}

double DistilObjective::evaluate(const TokenLoss& token) const {
  const size_t last = token.nll.size() - 1;
  std::fill(token.dnll.begin(), token.dnll.end(), 0.0f);
  std::fill(token.dgate.begin(), token.dgate.end(), 0.0f);
  std::fill(token.ddivergence.begin(), token.ddivergence.end(), 0.0f);
  token.dnll[last] = 1;
  double loss = static_cast<double>(token.nll[last]);
  const size_t taught = teacher_ == Teacher::kFile ? last + 1 : last;
  const double share = taught == 0 ? 0 : weight_ / static_cast<double>(taught);
  for (size_t t = 0; t < taught; ++t) {
    loss += share * static_cast<double>(token.divergence[t]);
    token.ddivergence[t] = static_cast<float>(share);
  }
  return loss;
}

double GuessObjective::evaluate(const TokenLoss& token) const {
  const size_t last = token.nll.size() - 1;
  std::fill(token.dnll.begin(), token.dnll.end(), 0.0f);
  std::fill(token.dgate.begin(), token.dgate.end(), 0.0f);
  std::fill(token.ddivergence.begin(), token.ddivergence.end(), 0.0f);
  double loss = 0;
  for (size_t t = 0; t < last; ++t) {
    const double share = 1 / static_cast<double>(last);
    loss += share * static_cast<double>(token.divergence[t]);
    token.ddivergence[t] = static_cast<float>(share);
  }
  return loss;
}

double LastLoopObjective::evaluate(const TokenLoss& token) const {
  std::fill(token.dnll.begin(), token.dnll.end(), 0.0f);
  std::fill(token.dgate.begin(), token.dgate.end(), 0.0f);
  token.dnll.back() = 1;
  return static_cast<double>(token.nll.back());
}

std::unique_ptr<Objective> make_objective(const ObjectiveSettings& settings, int64_t loops) {
  switch (settings.kind) {
    case ObjectiveKind::kStageOne:
      return std::make_unique<StageOneObjective>(settings.beta, settings.prior, loops);
    case ObjectiveKind::kStageTwo:
      return std::make_unique<StageTwoObjective>(settings.stage_two);
    case ObjectiveKind::kDistil:
      return std::make_unique<DistilObjective>(settings.distil_weight, settings.teacher);
    case ObjectiveKind::kGuess:
      return std::make_unique<GuessObjective>();
    case ObjectiveKind::kDpo:
      return std::make_unique<DpoObjective>(settings.beta);
    case ObjectiveKind::kExpected:
      return std::make_unique<ExpectedObjective>();
    case ObjectiveKind::kLastLoop:
      break;
  }
  return std::make_unique<LastLoopObjective>();
}

}  // namespace looplm
