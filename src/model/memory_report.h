// What running a model needs in memory, computed without loading it.
#ifndef LOOPLM_MODEL_MEMORY_REPORT_H_
#define LOOPLM_MODEL_MEMORY_REPORT_H_

#include <cstdint>

#include "looplm/config.h"
#include "looplm/kv_policy.h"

#include "tensor/dtype.h"

namespace looplm {

// Keys and values of one position in one plane: 2 * layers * kv_heads * head_dim elements, and the
// scales of int8. 196,608 bytes for Ouro-1.4B in bf16, so 768 KiB per token with four planes.
uint64_t kv_bytes_per_token_per_plane(const ModelConfig& config, KvType type);

// One sequence.
struct KvNeed {
  uint64_t prefill_bytes = 0;  // the prompt, all loops' planes
  uint64_t decode_bytes = 0;   // prompt and output in the policy's planes
  // The larger of the two; reducing the planes in place needs no more.
  uint64_t peak_bytes() const {
    return prefill_bytes > decode_bytes ? prefill_bytes : decode_bytes;
  }
};

struct KvRequest {
  int64_t prompt_tokens = 0;  // of the context, those given; 0 to context_tokens
  int64_t context_tokens = 0;
  int64_t loops = 0;  // 0: the config's
  KvType type = KvType::kBf16;
  KvPolicy policy = KvPolicy::kFull;
};

KvNeed kv_need(const ModelConfig& config, const KvRequest& request);

// What fits into memory beside the weights with the planes of all loops kept.
struct KvRoom {
  int64_t context = 0;  // of a single stream: tokens, at most the model's positions
  int64_t streams = 0;  // of the context asked for
};
KvRoom kv_room(const ModelConfig& config, KvType type, uint64_t bytes, int64_t context);

// Bytes of all parameters in that dtype: 2,869,305,346 for Ouro-1.4B in bf16.
uint64_t weight_bytes(const ModelConfig& config, DType dtype);

}  // namespace looplm

#endif  // LOOPLM_MODEL_MEMORY_REPORT_H_
