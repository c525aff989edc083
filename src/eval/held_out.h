// Which of the made questions are held out from training.
#ifndef LOOPLM_EVAL_HELD_OUT_H_
#define LOOPLM_EVAL_HELD_OUT_H_

#include <cstdint>
#include <string_view>

namespace looplm {

// One in 16, by a hash of the text: FNV-1a.
inline bool is_held_out(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  hash ^= hash >> 32;  // the low bits of FNV-1a depend on the low bits of the text alone
  return hash % 16 == 0;
}

}  // namespace looplm

#endif  // LOOPLM_EVAL_HELD_OUT_H_
