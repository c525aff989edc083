#include "eval/depth_scores.h"

#include <cmath>

#include "model/exit_distribution.h"

namespace looplm {

int64_t DepthScores::exit_loop(int64_t token, const ExitOptions& exit,
                               int64_t trained_loops) const {
  const int64_t last = exit.max_loops == 0 ? trained_loops : exit.max_loops;
  double log_survival = 0;  // of the gate: log prod (1 - lambda)
  for (int64_t t = 0; t + 1 < last; ++t) {
    const size_t cell = at(t, token);
    bool enough = false;
    switch (exit.kind) {
      case ExitKind::kFixed:
        break;
      case ExitKind::kGate:
        log_survival -= softplus(static_cast<double>(gate[cell]));
        // The exit probabilities up to here sum to 1 - survival, which may round to 1; a threshold
        // of 1 still means every loop.
        enough = exit.threshold < 1 && -std::expm1(log_survival) >= exit.threshold;
        break;
      case ExitKind::kHiddenDifference:
        enough = t > 0 && static_cast<double>(difference[cell]) < exit.threshold;
        break;
      case ExitKind::kRelativeDifference:
        enough = t > 0 && static_cast<double>(difference[cell]) <
                              exit.threshold * static_cast<double>(norm[cell]);
        break;
      case ExitKind::kMargin:
        enough = static_cast<double>(margin[cell]) >= exit.threshold;
        break;
      case ExitKind::kEntropy:
        enough = static_cast<double>(entropy[cell]) <= exit.threshold;
        break;
    }
    if (enough && t + 1 >= exit.min_loops) return t + 1;
  }
  return last;
}

int64_t DepthScores::exit_loop(int64_t token, double threshold, int64_t trained_loops) const {
  return exit_loop(token, {.kind = ExitKind::kGate, .threshold = threshold}, trained_loops);
}

}  // namespace looplm
