// Objectives over pairs of answers to the same prompt, of which one was preferred.
#ifndef LOOPLM_TRAIN_PAIR_OBJECTIVE_H_
#define LOOPLM_TRAIN_PAIR_OBJECTIVE_H_

#include "train/objective.h"

namespace looplm {

// Log-probabilities of two answers under the last loop, nats, summed over their learnt tokens.
struct PairScores {
  double chosen = 0;
  double rejected = 0;
};

struct PairLoss {
  double loss = 0;
  double margin = 0;      // how much more the model now prefers the chosen answer; above 0 is right
  PairScores derivative;  // d loss / d each of the model's scores
};

// Direct preference optimisation (Rafailov et al., 2023, equation 7), as TRL's "sigmoid" loss:
// -log sigmoid(beta ((chosen - rejected) - (reference's chosen - rejected))).
class DpoObjective : public LastLoopObjective {
 public:
  explicit DpoObjective(double beta) : beta_(beta) {}
  std::string name() const override { return "dpo"; }
  bool trains_gate() const override { return false; }
  const DpoObjective* pairs() const override { return this; }
  PairLoss compare(const PairScores& model, const PairScores& reference) const;

 private:
  double beta_;
};

}  // namespace looplm

#endif  // LOOPLM_TRAIN_PAIR_OBJECTIVE_H_
