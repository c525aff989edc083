// Tensors of a GGUF file that cannot be used as they lie there: blocks become floats, and rows of
// queries and keys go back into Hugging Face's order.
#ifndef LOOPLM_MODEL_GGUF_CONVERT_H_
#define LOOPLM_MODEL_GGUF_CONVERT_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/thread_pool.h"
#include "model/gguf.h"
#include "tensor/dtype.h"

namespace looplm {

// A tensor of `rows` times `columns` that is turned into `to`.
struct GgufConversion {
  const GgufTensor* from;
  DType dtype;       // of `to`; of blocks kF32, or kBf16, rounded
  int64_t head_dim;  // rows are reordered within heads of this size; 0: not
  int64_t rows;
  int64_t columns;
  std::byte* to;
};

// Fills the memory of all; `pool` may be null.
void convert_gguf_tensors(const GgufFile& file, const std::vector<GgufConversion>& conversions,
                          ThreadPool* pool);

}  // namespace looplm

#endif  // LOOPLM_MODEL_GGUF_CONVERT_H_
