// How many bits of knowledge a model holds, from what it still loses on people it was trained on.
#ifndef LOOPLM_EXPERIMENTS_CAPO_CAPACITY_H_
#define LOOPLM_EXPERIMENTS_CAPO_CAPACITY_H_

#include <cstdint>

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

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_CAPO_CAPACITY_H_
