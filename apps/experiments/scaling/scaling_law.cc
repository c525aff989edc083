#include "experiments/scaling/scaling_law.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

#include <ceres/ceres.h>
#include <fmt/format.h>

#include "base/check.h"
#include "base/rng.h"

namespace looplm {
namespace {

// Logarithms of the constants, as the solver sees them. N, D and T are divided by their geometric
// means, which puts every constant near one whatever the scale of the study.
enum Constant { kFloor, kScale = 1, kShift = 2, kExponent = 3 };  // a term's three from 1, 4, 7
constexpr int kTerms = 3;
constexpr int first_of(int term) { return 3 * term; }
constexpr int kLoopsTerm = 2;

using Logs = std::array<double, kScalingConstants>;

struct Bounds {
  double least;
  double most;
};
// Of the floor, and of each term's scale, shift and exponent: of the search, and where it starts.
constexpr std::array<Bounds, 4> kBounds = {{{-7, 4}, {-12, 6}, {-10, 3}, {-5, 2.5}}};
constexpr std::array<Bounds, 4> kStarts = {{{-2, 1.5}, {-3, 1.5}, {-6, 0.5}, {-2, 0.7}}};

constexpr size_t kind_of(int constant) {
  return constant == kFloor ? size_t{kFloor} : static_cast<size_t>((constant - 1) % 3 + 1);
}
constexpr Bounds bounds_of(int constant) { return kBounds[kind_of(constant)]; }
constexpr Bounds start_of(int constant) { return kStarts[kind_of(constant)]; }

struct Residual {
  std::array<double, kTerms> x;  // divided by their geometric means
  double loss;
  int terms;  // of the law, from the first on

  template <typename T>
  bool operator()(const T* logs, T* residual) const {
    using std::exp;
    using std::log;
    T predicted = exp(logs[kFloor]);
    for (int term = 0; term < terms; ++term) {
      const T* at = logs + first_of(term);
      const T base = log(T(x[static_cast<size_t>(term)]) + exp(at[kShift]));
      predicted += exp(at[kScale] - exp(at[kExponent]) * base);
    }
    residual[0] = predicted - T(loss);
    return true;
  }
};

std::array<double, kTerms> variables(const ScalingPoint& p) {
  return {p.parameters, p.tokens, p.loops};
}

constexpr std::array kVariableNames = {"parameters", "tokens", "loops"};

Status check_points(std::span<const ScalingPoint> points, int terms) {
  if (points.size() < kScalingConstants) {
    return invalid_argument(fmt::format("{} points for a law of {} constants; expected at least {}",
                                        points.size(), kScalingConstants, kScalingConstants));
  }
  for (const ScalingPoint& p : points) {
    for (double value : {p.parameters, p.tokens, p.loops, p.loss}) {
      if (std::isfinite(value) && value > 0) continue;
      return invalid_argument(
          fmt::format("a point with parameters {}, tokens {}, loops {} and loss {}; expected "
                      "positive numbers",
                      p.parameters, p.tokens, p.loops, p.loss));
    }
  }
  for (size_t v = 0; v < static_cast<size_t>(terms); ++v) {
    const double first = variables(points.front())[v];
    const bool varies = std::any_of(points.begin(), points.end(), [&](const ScalingPoint& p) {
      return variables(p)[v] != first;
    });
    if (!varies) {
      return invalid_argument(
          fmt::format("all points have {} {}; expected at least two values to fit a law of {}",
                      first, kVariableNames[v], kVariableNames[v]));
    }
  }
  return {};
}

PowerTerm term_of(const Logs& logs, int term, double unit) {
  const double* at = logs.data() + first_of(term);
  PowerTerm result;
  result.exponent = std::exp(at[kExponent]);
  result.shift = std::exp(at[kShift]) * unit;
  result.scale = std::exp(at[kScale]) * std::pow(unit, result.exponent);
  return result;
}

}  // namespace

double PowerTerm::at(double x) const {
  return scale == 0 ? 0 : scale * std::pow(x + shift, -exponent);
}

double ScalingLaw::loss(double n, double d, double t) const {
  return floor + parameters.at(n) + tokens.at(d) + loops.at(t);
}

Result<ScalingFit> fit_scaling_law(std::span<const ScalingPoint> points,
                                   const ScalingFitOptions& options) {
  const int terms = options.loops_term ? kTerms : kLoopsTerm;
  LOOPLM_RETURN_IF_ERROR(check_points(points, terms));
  LOOPLM_CHECK(options.starts > 0 && options.huber >= 0);
  std::array<double, kTerms> units{};
  for (size_t v = 0; v < kTerms; ++v) {
    double sum = 0;
    for (const ScalingPoint& p : points) sum += std::log(variables(p)[v]);
    units[v] = std::exp(sum / static_cast<double>(points.size()));
  }

  Logs logs{};
  ceres::Problem problem;
  problem.AddParameterBlock(logs.data(), kScalingConstants);
  for (int i = 0; i < kScalingConstants; ++i) {
    problem.SetParameterLowerBound(logs.data(), i, bounds_of(i).least);
    problem.SetParameterUpperBound(logs.data(), i, bounds_of(i).most);
  }
  for (const ScalingPoint& p : points) {
    Residual residual{variables(p), p.loss, terms};
    for (size_t v = 0; v < kTerms; ++v) residual.x[v] /= units[v];
    // The problem owns both.
    problem.AddResidualBlock(
        new ceres::AutoDiffCostFunction<Residual, 1, kScalingConstants>(new Residual(residual)),
        options.huber > 0 ? new ceres::HuberLoss(options.huber) : nullptr, logs.data());
  }
  if (!options.loops_term) {
    const int first = first_of(kLoopsTerm);
    problem.SetManifold(
        logs.data(), new ceres::SubsetManifold(
                         kScalingConstants, {first + kScale, first + kShift, first + kExponent}));
  }
  ceres::Solver::Options solver;
  solver.linear_solver_type = ceres::DENSE_QR;
  solver.logging_type = ceres::SILENT;
  solver.max_num_iterations = 300;
  solver.function_tolerance = 1e-10;
  solver.parameter_tolerance = 1e-10;

  std::vector<double> costs;
  Logs best{};
  double best_cost = std::numeric_limits<double>::infinity();
  for (int start = 0; start < options.starts; ++start) {
    Rng rng(options.seed, static_cast<uint64_t>(start));
    for (int i = 0; i < kScalingConstants; ++i) {
      const Bounds range = start_of(i);
      logs[static_cast<size_t>(i)] =
          range.least + (range.most - range.least) * static_cast<double>(rng.uniform());
    }
    ceres::Solver::Summary summary;
    ceres::Solve(solver, &problem, &summary);
    if (!summary.IsSolutionUsable()) continue;
    costs.push_back(summary.final_cost);
    if (summary.final_cost < best_cost) {
      best_cost = summary.final_cost;
      best = logs;
    }
  }
  if (costs.empty()) {
    return invalid_argument(
        fmt::format("none of {} starts of the fit gave a usable solution", options.starts));
  }

  ScalingFit fit;
  fit.law.floor = std::exp(best[kFloor]);
  fit.law.parameters = term_of(best, 0, units[0]);
  fit.law.tokens = term_of(best, 1, units[1]);
  if (options.loops_term) fit.law.loops = term_of(best, kLoopsTerm, units[kLoopsTerm]);
  const int fitted = 1 + 3 * terms;
  for (int i = 0; i < fitted; ++i) {
    constexpr double kTouches = 0.02;  // of a logarithm: the search ends just before a bound
    const double value = best[static_cast<size_t>(i)];
    fit.at_bound[static_cast<size_t>(i)] =
        value < bounds_of(i).least + kTouches || value > bounds_of(i).most - kTouches;
  }
  fit.r_squared = r_squared(fit.law, points);
  double squares = 0;
  for (const ScalingPoint& p : points) {
    const double residual = fit.law.loss(p.parameters, p.tokens, p.loops) - p.loss;
    squares += residual * residual;
  }
  fit.rms = std::sqrt(squares / static_cast<double>(points.size()));
  // Below a mean residual of a millionth, all ends are as good as exact.
  const double slack = best_cost * 1e-3 + 1e-12 * static_cast<double>(points.size());
  fit.agreeing_starts = static_cast<int>(std::count_if(
      costs.begin(), costs.end(), [&](double cost) { return cost <= best_cost + slack; }));
  return fit;
}

double r_squared(std::span<const double> predicted, std::span<const double> observed) {
  LOOPLM_CHECK(predicted.size() == observed.size());
  const double mean =
      std::accumulate(observed.begin(), observed.end(), 0.0) / static_cast<double>(observed.size());
  double residual = 0;
  double total = 0;
  for (size_t i = 0; i < observed.size(); ++i) {
    residual += (observed[i] - predicted[i]) * (observed[i] - predicted[i]);
    total += (observed[i] - mean) * (observed[i] - mean);
  }
  if (!(total > 0)) return std::numeric_limits<double>::quiet_NaN();
  return 1 - residual / total;
}

double r_squared(const ScalingLaw& law, std::span<const ScalingPoint> points) {
  std::vector<double> predicted;
  std::vector<double> observed;
  for (const ScalingPoint& p : points) {
    predicted.push_back(law.loss(p.parameters, p.tokens, p.loops));
    observed.push_back(p.loss);
  }
  return r_squared(predicted, observed);
}

}  // namespace looplm
