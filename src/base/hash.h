// A fast hash of large contents, to notice that they are others; no defence against an attacker.
#ifndef LOOPLM_BASE_HASH_H_
#define LOOPLM_BASE_HASH_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace looplm {

// Goes on from `hash`. Eight bytes at a time; a tail counts as if zeros followed it.
inline uint64_t hash_words(uint64_t hash, std::span<const std::byte> bytes) {
  constexpr uint64_t kPrime = 0x9E3779B97F4A7C15u;
  for (size_t i = 0; i < bytes.size(); i += 8) {
    uint64_t word = 0;
    std::memcpy(&word, bytes.data() + i, std::min<size_t>(8, bytes.size() - i));
    hash = (hash ^ word) * kPrime;
    hash ^= hash >> 29;
  }
  return hash;
}

}  // namespace looplm

#endif  // LOOPLM_BASE_HASH_H_
