// The learning rate over a run.
#ifndef LOOPLM_TRAIN_SCHEDULE_H_
#define LOOPLM_TRAIN_SCHEDULE_H_

#include <cstdint>
#include <string>

#include "looplm/status.h"

namespace looplm {

struct Schedule {
  enum class Kind {
    kConstant,           // the peak, after warm-up
    kCosine,             // from the peak to `final` over the rest of the run
    kWarmupStableDecay,  // the peak, then a straight line to `final` over the last `decay_steps`
  };
  Kind kind = Kind::kConstant;
  double peak = 3e-4;  // positive
  double final = 0;    // 0 .. peak
  int64_t warmup_steps =
      0;  // a straight line from 0; the first step already has peak / warmup_steps
  int64_t decay_steps = 0;
  int64_t total_steps = 1;

  // step counts from 1 to total_steps.
  double at(int64_t step) const;
};

Result<Schedule::Kind> schedule_kind(const std::string& name);

}  // namespace looplm

#endif  // LOOPLM_TRAIN_SCHEDULE_H_
