#include "experiments/capo/capacity.h"

#include <cmath>
#include <numbers>

#include "experiments/capo/biography.h"

namespace looplm {

double known_bits(const KnowledgeLoss& loss) {
  const double nats = std::log(kPossibleNames) - loss.name_nats + std::log(kPossibleAttributes) -
                      loss.attribute_nats;
  return static_cast<double>(loss.people) * nats / std::numbers::ln2;
}

double knowable_bits(int64_t people) {
  const auto n = static_cast<double>(people);
  return n * (std::log2(kPossibleNames / n) + std::log2(kPossibleAttributes));
}

}  // namespace looplm
