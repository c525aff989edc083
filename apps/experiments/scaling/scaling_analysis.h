// The laws fitted to the runs of the study of scaling, and how well they do.
#ifndef LOOPLM_EXPERIMENTS_SCALING_SCALING_ANALYSIS_H_
#define LOOPLM_EXPERIMENTS_SCALING_SCALING_ANALYSIS_H_

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "looplm/status.h"

#include "experiments/core/estimates.h"
#include "experiments/core/study.h"
#include "experiments/scaling/leave_out.h"
#include "experiments/scaling/run_curves.h"
#include "experiments/scaling/scaling_study.h"

namespace looplm {

struct ScalingRuns {
  std::vector<RunCurve> looped;  // by seed, size and loops, as the settings list them
  // Same size, seed and effective depth: the looped run and the plain one.
  struct Pair {
    RunCurve looped;
    RunCurve dense;
    int depth = 0;  // loops of the one, times the layers of the other

    // At the ends of the runs, above 0 where the plain one is better: points of accuracy, and nats.
    double accuracy_gap() const {
      return 100 * (dense.points.back().accuracy.back() - looped.points.back().accuracy.back());
    }
    double nll_gap() const {
      return looped.points.back().nll.back() - dense.points.back().nll.back();
    }
  };
  std::vector<Pair> pairs;
};

// Fails on a missing cell, by its name.
Result<ScalingRuns> read_runs(const ScalingSettings& settings, const CellResults& results);

// Scores of one way to leave out.
struct Generalisation {
  std::string what;
  std::vector<LeaveOutScore> scores;
  std::string paper;

  double mean_all() const { return mean(&LeaveOutScore::r_squared_all); }
  double mean_left_out() const { return mean(&LeaveOutScore::r_squared_left_out); }
  double mean(double LeaveOutScore::*field) const {
    double sum = 0;
    for (const LeaveOutScore& s : scores) sum += s.*field;
    return sum / static_cast<double>(scores.size());
  }
};

// Of the law of the total loss: by size, by tokens and by loops, in this order. A way that would
// leave nothing out is not there.
Result<std::vector<Generalisation>> leave_outs(const ScalingSettings& settings,
                                               std::span<const ScalingPoint> points);
// The same of the step-wise law of models trained with `loops`; of its loops, which are those after
// which the loss was measured, one is left out. Since points are dropped, a choice may leave fewer
// than a fit takes: it is passed over.
Result<std::vector<Generalisation>> leave_outs_stepwise(const ScalingSettings& settings, int loops,
                                                        std::span<const ScalingPoint> points);

// The step-wise law of one trained depth.
struct Stepwise {
  int loops = 0;
  StepwisePoints points;
  ScalingFit fit;
  ScalingFit without_loops;  // the same law without the loops' term
  std::vector<Generalisation> leave_outs;
  std::vector<double> end_nll;  // measured after each loop, mean over the runs' ends
  std::vector<double> exit_weights;
  double link = 0;  // R squared of linked losses
};

// Of every trained depth of at least two.
Result<std::vector<Stepwise>> fit_stepwise(const ScalingSettings& settings,
                                           const ScalingRuns& runs);

// Whether the loops' term explains anything: without it the residuals (rms) grow by a tenth or
// more.
bool loops_matter(const ScalingFit& with, const ScalingFit& without);

// Means over sizes and seeds of plain minus looped accuracy, in points, by depth.
struct DenseGap {
  int depth = 0;
  int wins = 0;  // pairs in which the plain model has the lower nll
  int pairs = 0;
  double accuracy = 0;
  double nll = 0;
  // Points of accuracy by which the gap grows when the looped model's parameters double: the slope
  // over all pairs. Of two sizes or more and three pairs.
  std::optional<Estimate> by_size;
};

std::vector<DenseGap> dense_gaps(const ScalingSettings& settings, const ScalingRuns& runs);

struct ScalingFindings {
  const ScalingRuns& runs;
  const ScalingFit& total;
  const ScalingFit& without_loops;  // the same law without the loops' term
  size_t points = 0;                // of the total-loss law
  const std::vector<Generalisation>& leave_outs;
  const std::vector<Stepwise>& stepwise;
};
// The paper's claims against the fits.
std::vector<Claim> scaling_claims(const ScalingSettings& settings, const ScalingFindings& findings);

// "0.3, 0.25" with a format of one number.
std::string numbers_text(const std::vector<double>& values, const char* format = "{:.3f}");

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_SCALING_SCALING_ANALYSIS_H_
