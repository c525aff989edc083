#include "experiments/reachability/construction.h"

#include <bit>
#include <cmath>

namespace looplm {
namespace {

using Eigen::Index;
using Eigen::MatrixXd;

// Of each column, with its maximum taken off first. Not Eigen's exp(), which never gets below
// 1e-308, and 1{x > 0} sees that.
void softmax_columns(MatrixXd& x) {
  for (Index j = 0; j < x.cols(); ++j) {
    const double most = x.col(j).maxCoeff();
    x.col(j) = x.col(j).unaryExpr([most](double score) { return std::exp(score - most); });
    x.col(j) /= x.col(j).sum();
  }
}

// Over the pairs of two nodes.
double share_right(const std::vector<uint8_t>& a, const std::vector<uint8_t>& b, int nodes) {
  const auto n = static_cast<size_t>(nodes);
  size_t equal = 0;
  for (size_t i = 0; i < a.size(); ++i) equal += i / n != i % n && a[i] == b[i];
  return static_cast<double>(equal) / static_cast<double>(n * (n - 1));
}

}  // namespace

Construction::Construction(const SplitGraph& graph, const ConstructionOptions& options)
    : n_(graph.nodes), options_(options) {
  const MatrixXd zero = MatrixXd::Zero(2 * n_, 2 * n_);
  const MatrixXd identity = MatrixXd::Identity(n_, n_);
  k_ = q_ = v_ = w1_ = zero;
  k_.topLeftCorner(n_, n_) = options.beta * identity;
  if (options.query == QueryMatrix::kPrinted) {
    q_.bottomRightCorner(n_, n_) = identity;
  } else {
    q_.topRightCorner(n_, n_) = identity;
  }
  v_.bottomRightCorner(n_, n_) = identity;
  w2_ = MatrixXd::Identity(2 * n_, 2 * n_);
  for (const Edge& e : graph.edges) {
    if (e.hidden) w1_(n_ + e.to, e.from) = 1;
  }
}

MatrixXd Construction::embed(const SplitGraph& graph) const {
  MatrixXd h = MatrixXd::Zero(2 * n_, n_);
  h.topRows(n_).setIdentity();
  if (options_.self_loops == SelfLoops::kAdded) h.bottomRows(n_).setIdentity();
  for (const Edge& e : graph.edges) {
    if (!e.hidden) h(n_ + e.to, e.from) = 1;
  }
  return h;
}

MatrixXd Construction::norm(const MatrixXd& x) const {
  return (x.array() > options_.threshold).cast<double>();
}

MatrixXd Construction::loop(const MatrixXd& h) const {
  MatrixXd attention = (k_ * h).transpose() * (q_ * h);  // (key, query)
  softmax_columns(attention);
  const MatrixXd middle = norm(h + v_ * h * attention);
  return norm(middle + w2_ * (w1_ * middle).cwiseMax(0.0));
}

std::vector<uint8_t> answers(const MatrixXd& h) {
  const Index n = h.cols();
  std::vector<uint8_t> all;
  all.reserve(static_cast<size_t>(n * n));
  for (Index s = 0; s < n; ++s) {
    for (Index t = 0; t < n; ++t) all.push_back(h(n + t, s) > 0.5 ? 1 : 0);
  }
  return all;
}

std::vector<uint8_t> answers(const std::vector<int>& distances) {
  std::vector<uint8_t> all;
  all.reserve(distances.size());
  for (int d : distances) all.push_back(d >= 0 ? 1 : 0);
  return all;
}

int loops_bound(int diameter) {
  return diameter <= 1 ? 1
                       : 1 + static_cast<int>(std::bit_width(static_cast<unsigned>(diameter - 1)));
}

ConstructionRun run_construction(const SplitGraph& graph, const ConstructionOptions& options) {
  const std::vector<int> search = distances(graph);
  const std::vector<uint8_t> expected = answers(search);
  ConstructionRun run;
  run.diameter = diameter(search);
  run.bound = loops_bound(run.diameter);
  const Construction construction(graph, options);
  MatrixXd h = construction.embed(graph);
  for (int loops = 0;; ++loops) {
    const double right = share_right(answers(h), expected, graph.nodes);
    if (right < 1) run.loops_right = -1;
    if (right == 1 && run.loops_right < 0) run.loops_right = loops;
    if (loops == run.bound - 1) run.pairs_right_fewer = right;
    run.pairs_right = right;
    if (loops == run.bound) return run;
    h = construction.loop(h);
  }
}

}  // namespace looplm
