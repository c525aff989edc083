// Which keys and values are kept for earlier positions (arXiv:2510.25741, section 5.4.2, and
// docs/architecture.md).
#ifndef LOOPLM_KV_POLICY_H_
#define LOOPLM_KV_POLICY_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace looplm {

enum class KvPolicy {
  kFull,        // a plane per loop: exact
  kLast,        // while decoding one plane, the last loop's
  kMean,        // while decoding one plane, the mean of all loops
  kFirst,       // while decoding one plane, the first loop's: the paper's negative control
  kLastExited,  // a plane per loop; those beyond a position's exit repeat its exit loop's
};

inline constexpr std::array<KvPolicy, 5> kKvPolicies = {
    KvPolicy::kFull, KvPolicy::kLast, KvPolicy::kMean, KvPolicy::kFirst, KvPolicy::kLastExited};

constexpr const char* kv_policy_name(KvPolicy policy) {
  switch (policy) {
    case KvPolicy::kFull:
      return "full";
    case KvPolicy::kLast:
      return "last";
    case KvPolicy::kMean:
      return "mean";
    case KvPolicy::kFirst:
      return "first";
    case KvPolicy::kLastExited:
      return "last-exited";
  }
  return "?";
}

constexpr std::optional<KvPolicy> kv_policy_from_name(std::string_view name) {
  for (const KvPolicy policy : kKvPolicies) {
    if (name == kv_policy_name(policy)) return policy;
  }
  return std::nullopt;
}

// How prompts are read under a policy that keeps one plane.
enum class PromptKv {
  kEveryLoop,  // with a plane per loop, which become one when the prompt has been read
  kAsDecoded,  // one position after the other, as in decoding: each leaves one plane, which its
               // successors see at every loop. The paper's negative control: it costs more than ten
               // points on GSM8K, and takes a pass for each position and loop
};

// Planes kept while decoding.
constexpr int64_t kv_planes(KvPolicy policy, int64_t loops) {
  return policy == KvPolicy::kFull || policy == KvPolicy::kLastExited ? loops : 1;
}

// How keys and values are stored.
enum class KvType {
  kF32,
  kBf16,  // rounded to nearest
  kInt8,  // with a scale per position and head: the largest magnitude is 127
};

inline constexpr std::array<KvType, 3> kKvTypes = {KvType::kF32, KvType::kBf16, KvType::kInt8};

constexpr int64_t kv_type_bytes(KvType type) {
  return type == KvType::kF32 ? 4 : type == KvType::kBf16 ? 2 : 1;
}

constexpr const char* kv_type_name(KvType type) {
  switch (type) {
    case KvType::kF32:
      return "f32";
    case KvType::kBf16:
      return "bf16";
    case KvType::kInt8:
      return "int8";
  }
  return "?";
}

constexpr std::optional<KvType> kv_type_from_name(std::string_view name) {
  for (const KvType type : kKvTypes) {
    if (name == kv_type_name(type)) return type;
  }
  return std::nullopt;
}

}  // namespace looplm

#endif  // LOOPLM_KV_POLICY_H_
