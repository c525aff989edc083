// How much speculation does where its rule is `auto`, by what it has brought.
#ifndef LOOPLM_INFER_EFFORT_H_
#define LOOPLM_INFER_EFFORT_H_

#include <array>
#include <cstdint>

namespace looplm {

enum class Effort {
  kPlain,         // none
  kGuesses,       // positions start on what early loops and the text suggest
  kAlternatives,  // others beside them too
};

// Compares what passes cost with what plain decoding would have cost to come as far. Keeps to the
// effort that is cheapest, and now and then tries another, more rarely each time that this changes
// nothing. Costs are those of many passes (LaneCosts), so that a busy moment does not change it.
class EffortChoice {
 public:
  Effort now() const { return effort_; }
  // After each pass. Of plain ones nothing is compared: they cost what they would.
  void saw(double spent, double plain);
  // The same, in the same unit of cost; 1 where nothing is known.
  double ratio(Effort effort) const;

 private:
  static constexpr int64_t kFirst = 8;       // plain passes, which the others are compared with
  static constexpr int64_t kTrial = 48;      // passes
  static constexpr int64_t kShortest = 192;  // passes between trials
  static constexpr int64_t kLongest = 3072;

  struct Sum {
    double spent = 0;
    double plain = 0;
  };

  Effort cheapest() const;
  void settle();
  void try_another();

  Effort effort_ = Effort::kPlain;
  Effort home_ = Effort::kPlain;
  Effort next_ = Effort::kAlternatives;  // to be tried
  int64_t left_ = kFirst;
  int64_t pause_ = kShortest;
  std::array<Sum, 3> sums_{};
};

}  // namespace looplm

#endif  // LOOPLM_INFER_EFFORT_H_
