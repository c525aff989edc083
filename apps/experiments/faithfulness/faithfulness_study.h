// Section 7.2 of arXiv:2510.25741: do later loops change the answer? Agreement of loops, linear
// probes between them, and interventions on states.
#ifndef LOOPLM_EXPERIMENTS_FAITHFULNESS_FAITHFULNESS_STUDY_H_
#define LOOPLM_EXPERIMENTS_FAITHFULNESS_FAITHFULNESS_STUDY_H_

#include <string>
#include <vector>

#include "experiments/core/study.h"
#include "experiments/faithfulness/mediation.h"

namespace looplm {

struct ProbeCurve {
  int64_t target_loop = 0;  // whose label is predicted, from 1
  std::vector<double> auc;  // of each unrolled layer
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(ProbeCurve, target_loop, auc)

struct FaithfulnessResults {
  std::string task;
  std::string description;
  std::string label;  // the name of label 1
  int64_t items = 0;
  int64_t trained_loops = 0;
  int64_t layers = 0;
  std::vector<double> accuracy;                      // by loop
  std::vector<std::vector<double>> label_agreement;  // (loops, loops)
  std::vector<std::vector<double>> answer_agreement;
  std::vector<double> label_share;  // of label 1, by loop
  std::vector<ProbeCurve> probes;
  Mediation mediation;

  int64_t loops() const { return static_cast<int64_t>(label_agreement.size()); }
};

// But for the mediation, which another cell measures.
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(FaithfulnessResults, task, description, label, items,
                                   trained_loops, layers, accuracy, label_agreement,
                                   answer_agreement, label_share, probes)

// Claims are judged on the first task.
StudyReport faithfulness_report(const std::vector<FaithfulnessResults>& tasks);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_FAITHFULNESS_FAITHFULNESS_STUDY_H_
