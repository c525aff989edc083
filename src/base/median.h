// The median of measurements.
#ifndef LOOPLM_BASE_MEDIAN_H_
#define LOOPLM_BASE_MEDIAN_H_

#include <algorithm>
#include <vector>

namespace looplm {

// The upper one of an even number; 0 of none.
inline double median_of(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace looplm

#endif  // LOOPLM_BASE_MEDIAN_H_
