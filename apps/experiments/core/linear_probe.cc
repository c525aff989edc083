#include "experiments/core/linear_probe.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

#include <Eigen/Dense>
#include <fmt/format.h>

#include "base/check.h"
#include "base/rng.h"
#include "base/shuffle.h"

namespace looplm {
namespace {

using Eigen::Index;
using Eigen::MatrixXd;
using Eigen::VectorXd;

constexpr int kNewtonSteps = 200;

struct Standardised {
  MatrixXd z;  // (rows, width)
  VectorXd mean, deviation;
  VectorXd signs;  // (rows): -1 or +1
};

Standardised standardise(const LabelledStates& data, std::span<const size_t> rows) {
  const auto n = static_cast<Index>(rows.size());
  const auto width = static_cast<Index>(data.width);
  Standardised s;
  s.z.resize(n, width);
  s.signs.resize(n);
  for (Index i = 0; i < n; ++i) {
    const size_t row = rows[static_cast<size_t>(i)];
    s.z.row(i) =
        Eigen::Map<const Eigen::VectorXf>(data.state(row).data(), width).cast<double>().transpose();
    s.signs[i] = data.labels[row] == 1 ? 1 : -1;
  }
  s.mean = s.z.colwise().mean();
  s.z.rowwise() -= s.mean.transpose();
  s.deviation = (s.z.colwise().squaredNorm() / static_cast<double>(n)).cwiseSqrt();
  for (Index j = 0; j < width; ++j) {
    // An element that does not vary says nothing; rounding of the mean must not make it vary.
    if (s.deviation[j] <= 1e-12 * std::abs(s.mean[j])) s.deviation[j] = 0;
    s.z.col(j) *= s.deviation[j] > 0 ? 1 / s.deviation[j] : 0;
  }
  return s;
}

// log(1 + exp(x)) without overflow.
double softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }

double loss(const VectorXd& margins, const VectorXd& signs, const VectorXd& w, double penalty) {
  double sum = 0.5 * penalty * w.squaredNorm();
  for (Index i = 0; i < margins.size(); ++i) sum += softplus(-signs[i] * margins[i]);
  return sum;
}

// Minimises the loss over (w, b) for rows x; the last element returned is b.
VectorXd newton(const MatrixXd& x, const VectorXd& signs, double penalty) {
  const Index n = x.rows();
  const Index width = x.cols();
  VectorXd at = VectorXd::Zero(width + 1);
  VectorXd margins = VectorXd::Zero(n);
  double here = loss(margins, signs, at.head(width), penalty);
  for (int step = 0; step < kNewtonSteps; ++step) {
    // With p the probability of the label: the gradient is -s (1 - p), the curvature p (1 - p).
    VectorXd slope(n), curvature(n);
    for (Index i = 0; i < n; ++i) {
      const double p = 1 / (1 + std::exp(-signs[i] * margins[i]));
      slope[i] = -signs[i] * (1 - p);
      curvature[i] = p * (1 - p);
    }
    VectorXd gradient(width + 1);
    gradient.head(width) = x.transpose() * slope + penalty * at.head(width);
    gradient[width] = slope.sum();
    if (gradient.norm() <= 1e-9 * static_cast<double>(n)) break;
    MatrixXd hessian(width + 1, width + 1);
    const MatrixXd weighted = curvature.asDiagonal() * x;
    hessian.topLeftCorner(width, width).noalias() = x.transpose() * weighted;
    hessian.topLeftCorner(width, width).diagonal().array() += penalty;
    hessian.col(width).head(width) = weighted.colwise().sum().transpose();
    hessian.row(width) = hessian.col(width).transpose();
    // The floor keeps the bias solvable where every example is certain.
    hessian(width, width) = curvature.sum() + 1e-12;
    const VectorXd direction = hessian.ldlt().solve(-gradient);
    double length = 1;
    VectorXd next, next_margins;
    double there = 0;
    do {
      next = at + length * direction;
      next_margins = x * next.head(width) + VectorXd::Constant(n, next[width]);
      there = loss(next_margins, signs, next.head(width), penalty);
      length /= 2;
    } while (!(there <= here) && length > 1e-10);
    if (!(there < here)) break;  // as low as doubles tell
    at = next;
    margins = next_margins;
    here = there;
  }
  return at;
}

Status check_rows(const LabelledStates& data, std::span<const size_t> rows) {
  for (size_t row : rows) {
    if (row >= data.examples()) {
      return invalid_argument(
          fmt::format("example {} asked for; there are {}", row, data.examples()));
    }
  }
  return {};
}

ProbeQuality quality_of(const std::vector<uint8_t>& labels, std::vector<double> scores) {
  ProbeQuality q;
  q.scores = std::move(scores);
  double right = 0;
  for (size_t i = 0; i < labels.size(); ++i) {
    q.right.push_back((q.scores[i] > 0) == (labels[i] == 1) ? 1 : 0);
    right += q.right.back();
  }
  q.accuracy = right / static_cast<double>(labels.size());
  q.auc = roc_auc(q.scores, labels);
  return q;
}

}  // namespace

Result<LinearProbe> LinearProbe::fit(const LabelledStates& data, std::span<const size_t> rows,
                                     const ProbeOptions& options) {
  if (!(options.penalty > 0) || !std::isfinite(options.penalty)) {
    return invalid_argument(
        fmt::format("a probe's penalty is {}; expected a positive number", options.penalty));
  }
  LOOPLM_RETURN_IF_ERROR(check(data, 1));
  LOOPLM_RETURN_IF_ERROR(check_rows(data, rows));
  size_t ones = 0;
  for (size_t row : rows) ones += data.labels[row];
  if (ones == 0 || ones == rows.size()) {
    return invalid_argument(
        fmt::format("a probe's {} training examples hold {} of class 1; expected both classes",
                    rows.size(), ones));
  }
  const Standardised s = standardise(data, rows);
  const auto width = static_cast<Index>(data.width);
  const auto n = static_cast<Index>(rows.size());
  VectorXd w;
  double b = 0;
  if (n < width) {
    // The penalty keeps w in the span of the examples: w = Q u with Z^T = Q R.
    const Eigen::HouseholderQR<MatrixXd> qr(s.z.transpose());
    const MatrixXd r = qr.matrixQR().topRows(n).triangularView<Eigen::Upper>();
    const VectorXd found = newton(r.transpose(), s.signs, options.penalty);
    VectorXd padded = VectorXd::Zero(width);
    padded.head(n) = found.head(n);
    w = qr.householderQ() * padded;
    b = found[n];
  } else {
    const VectorXd found = newton(s.z, s.signs, options.penalty);
    w = found.head(width);
    b = found[width];
  }
  LinearProbe probe;
  for (Index j = 0; j < width; ++j) {
    const double raw = s.deviation[j] > 0 ? w[j] / s.deviation[j] : 0;
    probe.weights_.push_back(raw);
    b -= raw * s.mean[j];
  }
  probe.bias_ = b;
  return probe;
}

double LinearProbe::score(std::span<const float> state) const {
  LOOPLM_CHECK(state.size() == weights_.size(), "a state of {} for a probe of {}", state.size(),
               weights_.size());
  double sum = bias_;
  for (size_t j = 0; j < state.size(); ++j) sum += weights_[j] * static_cast<double>(state[j]);
  return sum;
}

double roc_auc(std::span<const double> scores, std::span<const uint8_t> labels) {
  LOOPLM_CHECK(scores.size() == labels.size());
  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return scores[a] < scores[b]; });
  double ranks_of_ones = 0, ones = 0;
  for (size_t i = 0; i < order.size();) {
    size_t end = i;
    while (end < order.size() && scores[order[end]] == scores[order[i]]) ++end;
    const double rank = 0.5 * static_cast<double>(i + 1 + end);  // mean rank of ties, from 1
    for (; i < end; ++i) {
      ranks_of_ones += labels[order[i]] == 1 ? rank : 0;
      ones += labels[order[i]] == 1 ? 1 : 0;
    }
  }
  const double zeros = static_cast<double>(scores.size()) - ones;
  if (ones == 0 || zeros == 0) return std::numeric_limits<double>::quiet_NaN();
  return (ranks_of_ones - ones * (ones + 1) / 2) / (ones * zeros);
}

Result<ProbeQuality> cross_validate_probe(const LabelledStates& data, const CrossValidation& how,
                                          const ProbeOptions& options) {
  if (how.folds < 2) {
    return invalid_argument(
        fmt::format("cross-validation with {} folds; expected 2 or more", how.folds));
  }
  LOOPLM_RETURN_IF_ERROR(check(data, how.folds));
  // Each class is shuffled and dealt out in turn.
  std::vector<size_t> fold(data.examples());
  for (uint8_t label : std::array<uint8_t, 2>{0, 1}) {
    std::vector<size_t> members;
    for (size_t i = 0; i < data.examples(); ++i) {
      if (data.labels[i] == label) members.push_back(i);
    }
    Rng rng(how.seed, label);
    shuffle(members, rng);
    for (size_t i = 0; i < members.size(); ++i) {
      // The second class is dealt from the other end, so that folds are of even size.
      fold[members[i]] = label == 0 ? i % how.folds : how.folds - 1 - i % how.folds;
    }
  }
  std::vector<double> scores(data.examples());
  for (size_t held = 0; held < how.folds; ++held) {
    std::vector<size_t> train;
    for (size_t i = 0; i < fold.size(); ++i) {
      if (fold[i] != held) train.push_back(i);
    }
    LOOPLM_ASSIGN_OR_RETURN(const LinearProbe probe, LinearProbe::fit(data, train, options));
    for (size_t i = 0; i < fold.size(); ++i) {
      if (fold[i] == held) scores[i] = probe.score(data.state(i));
    }
  }
  return quality_of(data.labels, std::move(scores));
}

}  // namespace looplm
