// Scaling laws of looped models: the loss as a sum of powers of parameters, tokens and loops
// (arXiv:2510.25741, appendix D).
//
//   L = E + A / (N + t1)^alpha + B / (D + t2)^beta + C / (T + t3)^gamma
//
// The total-loss law takes T as the loops that a model was trained with and L as the objective's
// value; the step-wise law takes T as the loop after which the loss L was measured, and is fitted
// for each trained depth apart.
#ifndef LOOPLM_EXPERIMENTS_SCALING_SCALING_LAW_H_
#define LOOPLM_EXPERIMENTS_SCALING_SCALING_LAW_H_

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "looplm/status.h"

namespace looplm {

struct ScalingPoint {
  double parameters = 0;  // N
  double tokens = 0;      // D
  double loops = 0;       // T
  double loss = 0;        // L, nats
};

// scale / (x + shift)^exponent, all positive.
struct PowerTerm {
  double scale = 0;
  double shift = 0;
  double exponent = 0;

  double at(double x) const;
};

struct ScalingLaw {
  double floor = 0;  // E
  PowerTerm parameters;
  PowerTerm tokens;
  PowerTerm loops;

  double loss(double n, double d, double t) const;
};

inline constexpr int kScalingConstants = 10;

struct ScalingFitOptions {
  int starts = 40;  // random ones; the best end counts
  uint64_t seed = 1;
  // Residuals beyond it, in nats, count linearly (Huber); 0: plain least squares.
  double huber = 0;
  // Without it the law is one of parameters and tokens alone, to see what the loops' term is worth.
  bool loops_term = true;
};

struct ScalingFit {
  ScalingLaw law;
  // Constants that the bounds of the search held: E, then scale, shift and exponent of parameters,
  // tokens and loops. The data ask for a term of another form there, or for none.
  std::array<bool, kScalingConstants> at_bound{};
  double r_squared = 0;  // on the points of the fit
  double rms = 0;        // root of the mean squared residual, nats
  // Starts that ended within a thousandth of the best cost: few mean that the best was hard to
  // find.
  int agreeing_starts = 0;
};

// Least squares over the constants' logarithms, so that all stay positive, within wide bounds.
// Fails on fewer points than constants, on values that are not positive and finite, and where N, D
// or T does not vary (a T without a term may), since its term could not be told from E.
//
// What comes out predicts; single constants need not mean much, as a shift and an exponent trade
// against each other where the data span little more than a factor of ten.
Result<ScalingFit> fit_scaling_law(std::span<const ScalingPoint> points,
                                   const ScalingFitOptions& options);

// 1 - sum (observed - predicted)^2 / sum (observed - mean)^2; negative where the mean would predict
// better, NaN for fewer than two different observations. As many of each.
double r_squared(std::span<const double> predicted, std::span<const double> observed);
double r_squared(const ScalingLaw& law, std::span<const ScalingPoint> points);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_SCALING_SCALING_LAW_H_
