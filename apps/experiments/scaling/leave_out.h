// How well a scaling law fitted to a part of the runs predicts the others.
#ifndef LOOPLM_EXPERIMENTS_SCALING_LEAVE_OUT_H_
#define LOOPLM_EXPERIMENTS_SCALING_LEAVE_OUT_H_

#include <span>
#include <string>
#include <vector>

#include "looplm/status.h"

#include "experiments/scaling/scaling_law.h"

namespace looplm {

// A way to leave points out.
struct LeaveOut {
  std::string fitted_on;     // in words
  std::vector<bool> fitted;  // of each point
};

// Every choice of `keep` of the different numbers of parameters among the points.
std::vector<LeaveOut> leave_out_sizes(std::span<const ScalingPoint> points, int keep);
// Every choice of `keep` of the different numbers of loops.
std::vector<LeaveOut> leave_out_loops(std::span<const ScalingPoint> points, int keep);
// The points within this share (0 to 1) of the most tokens.
LeaveOut leave_out_late_tokens(std::span<const ScalingPoint> points, double share);

struct LeaveOutScore {
  std::string fitted_on;
  double r_squared_all = 0;       // of all points
  double r_squared_left_out = 0;  // of those that the fit had not seen
};

// A choice that leaves too little for a fit is an error that names it.
Result<LeaveOutScore> score_leave_out(std::span<const ScalingPoint> points, const LeaveOut& choice,
                                      const ScalingFitOptions& options);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_SCALING_LEAVE_OUT_H_
