// How much the rule `auto` speculates, by what speculation has saved so far.
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

// Compares the cost of passes with what plain decoding would have cost to get as far. Uses the
// cheapest effort, and from time to time tries another one, less often each time that this changes
// nothing. Costs are means of many passes (LaneCosts), so a busy moment does not change the choice.
class EffortChoice {
 public:
  Effort now() const { return effort_; }
  // Call after each pass with its cost and that of plain decoding. Plain passes are not compared.
  void saw(double spent, double plain);
  // Cost of this effort over that of plain decoding; 1 if nothing is known.
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
