// The cost of a pass by its lanes, and of a read-out by its rows, learnt from the passes
// themselves.
#ifndef LOOPLM_INFER_LANE_COSTS_H_
#define LOOPLM_INFER_LANE_COSTS_H_

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

namespace looplm {

// Cost as a function of a count: recent means near some counts, joined by straight lines. Costs
// above twice the median are left out, because on a busy machine some passes take many times as
// long.
class CostCurve {
 public:
  struct Point {
    double count = 0;
    double cost = 0;
  };

  CostCurve() = default;
  // A fixed curve through these points, ascending in count; it learns nothing.
  explicit CostCurve(std::vector<Point> fixed) : fixed_(true), points_(std::move(fixed)) {}

  // `count` is at least 1.
  void saw(int64_t count, double cost);

  bool empty() const { return points_.empty(); }
  // 0 if nothing is known. Beyond the largest count seen, the last line goes on: so larger counts
  // are tried where they may be cheap, and their cost is learnt.
  double at(int64_t count) const;
  // What one more than `count` adds, averaged around it: kernels take rows in fours.
  double step(int64_t count) const;
  // Whether such counts have been seen so often, and lately, that others can be compared with them.
  bool knows(int64_t count) const;
  // What was seen took `factor` times as long.
  void scale(double factor);
  // The largest count up to `most` that costs at most `ratio` times a count of one. While only one
  // count has been seen: `most`, but now and then a count below it, to have something to compare.
  int64_t within(double ratio, int64_t most) const;

 private:
  static constexpr std::array<int64_t, 11> kUpTo = {1, 4, 8, 12, 16, 24, 32, 64, 128, 256, 512};
  static constexpr size_t kKept = 15;

  struct Bucket {
    std::array<float, kKept> counts;
    std::array<float, kKept> costs;
    size_t seen = 0;
    int64_t last = 0;
    Point middle;
  };

  static size_t bucket_of(int64_t count);
  bool counts(const Bucket& bucket) const;
  void connect();
  // The number of the line between two points that `count` lies on; beyond them, the last line's.
  size_t line_of(double count) const;

  bool fixed_ = false;
  int64_t clock_ = 0;
  std::array<Bucket, kUpTo.size() + 1> buckets_{};
  std::vector<Point> points_;  // ascending in both
};

// They decide which lanes run, never what comes out. A shared machine's speed wanders further
// within seconds than passes of a few lanes differ. So each pass is held against the latest ones,
// of whatever lanes, and costs are what passes would take at one pace. Counts that never come
// within nine passes of each other are compared only where their phases meet: on a steady machine
// with 3% noise their ratio is then right to some 4%, and another one is learnt slowly, over many
// phases.
class LaneCosts {
 public:
  LaneCosts() = default;
  // Fixed costs; learns nothing.
  LaneCosts(CostCurve passes, CostCurve read_outs)
      : passes_(std::move(passes)), read_outs_(std::move(read_outs)) {}
  // Lanes up to `budget` cost nothing; no more are taken.
  explicit LaneCosts(int64_t budget) : budget_(budget) {}

  void saw_pass(int64_t lanes, double seconds);
  void saw_read_out(int64_t rows, double seconds) { read_outs_.saw(rows, seconds / pace_); }

  double of_pass(int64_t lanes) const { return lanes == 0 ? 0 : passes_.at(lanes); }
  double of_read_out(int64_t rows) const { return rows == 0 ? 0 : read_outs_.at(rows); }
  // The largest number of lanes whose pass costs at most 1.25 passes of one lane.
  int64_t knee() const;

  // How likely a lane beside `lanes` others must be right to pay off on average; above 1 if it
  // never does. A wrong lane is wasted; a right one has to run anyway, and saves a pass for one of
  // `sharers` requests. least_chance_to_read() adds the cost of reading out one row beside `rows`
  // others.
  double least_chance(int64_t lanes, int64_t sharers) const { return least(lanes, sharers, 0); }
  double least_chance_to_read(int64_t lanes, int64_t sharers, int64_t rows) const {
    return least(lanes, sharers, rows == 0 ? read_outs_.at(1) : read_outs_.step(rows));
  }

 private:
  static constexpr size_t kLatest = 9;

  struct Pass {
    int64_t lanes = 0;
    double seconds = 0;
  };

  double least(int64_t lanes, int64_t sharers, double read_out) const;
  void find_pace();

  std::optional<int64_t> budget_;
  std::array<Pass, kLatest> latest_{};
  size_t seen_ = 0;
  double pace_ = 1;  // how long passes take now over what their cost is
  CostCurve passes_;
  CostCurve read_outs_;
};

}  // namespace looplm

#endif  // LOOPLM_INFER_LANE_COSTS_H_
