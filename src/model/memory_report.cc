#include "model/memory_report.h"

#include <algorithm>

#include "base/check.h"
#include "kernels/attention.h"

namespace looplm {
namespace {

uint64_t page_bytes(const ModelConfig& config, KvType type) {
  return static_cast<uint64_t>(KvLayout{config.kv_heads, config.head_dim, type}.page_bytes());
}

}  // namespace

uint64_t kv_bytes_per_token_per_plane(const ModelConfig& config, KvType type) {
  return static_cast<uint64_t>(config.layers) * page_bytes(config, type) / kPagePositions;
}

KvNeed kv_need(const ModelConfig& config, const KvRequest& request) {
  LOOPLM_CHECK(0 <= request.prompt_tokens && request.prompt_tokens <= request.context_tokens &&
                   request.context_tokens <= kMaxPositions,
               "{} prompt tokens of {}", request.prompt_tokens, request.context_tokens);
  const int64_t loops = request.loops == 0 ? config.loops : request.loops;
  LOOPLM_CHECK(1 <= loops && loops <= kMaxLoops, "{} loops", loops);
  // At the config's bounds the product is 2^63.
  const auto bytes = [&](int64_t planes, int64_t tokens) {
    return kv_bytes_per_token_per_plane(config, request.type) * static_cast<uint64_t>(planes) *
           static_cast<uint64_t>(tokens);
  };
  return {bytes(loops, request.prompt_tokens),
          bytes(kv_planes(request.policy, loops), request.context_tokens)};
}

KvRoom kv_room(const ModelConfig& config, KvType type, uint64_t bytes, int64_t context) {
  LOOPLM_CHECK(context > 0, "streams of {} tokens", context);
  // Pages are taken whole, one in every layer of every plane.
  const uint64_t row = page_bytes(config, type) * static_cast<uint64_t>(config.layers) *
                       static_cast<uint64_t>(config.loops);
  const auto rows = static_cast<int64_t>(bytes / row);
  const int64_t rows_of_stream = pages_for(context);
  const int64_t most = pages_for(config.max_positions);
  return {std::min(config.max_positions, std::min(rows, most) * kPagePositions),
          rows / rows_of_stream};
}

uint64_t weight_bytes(const ModelConfig& config, DType dtype) {
  return static_cast<uint64_t>(config.parameter_count()) * dtype_size(dtype);
}

}  // namespace looplm
