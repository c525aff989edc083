#include "train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace looplm {

double Schedule::at(int64_t step, int64_t steps) const {
  if (step < warmup_steps) {
    return peak * static_cast<double>(step) / static_cast<double>(warmup_steps);
  }
  const auto fraction = [&](int64_t first, int64_t last) {
    if (last <= first) return 1.0;
    return std::clamp(static_cast<double>(step - first) / static_cast<double>(last - first), 0.0,
                      1.0);
  };
  switch (kind) {
    case Kind::kConstant:
      return peak;
    case Kind::kCosine: {
      const double angle = std::numbers::pi * fraction(warmup_steps, steps);
      return final + (peak - final) * 0.5 * (1 + std::cos(angle));
    }
    case Kind::kWarmupStableDecay:
      return peak + (final - peak) * fraction(steps - decay_steps, steps);
  }
  return peak;
}

}  // namespace looplm
