// Principal components of a set of vectors.
#ifndef LOOPLM_EXPERIMENTS_CORE_PCA_H_
#define LOOPLM_EXPERIMENTS_CORE_PCA_H_

#include <cstddef>
#include <span>
#include <vector>

#include "looplm/status.h"

namespace looplm {

struct Pca {
  size_t components = 0;
  std::vector<double> mean;        // (width)
  std::vector<double> directions;  // (components, width): unit vectors, most variance first, each
                                   // with its largest element positive; zeros where nothing varies
  std::vector<double> share;       // (components): of the total variance; 0 where nothing varies
  std::vector<double> projected;   // (vectors, components): of the vectors it was made of
};

// `vectors` (n, width), n from 2, finite; components from 1 to the smaller of n and width.
Result<Pca> principal_components(std::span<const float> vectors, size_t width, size_t components);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_CORE_PCA_H_
