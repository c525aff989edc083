// The learning rate over a run.
#ifndef LOOPLM_TRAIN_SCHEDULE_H_
#define LOOPLM_TRAIN_SCHEDULE_H_

#include <cstdint>

#include "base/named.h"

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
  // A straight line from 0; the first step already has peak / warmup_steps.
  int64_t warmup_steps = 0;
  int64_t decay_steps = 0;

  // `step` counts from 1 to `steps`, those of the run.
  double at(int64_t step, int64_t steps) const;
  // Whether rates depend on where the run ends.
  bool looks_ahead() const { return kind != Kind::kConstant; }
  bool operator==(const Schedule&) const = default;
};

inline constexpr NameTable<Schedule::Kind, 3> kScheduleNames = {
    {{Schedule::Kind::kConstant, "constant"},
     {Schedule::Kind::kCosine, "cosine"},
     {Schedule::Kind::kWarmupStableDecay, "wsd"}}};

}  // namespace looplm

#endif  // LOOPLM_TRAIN_SCHEDULE_H_
