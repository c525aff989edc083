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
// Of what the line between its neighbours says: more is a worse time's.
constexpr double kMostAboveLine = 1.1;
// Of a pace's logarithm. Where passes of few lanes and of many come in long phases, the pace of
// each would drift away from the other's if all were believed.
constexpr double kBelieved = 0.9;
// Costs are given anew when passes take more than so many times as long, or as much less.
constexpr double kAnotherPace = 2;

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
  Bucket& b = buckets_[bucket_of(count)];
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

size_t CostCurve::bucket_of(int64_t count) {
  return static_cast<size_t>(std::ranges::lower_bound(kUpTo, count) - kUpTo.begin());
}

bool CostCurve::counts(const Bucket& b) const {
  return b.seen >= kFewest && clock_ - b.last <= kForgotten;
}

bool CostCurve::knows(int64_t count) const {
  const Bucket& b = buckets_[bucket_of(count)];
  return fixed_ || (counts(b) && b.seen >= kKept);
}

void CostCurve::scale(double factor) {
  if (fixed_) return;
  for (Bucket& b : buckets_) {
    for (float& cost : b.costs) cost *= static_cast<float>(factor);
    b.middle.cost *= factor;
  }
  for (Point& point : points_) point.cost *= factor;
}

void CostCurve::connect() {
  points_.clear();
  for (const Bucket& b : buckets_) {
    if (counts(b)) points_.push_back(b.middle);
  }
  // More never cost less: of two that say so, the one of more was seen at a better time.
  for (size_t i = points_.size(); i-- > 1;) {
    points_[i - 1].cost = std::min(points_[i - 1].cost, points_[i].cost);
  }
  // What lies far above the line between two others was seen at a worse time. A little above it is
  // true of many machines, whose kernels take rows in fours and eights.
  size_t kept = 0;
  for (const Point& p : points_) {
    for (; kept >= 2; --kept) {
      const Point &a = points_[kept - 2], &b = points_[kept - 1];
      const double step = (p.cost - a.cost) / (p.count - a.count);
      if (b.cost <= kMostAboveLine * (a.cost + step * (b.count - a.count))) break;
    }
    points_[kept++] = p;
  }
  points_.resize(kept);
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
    // The most that counts as fewer: another bucket's.
    const auto seen = static_cast<int64_t>(std::ceil(points_.front().count));
    const auto at = std::ranges::lower_bound(kUpTo, seen);
    return at == kUpTo.begin() ? 1 : *(at - 1);
  }
  int64_t least = 1;
  if (empty() || at(most) <= limit) return most;
  while (most - least > 1) {
    const int64_t middle = (least + most) / 2;
    (at(middle) <= limit ? least : most) = middle;
  }
  return least;
}

void LaneCosts::saw_pass(int64_t lanes, double seconds) {
  latest_[seen_++ % kLatest] = {lanes, seconds};
  find_pace();
  passes_.saw(lanes, seconds / pace_);
}

void LaneCosts::find_pace() {
  std::array<double, kLatest> ratios{};
  size_t known = 0;
  for (size_t i = 0; i < std::min(seen_, kLatest); ++i) {
    const Pass& p = latest_[i];
    if (!passes_.knows(p.lanes)) continue;
    ratios[known++] = p.seconds / passes_.at(p.lanes);
  }
  if (known < kLatest / 2) return;  // one or two are noise
  // The mean of the middle ones: the median would be that of whatever count of lanes is in the
  // majority, and others would never be compared with it.
  std::sort(ratios.begin(), ratios.begin() + static_cast<ptrdiff_t>(known));
  const size_t first = known / 4, end = known - known / 4;
  pace_ = 0;
  for (size_t i = first; i < end; ++i) pace_ += ratios[i] / static_cast<double>(end - first);
  if (pace_ < kAnotherPace && pace_ > 1 / kAnotherPace) {
    pace_ = std::pow(pace_, kBelieved);
    return;
  }
  passes_.scale(pace_);
  read_outs_.scale(pace_);
  pace_ = 1;
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
