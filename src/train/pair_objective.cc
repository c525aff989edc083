#include "train/pair_objective.h"

#include "model/exit_distribution.h"

namespace looplm {

PairLoss DpoObjective::compare(const PairScores& model, const PairScores& reference) const {
  const double margin =
      beta_ * ((model.chosen - model.rejected) - (reference.chosen - reference.rejected));
  const double slope = -beta_ * sigmoid(-margin);
  return {-log_sigmoid(margin), margin, {slope, -slope}};
}

}  // namespace looplm
