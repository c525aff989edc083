// The machine's arithmetic rate over a run, so that speed can be given as a share of it.
#ifndef LOOPLM_TRAIN_PEAK_TRACKER_H_
#define LOOPLM_TRAIN_PEAK_TRACKER_H_

#include <algorithm>

#include "base/timer.h"
#include "kernels/peaks.h"

namespace looplm {

// Others may use the machine while a sample is taken, so samples are taken again during the run and
// the best of them counts, with the run's own best step: a share is never above 1.
class PeakTracker {
 public:
  PeakTracker(Device& device, DType dtype)
      : meter_(device, size_t{1} << 20), dtype_(dtype), best_(meter_.measure_dots(dtype, 0.2)) {}

  double flops() const { return best_; }
  // The share of the best rate seen that `flops` operations in `seconds` are.
  double share(double flops, double seconds) {
    constexpr double kSecondsBetween = 30, kSampleSeconds = 0.05;
    if (since_sample_.seconds() > kSecondsBetween) {
      best_ = std::max(best_, meter_.measure_dots(dtype_, kSampleSeconds));
      since_sample_ = Timer();
    }
    const double rate = flops / seconds;
    best_ = std::max(best_, rate);
    return rate / best_;
  }

 private:
  PeakMeter meter_;
  DType dtype_;
  double best_;
  Timer since_sample_;
};

}  // namespace looplm

#endif  // LOOPLM_TRAIN_PEAK_TRACKER_H_
