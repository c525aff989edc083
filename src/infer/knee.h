// What a pass costs by its number of lanes.
#ifndef LOOPLM_INFER_KNEE_H_
#define LOOPLM_INFER_KNEE_H_

#include <vector>

#include "infer/pass.h"

namespace looplm {

class LaneCosts {
 public:
  struct Point {
    int64_t lanes = 0;
    double cost = 0;      // in passes of one lane, without reading out
    double read_out = 0;  // of reading all of them out
  };

  // Ascending; the first is {1, 1}.
  explicit LaneCosts(std::vector<Point> points);
  // Lanes up to `budget` cost nothing, and there are no more.
  explicit LaneCosts(int64_t budget) : knee_(budget) {}

  // The most lanes that cost at most 1.25 passes of one.
  int64_t knee() const { return knee_; }

  // A lane beside `lanes` others that is wrong is lost; one that is right has to run anyway, and
  // saves one of `sharers` requests a pass. How likely to be right it must be, to be worth it on
  // average; above 1 where it never is. The same where a pass is read out only for its sake.
  double least_chance(int64_t lanes, int64_t sharers) const { return least(lanes, sharers, false); }
  double least_chance_to_read(int64_t lanes, int64_t sharers) const {
    return least(lanes, sharers, true);
  }

 private:
  double least(int64_t lanes, int64_t sharers, bool reads) const;

  std::vector<Point> points_;  // empty: a budget
  int64_t knee_;
};

// Times passes with the model's own matrices, head included: as many layers as have 128 MiB, and up
// to 64 lanes. Takes about as long as reading these forty times.
LaneCosts measure_lane_costs(PassRunner& runner);

}  // namespace looplm

#endif  // LOOPLM_INFER_KNEE_H_
