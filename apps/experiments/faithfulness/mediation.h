// Interventions: the state after a block of a loop is swapped with that of a counterfactual, and
// the answer follows it, or does not.
#ifndef LOOPLM_EXPERIMENTS_FAITHFULNESS_MEDIATION_H_
#define LOOPLM_EXPERIMENTS_FAITHFULNESS_MEDIATION_H_

#include <functional>
#include <vector>

#include "looplm/model.h"

#include "base/json.h"
#include "experiments/faithfulness/answer_task.h"

namespace looplm {

// Which positions' states are swapped: the last one, where the answer is read, or all before it,
// whose keys and values later blocks read. (All of them give the counterfactual's answer, whatever
// the place.)
enum class SwappedPositions { kAnswer, kOthers };
NLOHMANN_JSON_SERIALIZE_ENUM(SwappedPositions, {{SwappedPositions::kAnswer, "answer"},
                                                {SwappedPositions::kOthers, "others"}})

// Of one place: after block `layer` of loop `loop`, both from 1.
struct MediationRow {
  SwappedPositions positions = SwappedPositions::kAnswer;
  int64_t loop = 0;
  int64_t layer = 0;
  // Read after each loop 1 .. loops: pairs that the model answers differently there when nothing is
  // swapped, and how many of them then give the counterfactual's answer, or the item's own.
  std::vector<int> pairs;
  std::vector<int> follows;
  std::vector<int> stays;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(MediationRow, positions, loop, layer, pairs, follows, stays)

struct Mediation {
  int64_t loops = 0;
  int64_t layers = 0;
  std::vector<MediationRow> rows;

  const MediationRow& at(SwappedPositions positions, int64_t loop, int64_t layer) const;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Mediation, loops, layers, rows)

// The counterfactual of each item: its own, or else the next item (around the end) of as many
// tokens whose answer after the last loop differs; empty where there is none. `answers` are those
// after the last loop.
std::vector<std::vector<int32_t>> counterfactuals(const AnswerTask& task,
                                                  const std::vector<int>& answers);

// Swaps every place of the first `pairs` items that have a counterfactual. `progress` as in
// observe().
Result<Mediation> mediate(Model& model, const AnswerTask& task, int64_t loops, int pairs,
                          const std::function<bool(double)>& progress);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_FAITHFULNESS_MEDIATION_H_
