// What a trained model still loses on the people of its training data.
#ifndef LOOPLM_EXPERIMENTS_CAPO_KNOWLEDGE_H_
#define LOOPLM_EXPERIMENTS_CAPO_KNOWLEDGE_H_

#include <cstdint>
#include <functional>
#include <string>

#include "looplm/model.h"
#include "looplm/status.h"

#include "experiments/capo/biography.h"
#include "experiments/capo/capacity.h"

namespace looplm {

struct KnowledgeMeasurement {
  uint64_t world = 0;     // the seed of the people
  int64_t people = 0;     // the first so many of them
  uint64_t exposure = 0;  // whose templates the biographies have; one that training has not shown
  int64_t loops = 0;
  // Called now and then with the share done; returns false to stop with kCancelled.
  std::function<bool(double share)> progress{};
};

// From one biography of each person. Sums are over tokens in order, so results do not depend on how
// the people are cut into batches.
Result<KnowledgeLoss> measure_knowledge(Model& model, const KnowledgeMeasurement& measurement);

// Writes a shard of the same biographies in which only name and attribute tokens are learnt, whose
// mean nll during training is the learning curve.
Status write_knowledge_shard(const KnowledgeMeasurement& measurement, const std::string& path);
// Name and attribute tokens of a biography.
inline constexpr int kKnowledgeTokens = 21;

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_CAPO_KNOWLEDGE_H_
