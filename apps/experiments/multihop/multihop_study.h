// What the runs of the multi-hop study found, and the report made of it: how many questions a model
// must have seen to answer others, by loops.
#ifndef LOOPLM_EXPERIMENTS_MULTIHOP_MULTIHOP_STUDY_H_
#define LOOPLM_EXPERIMENTS_MULTIHOP_MULTIHOP_STUDY_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "looplm/status.h"
#include "looplm/train.h"

#include "base/json.h"
#include "experiments/core/looped_recipe.h"
#include "experiments/core/seed_summary.h"
#include "experiments/core/study.h"

namespace looplm {

// One training. Shares of right answers after the last loop, at each of the steps.
struct MultihopRun {
  int64_t questions = 0;  // unique ones of training
  LoopedShape shape;
  uint64_t seed = 0;
  int64_t parameters = 0;
  std::vector<int64_t> steps;
  std::vector<double> held_out;
  std::vector<double> trained;
  std::vector<double> facts;
};

// `validations` come in rounds of held-out questions, those of training, and facts.
MultihopRun multihop_run(int64_t questions, const LoopedShape& shape, uint64_t seed,
                         int64_t parameters, const std::vector<ValidationReport>& validations);
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(MultihopRun, questions, shape, seed, parameters, steps, held_out,
                                   trained, facts)

// Accuracy on held-out questions at the end, over the number of training questions.
struct MultihopCurve {
  LoopedShape shape;
  int64_t parameters = 0;
  std::vector<int64_t> questions;              // rising
  std::vector<std::vector<MultihopRun>> runs;  // seeds of each
  std::vector<SeedSummary> accuracy;           // of each
};

// By shape, in the order of depth, then of loops.
std::vector<MultihopCurve> multihop_curves(const std::vector<MultihopRun>& runs);
const MultihopCurve* find_curve(const std::vector<MultihopCurve>& curves, const LoopedShape& shape);

// Training questions at which the mean accuracy first reaches `accuracy`, between two counts by the
// straight line; none where it never does.
std::optional<double> questions_needed(const MultihopCurve& curve, double accuracy);

// The step at which one run's accuracy first reaches `accuracy`, between two measurements by the
// straight line; none where it never does.
std::optional<double> steps_needed(const MultihopRun& run, double accuracy);

// `shortcut`: what each seed's world gives to a guess from the outermost relation alone.
StudyReport multihop_report(const std::vector<MultihopCurve>& curves, const SeedSummary& shortcut,
                            const std::string& description);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_MULTIHOP_MULTIHOP_STUDY_H_
