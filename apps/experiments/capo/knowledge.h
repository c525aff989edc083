// What a trained model still loses on the people of its training data.
#ifndef LOOPLM_EXPERIMENTS_CAPO_KNOWLEDGE_H_
#define LOOPLM_EXPERIMENTS_CAPO_KNOWLEDGE_H_

#include <cstdint>
#include <functional>
#include <string>

#include "looplm/model.h"
#include "looplm/status.h"

#include "experiments/capo/biography.h"

namespace looplm {

struct KnowledgeLoss {
  int64_t people = 0;
  double name_nats = 0;       // p1: summed nll of a name's tokens, mean over the people
  double attribute_nats = 0;  // p2: the same of the attributes' tokens
};

// N log2(N0 / e^p1) + N log2(S0 / e^p2), N0 and S0 as in biography.h. The paper (appendix B.1)
// prints S0 * e^p2, by which knowledge would grow with the loss; the quotient is meant. Partial
// knowledge counts. Nothing is clamped: a model that is worse than guessing uniformly among all
// possible people knows less than nothing.
double known_bits(const KnowledgeLoss& loss);

// What the best model can know of N people: N log2(N0 / N) + N log2(S0). Which of the N people a
// biography is about cannot be known beforehand, and costs ln N nats. (Printed without the
// division by N.)
double knowable_bits(int64_t people);

struct KnowledgeMeasurement {
  uint64_t world = 0;     // the seed of the people
  int64_t people = 0;     // how many of them, from the first
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
