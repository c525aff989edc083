#include "infer/lane_costs.h"

#include <algorithm>
#include <cmath>

namespace looplm {
namespace {

// More than are ever worth it.
constexpr int64_t kMostLanes = 1024;
constexpr double kMostRatio = 1.25;
// What was seen longer ago than so many others is forgotten: the machine may have become another.
constexpr int64_t kForgotten = 512;
// One alone may be any.
constexpr size_t kFewest = 3;
// Where one count of lanes is all that comes, fewer are tried in kFewest passes of so many.
constexpr int64_t kTryFewer = 32;
// A full bucket's median is taken again after so many: it takes 0.1 us.
constexpr size_t kAtATime = 4;

template <size_t kCount>
double median_of_first(std::array<float, kCount> values, size_t count) {
  const auto middle = values.begin() + static_cast<ptrdiff_t>(count / 2);
  std::nth_element(values.begin(), middle, values.begin() + static_cast<ptrdiff_t>(count));
  return static_cast<double>(*middle);
}

// The mean of those up to twice the median: what only some passes have to do is in it, and what
// took the processor away from one is not.
template <size_t kCount>
double usual_mean(const std::array<float, kCount>& values, size_t count) {
  const double most = 2 * median_of_first(values, count);
  double sum = 0, usual = 0;
  for (size_t i = 0; i < count; ++i) {
    const auto value = static_cast<double>(values[i]);
    if (value > most) continue;
    sum += value;
    usual += 1;
  }
  return sum / usual;
}

}  // namespace

void CostCurve::saw(int64_t count, double cost) {
  if (fixed_) return;
  const auto at = std::ranges::lower_bound(kUpTo, count);
  Bucket& b = buckets_[static_cast<size_t>(at - kUpTo.begin())];
  ++clock_;
  if (clock_ - b.last > kForgotten) b.seen = 0;
  b.last = clock_;
  b.counts[b.seen % kKept] = static_cast<float>(count);
  b.costs[b.seen % kKept] = static_cast<float>(cost);
  ++b.seen;
  if (b.seen > kKept && b.seen % kAtATime != 0) return;
  const size_t kept = std::min(b.seen, kKept);
  b.middle = {median_of_first(b.counts, kept), usual_mean(b.costs, kept)};
  connect();
}

void CostCurve::connect() {
  points_.clear();
  for (const Bucket& b : buckets_) {
    if (b.seen >= kFewest && clock_ - b.last <= kForgotten) points_.push_back(b.middle);
  }
  // More never cost less: of two that say so, the one of more was seen at a better time.
  for (size_t i = points_.size(); i-- > 1;) {
    points_[i - 1].cost = std::min(points_[i - 1].cost, points_[i].cost);
  }
}

size_t CostCurve::line_of(double count) const {
  size_t i = 0;
  while (i + 2 < points_.size() && points_[i + 1].count <= count) ++i;
  return i;
}

double CostCurve::step(int64_t count) const {
  if (points_.size() < 2) return 0;
  const size_t i = line_of(static_cast<double>(count));
  const Point &a = points_[i], &b = points_[i + 1];
  return (b.cost - a.cost) / (b.count - a.count);
}

double CostCurve::at(int64_t count) const {
  if (points_.empty()) return 0;
  const auto x = static_cast<double>(count);
  if (points_.size() < 2) return points_.front().cost;
  const Point& a = points_[line_of(x)];
  const double cost = a.cost + (x - a.count) * step(count);
  return x < a.count ? std::max(cost, a.cost * x / a.count) : cost;
}

int64_t CostCurve::within(double ratio, int64_t most) const {
  const double limit = ratio * at(1);
  const bool alone = !fixed_ && points_.size() == 1;
  if (alone && clock_ % kTryFewer < static_cast<int64_t>(kFewest)) {
    return std::max<int64_t>(1, static_cast<int64_t>(points_.front().count) / 2);
  }
  int64_t least = 1;
  if (empty() || at(most) <= limit) return most;
  while (most - least > 1) {
    const int64_t middle = (least + most) / 2;
    (at(middle) <= limit ? least : most) = middle;
  }
  return least;
}

int64_t LaneCosts::knee() const {
  return budget_ ? *budget_ : passes_.within(kMostRatio, kMostLanes);
}

double LaneCosts::least(int64_t lanes, int64_t sharers, double read_out) const {
  if (budget_) return lanes < *budget_ ? 0 : 2;
  if (passes_.empty()) return 0;
  // The line around the new lane: what it costs, and what the pass costs without any.
  const double step = passes_.step(lanes);
  const double rest = (passes_.at(lanes) - step * static_cast<double>(lanes)) /
                      static_cast<double>(std::max<int64_t>(1, sharers));
  return rest > 0 ? (step + read_out) / (step + rest) : 2;
}

}  // namespace looplm
