// What each loop answers, how far loops agree, and what a linear probe finds in the states between.
#ifndef LOOPLM_EXPERIMENTS_FAITHFULNESS_OBSERVATION_H_
#define LOOPLM_EXPERIMENTS_FAITHFULNESS_OBSERVATION_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "looplm/model.h"

#include "experiments/core/linear_probe.h"
#include "experiments/faithfulness/answer_task.h"

namespace looplm {

// Of all items at their last positions.
struct Observation {
  int64_t loops = 0;
  int64_t layers = 0;
  size_t width = 0;
  std::vector<std::vector<int>> answers;   // of each item after each loop: an index of the choices
  std::vector<std::vector<float>> states;  // of each item: (loops * layers, width)
};

// `progress` hears the share done and ends the work early (kCancelled) by returning false.
Result<Observation> observe(Model& model, const AnswerTask& task, int64_t loops,
                            const std::function<bool(double)>& progress);

// Share of items that are answered right after each loop; NaN where no truth is known.
std::vector<double> accuracy_by_loop(const AnswerTask& task, const Observation& seen);

// (loops, loops): shares of items with equal labels (answers) after two loops.
std::vector<std::vector<double>> label_agreement(const AnswerTask& task, const Observation& seen);
std::vector<std::vector<double>> answer_agreement(const Observation& seen);

// How well the state after each unrolled layer (l = layer + layers * loop, from 0) tells the label
// that loop `target` (from 1) will answer: ROC AUC over held-out folds. NaN where one class has
// fewer items than there are folds.
Result<std::vector<double>> probe_layers(const AnswerTask& task, const Observation& seen,
                                         int64_t target, const CrossValidation& folds,
                                         const ProbeOptions& options);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_FAITHFULNESS_OBSERVATION_H_
