// Training objectives as functions of a few scalars per token.
//
// An objective sees, for one token and its T loops, nll[t] = -log p_t(target) and the gate logit
// z[t] (before the sigmoid), and returns the token's loss with its derivatives. Everything else
// (head, gate, trunk, optimiser) is the same for all objectives. Formulas are in double; p, lambda
// and S are the exit distribution of model/exit_distribution.h.
#ifndef LOOPLM_TRAIN_OBJECTIVE_H_
#define LOOPLM_TRAIN_OBJECTIVE_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/named.h"

namespace looplm {

struct TokenLoss {
  std::span<const float> nll;         // (T), nats; entries below first_loop() are not filled in
  std::span<const float> gate_logit;  // (T); zeros for a model without a gate
  std::span<float> dnll;              // (T), out: d loss / d nll
  std::span<float> dgate;             // (T), out: d loss / d gate_logit
  // Of an objective with a teacher: KL(teacher || loop t's distribution), nats, and its derivative.
  std::span<const float> divergence{};
  std::span<float> ddivergence{};
};

// Whose distribution an objective teaches.
enum class Teacher {
  kNone,
  kLastLoop,  // of the model itself: a constant to the loops before
  kFile,      // of another model, as far as a file beside the data says it (train/teacher_file.h)
};
inline constexpr NameTable<Teacher, 2> kTeacherNames = {
    {{Teacher::kLastLoop, "last_loop"}, {Teacher::kFile, "file"}}};

class DpoObjective;

class Objective {
 public:
  virtual ~Objective() = default;
  virtual std::string name() const = 0;
  // The token's loss; fills both derivatives.
  virtual double evaluate(const TokenLoss& token) const = 0;
  // False when only the gate learns: then dnll is zero and the trunk's backward pass is skipped.
  virtual bool trains_trunk() const { return true; }
  virtual bool needs_gate() const { return true; }
  // False when the gate is frozen: it is then none of the trained parameters.
  virtual bool trains_gate() const { return true; }
  // True when guess maps (model/guess_maps.h) are what learns, and nothing else. The loss then
  // looks at mapped states of all loops but the last.
  virtual bool trains_guesses() const { return false; }
  // What loops learn the distribution of.
  virtual Teacher teacher() const { return Teacher::kNone; }
  // Where the loss is one of pairs of documents. evaluate() then says what of a token counts, and
  // its derivatives are multiplied by those of the pair.
  virtual const DpoObjective* pairs() const { return nullptr; }
  // The first loop (from 0) whose read-out the loss looks at, out of `loops`.
  virtual int64_t first_loop(int64_t loops) const {
    (void)loops;
    return 0;
  }
};

// What Stage I pulls the exit distribution towards.
struct ExitPrior {
  enum class Kind {
    kEntropy,    // reward the entropy: -beta H(p), as the paper prints it (equation 4)
    kUniform,    // beta KL(p || uniform) = -beta H(p) + beta log T
    kGeometric,  // beta KL(p || prior), prior_t proportional to (1 - parameter)^(t-1) parameter
    kPoissonLognormal,  // prior of t = 1 + Poisson(e^tau), tau ~ N(log(mean) - sigma^2 / 2, sigma)
  };
  Kind kind = Kind::kEntropy;
  double parameter = 0.5;  // geometric: the probability of stopping, in (0, 1)
  double mean = 3;         // Poisson-lognormal: the mean of t - 1 before truncation; positive
  double sigma = 0.5;      // Poisson-lognormal: spread of tau; not negative

  // log prior_t for t = 1..T, truncated to T and renormalised; zeros for kEntropy.
  std::vector<double> log_probabilities(int64_t loops) const;
  bool operator==(const ExitPrior&) const = default;
};

inline constexpr NameTable<ExitPrior::Kind, 4> kExitPriorNames = {
    {{ExitPrior::Kind::kEntropy, "entropy"},
     {ExitPrior::Kind::kUniform, "uniform"},
     {ExitPrior::Kind::kGeometric, "geometric"},
     {ExitPrior::Kind::kPoissonLognormal, "poisson_lognormal"}}};

// Stage I (arXiv:2510.25741 equation 4): sum_t p_t nll_t - beta H(p), or with KL to a prior in
// place of the entropy. Trains everything.
class StageOneObjective : public Objective {
 public:
  // beta >= 0
  StageOneObjective(double beta, ExitPrior prior, int64_t loops);
  std::string name() const override { return "stage1"; }
  double evaluate(const TokenLoss& token) const override;

 private:
  double beta_;
  std::vector<double> log_prior_;
};

struct StageTwoSettings {
  double k = 50.0;
  double gamma = 0.005;
  // Teach lambda_t with the gain of the *next* loop, t -> t+1, for t = 1..T-1: an ablation, not
  // the paper's rule.
  bool forward_looking = false;
  bool operator==(const StageTwoSettings&) const = default;
};

// Stage II (section 3.4, equations 5 and 6): only the gate learns. With I_t = max(0, nll_{t-1} -
// nll_t) and the target of going on w_t = sigmoid(k (I_t - gamma)), the loss is (1/T) sum_{t=2..T}
// BCE(1 - lambda_t; w_t). The divisor is T, as printed.
class StageTwoObjective : public Objective {
 public:
  explicit StageTwoObjective(StageTwoSettings settings) : settings_(settings) {}
  std::string name() const override { return "stage2"; }
  double evaluate(const TokenLoss& token) const override;
  bool trains_trunk() const override { return false; }

 private:
  StageTwoSettings settings_;
};

// sum_t p_t nll_t under a frozen gate: the trunk learns what the model answers where it exits. The
// exit distribution is a constant, since states that move the gate would lower the loss too.
class ExpectedObjective : public Objective {
 public:
  std::string name() const override { return "expected"; }
  double evaluate(const TokenLoss& token) const override;
  bool trains_gate() const override { return false; }
};

// nll of the last loop alone; the gate gets no gradient.
class LastLoopObjective : public Objective {
 public:
  std::string name() const override { return "last_loop"; }
  double evaluate(const TokenLoss& token) const override;
  bool needs_gate() const override { return false; }
  int64_t first_loop(int64_t loops) const override { return loops - 1; }
};

// nll of the last loop, and the mean over those that are taught of their divergence from the
// teacher. By the last loop: the others learn what it says, so that exits may be earlier and
// proposals hold more often. By another model: all loops learn what that says.
class DistilObjective : public Objective {
 public:
  DistilObjective(double weight, Teacher teacher) : weight_(weight), teacher_(teacher) {}
  std::string name() const override { return "distil"; }
  double evaluate(const TokenLoss& token) const override;
  bool needs_gate() const override { return false; }
  bool trains_gate() const override { return false; }
  Teacher teacher() const override { return teacher_; }

 private:
  double weight_;
  Teacher teacher_;
};

// The mean over the loops before the last of their divergence from the last, which is a constant to
// them: guess maps learn to say early what the last loop will say. Everything else is frozen.
class GuessObjective : public Objective {
 public:
  std::string name() const override { return "guess"; }
  double evaluate(const TokenLoss& token) const override;
  bool trains_trunk() const override { return false; }
  bool needs_gate() const override { return false; }
  bool trains_gate() const override { return false; }
  bool trains_guesses() const override { return true; }
  Teacher teacher() const override { return Teacher::kLastLoop; }
};

enum class ObjectiveKind { kStageOne, kStageTwo, kLastLoop, kExpected, kDpo, kDistil, kGuess };

inline constexpr NameTable<ObjectiveKind, 7> kObjectiveNames = {
    {{ObjectiveKind::kStageOne, "stage1"},
     {ObjectiveKind::kStageTwo, "stage2"},
     {ObjectiveKind::kLastLoop, "last_loop"},
     {ObjectiveKind::kExpected, "expected"},
     {ObjectiveKind::kDpo, "dpo"},
     {ObjectiveKind::kDistil, "distil"},
     {ObjectiveKind::kGuess, "guess"}}};

struct ObjectiveSettings {
  ObjectiveKind kind = ObjectiveKind::kStageOne;
  int64_t loops = 0;  // to train with; 0: the model's
  double beta = 0.1;
  ExitPrior prior;
  StageTwoSettings stage_two;
  Teacher teacher = Teacher::kLastLoop;  // of distil
  double distil_weight = 1;              // of the divergence from the teacher
  int64_t backprop_loops = 0;            // the last loops that gradients flow through; 0: all
  bool operator==(const ObjectiveSettings&) const = default;
};

// `loops`: of the run.
std::unique_ptr<Objective> make_objective(const ObjectiveSettings& settings, int64_t loops);

}  // namespace looplm

#endif  // LOOPLM_TRAIN_OBJECTIVE_H_
