// What the runs of the mano study found, and the report made of it: looped models against models of
// equal parameters and of equal arithmetic.
#ifndef LOOPLM_EXPERIMENTS_MANO_MANO_STUDY_H_
#define LOOPLM_EXPERIMENTS_MANO_MANO_STUDY_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "looplm/status.h"
#include "looplm/train.h"

#include "base/json.h"
#include "experiments/core/estimates.h"
#include "experiments/core/looped_recipe.h"
#include "experiments/core/seed_summary.h"
#include "experiments/core/study.h"

namespace looplm {

// One training.
struct ManoRun {
  int max_length = 0;
  LoopedShape shape;
  double learning_rate = 0;
  uint64_t seed = 0;
  int64_t parameters = 0;
  std::vector<int64_t> steps;  // at which it was measured
  // Share of right answers after the last loop, by length - 1, at each of the steps.
  std::vector<std::vector<double>> accuracy_by_length;
  // On the longest expressions at the end, after each loop.
  std::vector<double> loop_accuracy;

  // At the end.
  double accuracy_at(int length) const {
    return accuracy_by_length.back()[static_cast<size_t>(length - 1)];
  }
};

// `validations` come in rounds, one of each length 1 .. max_length.
ManoRun mano_run(int max_length, const LoopedShape& shape, double learning_rate, uint64_t seed,
                 int64_t parameters, const std::vector<ValidationReport>& validations);
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(ManoRun, max_length, shape, learning_rate, seed, parameters,
                                   steps, accuracy_by_length, loop_accuracy)

// The runs of one shape and length with the learning rate whose mean over seeds is the best.
using ManoGroup = std::vector<ManoRun>;
// By shape, of one length. Shapes are in the order of depth, then of layers.
struct ManoTable {
  int max_length = 0;
  std::vector<ManoGroup> groups;

  const ManoGroup* find(const LoopedShape& shape) const;
};
std::vector<ManoTable> mano_tables(const std::vector<ManoRun>& runs);

// At the end of training, on expressions of `length` operators, and on the longest.
SeedSummary accuracy_at(const ManoGroup& group, int length);
SeedSummary final_accuracy(const ManoGroup& group);

// A looped model against the plain one of as many parameters, or of as much arithmetic.
struct ManoComparison {
  LoopedShape looped, plain;
  SeedSummary looped_accuracy, plain_accuracy;

  // Both models of a seed see the same expressions.
  Estimate gain() const { return paired_gain(looped_accuracy, plain_accuracy); }
};
std::vector<ManoComparison> compare_parameters(const ManoTable& table);
std::vector<ManoComparison> compare_arithmetic(const ManoTable& table);

// `constant_guess`, by length: what the most common answer alone would score. At least one table.
StudyReport mano_report(const std::vector<ManoTable>& tables, const std::string& description,
                        const std::map<int, double>& constant_guess);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_MANO_MANO_STUDY_H_
