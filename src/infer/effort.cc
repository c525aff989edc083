#include "infer/effort.h"

#include <algorithm>

namespace looplm {
namespace {

// Each pass counts this much less with every later one.
constexpr double kPassFade = 1 - 1.0 / 256;
// What earlier trials said, in one of kTrial passes.
constexpr double kOfEarlierTrials = 1.0 / 16;
// Less is noise, and what a request that speculates has to make once is not in it.
constexpr double kLeastGain = 0.05;

}  // namespace

double EffortChoice::ratio(Effort effort) const {
  const Sum& sum = sums_[static_cast<size_t>(effort)];
  return sum.plain > 0 ? sum.spent / sum.plain : 1;
}

Effort EffortChoice::cheapest() const {
  Effort best = Effort::kPlain;
  double least = 1 - kLeastGain;
  for (const Effort effort : {Effort::kGuesses, Effort::kAlternatives}) {
    if (ratio(effort) < least) {
      least = ratio(effort);
      best = effort;
    }
  }
  return best;
}

void EffortChoice::saw(double spent, double plain) {
  if (effort_ != Effort::kPlain) {
    Sum& sum = sums_[static_cast<size_t>(effort_)];
    sum.spent = sum.spent * kPassFade + spent;
    sum.plain = sum.plain * kPassFade + plain;
  }
  const bool loses = effort_ == home_ && left_ < pause_ - kTrial && ratio(effort_) > 1;
  if (--left_ > 0 && !loses) return;
  if (effort_ != home_ || cheapest() != home_) {
    settle();
  } else {
    try_another();
  }
}

void EffortChoice::settle() {
  const Effort best = cheapest();
  pause_ = best == home_ ? std::min(2 * pause_, kLongest) : kShortest;
  effort_ = home_ = best;
  left_ = pause_;
}

void EffortChoice::try_another() {
  if (next_ == home_) next_ = next_ == Effort::kGuesses ? Effort::kAlternatives : Effort::kGuesses;
  effort_ = next_;
  next_ = next_ == Effort::kGuesses ? Effort::kAlternatives : Effort::kGuesses;
  left_ = kTrial;
  Sum& sum = sums_[static_cast<size_t>(effort_)];
  sum.spent *= kOfEarlierTrials;
  sum.plain *= kOfEarlierTrials;
}

}  // namespace looplm
