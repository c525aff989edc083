// How well two classes of points are apart (Rousseeuw, "Silhouettes", 1987).
#ifndef LOOPLM_EXPERIMENTS_CORE_SILHOUETTE_H_
#define LOOPLM_EXPERIMENTS_CORE_SILHOUETTE_H_

#include "experiments/core/labelled_states.h"

namespace looplm {

// Mean over all points of (b - a) / max(a, b): a the mean Euclidean distance to the other points of
// the same class, b to those of the other class. From -1 to 1: 1 where the classes are tight and
// far apart, 0 where they lie in one another. Two examples of each class at least.
Result<double> silhouette(const LabelledStates& data);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_CORE_SILHOUETTE_H_
