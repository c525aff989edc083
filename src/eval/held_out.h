// Which of the made questions are held out from training.
#ifndef LOOPLM_EVAL_HELD_OUT_H_
#define LOOPLM_EVAL_HELD_OUT_H_

#include <cstdint>
#include <string_view>

#include "base/hash.h"

namespace looplm {

// One in 16, by the FNV-1a hash of what the question is made of.
inline bool is_held_out(uint64_t hash) {
  hash ^= hash >> 32;  // the low bits of FNV-1a depend on the low bits of the text alone
  return hash % 16 == 0;
}
inline bool is_held_out(std::string_view text) { return is_held_out(fnv1a(text)); }

}  // namespace looplm

#endif  // LOOPLM_EVAL_HELD_OUT_H_
