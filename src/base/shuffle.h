// Fisher and Yates' shuffle: every order is as likely as any other.
#ifndef LOOPLM_BASE_SHUFFLE_H_
#define LOOPLM_BASE_SHUFFLE_H_

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/rng.h"

namespace looplm {

template <typename T>
void shuffle(std::vector<T>& items, Rng& rng) {
  for (size_t i = items.size(); i > 1; --i) {
    std::swap(items[i - 1], items[rng.below(static_cast<uint32_t>(i))]);
  }
}

}  // namespace looplm

#endif  // LOOPLM_BASE_SHUFFLE_H_
