// What running a model needs in memory, computed from its config alone.
#ifndef LOOPLM_MODEL_MEMORY_REPORT_H_
#define LOOPLM_MODEL_MEMORY_REPORT_H_

#include <cstdint>

#include "looplm/config.h"
#include "looplm/kv_policy.h"

#include "tensor/dtype.h"
#include "tensor/memory_plan.h"

namespace looplm {

// Keys and values of one position in one plane: 2 * layers * kv_heads * head_dim elements. 196,608
// bytes for Ouro-1.4B in bf16, so 768 KiB per token with four planes.
uint64_t kv_bytes_per_token_per_plane(const ModelConfig& config, DType kv_dtype);

// One sequence.
struct KvNeed {
  uint64_t prefill_bytes = 0;  // the prompt, all loops' planes
  uint64_t decode_bytes = 0;   // prompt and output in the policy's planes
  // The larger of the two; reducing the planes in place needs no more.
  uint64_t peak_bytes() const {
    return prefill_bytes > decode_bytes ? prefill_bytes : decode_bytes;
  }
};

struct MemoryRequest {
  int64_t prompt_tokens = 0;  // of the context, those given; 0 to context_tokens
  int64_t context_tokens = 0;
  int64_t loops = 0;  // 0: the config's
  DType weight_dtype = DType::kBf16;
  DType kv_dtype = DType::kBf16;
  KvPolicy kv_policy = KvPolicy::kFull;
};

KvNeed kv_need(const ModelConfig& config, const MemoryRequest& request);

// Bytes of all parameters in that dtype: 2,869,305,346 for Ouro-1.4B in bf16.
uint64_t weight_bytes(const ModelConfig& config, DType dtype);

// Weights by kind and the cache's peak, for batch 1. Activations are not counted: they are a few
// rows while decoding, and depend on the chunk size while a prompt is read.
MemoryPlan model_memory_plan(const ModelConfig& config, const MemoryRequest& request);

}  // namespace looplm

#endif  // LOOPLM_MODEL_MEMORY_REPORT_H_
