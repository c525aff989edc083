// What a pass costs by its lanes, and reading out by its rows, learnt from the passes themselves.
#ifndef LOOPLM_INFER_LANE_COSTS_H_
#define LOOPLM_INFER_LANE_COSTS_H_

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

namespace looplm {

// What something costs by its count: the mean of what was seen lately at about that count, and
// straight lines between. What took more than twice the median is left out: on a busy machine some
// passes take many times their time.
class CostCurve {
 public:
  struct Point {
    double count = 0;
    double cost = 0;
  };

  CostCurve() = default;
  // Through these, ascending in count; nothing is learnt.
  explicit CostCurve(std::vector<Point> fixed) : fixed_(true), points_(std::move(fixed)) {}

  // `count` is at least 1.
  void saw(int64_t count, double cost);

  bool empty() const { return points_.empty(); }
  // 0 where nothing is known; what is beyond all that was seen goes on as the last line does. So
  // more is tried where it may be cheap, and then it is known.
  double at(int64_t count) const;
  // What one more than `count` adds, on average around there: kernels take rows by fours.
  double step(int64_t count) const;
  // The most that cost at most `ratio` times one; `most` where that is beyond it. While nothing but
  // one count comes, `most` too, but now and then half of that count, to have something to compare.
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

  void connect();
  // Of the line from one point to the next that `count` lies on; the last one's beyond.
  size_t line_of(double count) const;

  bool fixed_ = false;
  int64_t clock_ = 0;
  std::array<Bucket, kUpTo.size() + 1> buckets_{};
  std::vector<Point> points_;  // ascending in both
};

// Results never depend on these, lanes do.
class LaneCosts {
 public:
  LaneCosts() = default;
  // Nothing is learnt.
  LaneCosts(CostCurve passes, CostCurve read_outs)
      : passes_(std::move(passes)), read_outs_(std::move(read_outs)) {}
  // Lanes up to `budget` cost nothing, and there are no more.
  explicit LaneCosts(int64_t budget) : budget_(budget) {}

  void saw_pass(int64_t lanes, double seconds) { passes_.saw(lanes, seconds); }
  void saw_read_out(int64_t rows, double seconds) { read_outs_.saw(rows, seconds); }

  double of_pass(int64_t lanes) const { return lanes == 0 ? 0 : passes_.at(lanes); }
  double of_read_out(int64_t rows) const { return rows == 0 ? 0 : read_outs_.at(rows); }
  // The most lanes that cost at most 1.25 passes of one.
  int64_t knee() const;

  // A lane beside `lanes` others that is wrong is lost; one that is right has to run anyway, and
  // saves one of `sharers` requests a pass. How likely to be right it must be, to be worth it on
  // average; above 1 where it never is. The same where reading out `rows` rows and one more is part
  // of the price.
  double least_chance(int64_t lanes, int64_t sharers) const { return least(lanes, sharers, 0); }
  double least_chance_to_read(int64_t lanes, int64_t sharers, int64_t rows) const {
    return least(lanes, sharers, rows == 0 ? read_outs_.at(1) : read_outs_.step(rows));
  }

 private:
  double least(int64_t lanes, int64_t sharers, double read_out) const;

  std::optional<int64_t> budget_;
  CostCurve passes_;
  CostCurve read_outs_;
};

}  // namespace looplm

#endif  // LOOPLM_INFER_LANE_COSTS_H_
