// Hashes that notice changed contents; no defence against an attacker.
#ifndef LOOPLM_BASE_HASH_H_
#define LOOPLM_BASE_HASH_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>

namespace looplm {

// FNV-1a over values of any width, each as its unsigned bits.
template <typename Values>
uint64_t fnv1a(const Values& values, uint64_t hash = 0xcbf29ce484222325u) {
  for (const auto value : values) {
    hash = (hash ^ static_cast<std::make_unsigned_t<std::decay_t<decltype(value)>>>(value)) *
           0x100000001b3u;
  }
  return hash;
}

// A fast hash for large contents: continues from `hash`, eight bytes at a time. A shorter end is
// padded with zeros.
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
