// How well a trained model answers, by distance and number of loops.
#ifndef LOOPLM_EXPERIMENTS_REACHABILITY_PATH_SCORES_H_
#define LOOPLM_EXPERIMENTS_REACHABILITY_PATH_SCORES_H_

#include <vector>

#include "looplm/model.h"

#include "experiments/reachability/path_task.h"

namespace looplm {

// Share of right answers: row t after t + 1 loops, column d at distance d + 1. Each distance has
// `examples` documents of `options` with one query.
Result<std::vector<std::vector<double>>> score_distances(Model& model, const PathOptions& options,
                                                         int examples, int loops);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_REACHABILITY_PATH_SCORES_H_
