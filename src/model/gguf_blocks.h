// The element types of GGUF tensors: plain floats, and blocks of a few bits per weight with shared
// scales (gguf_dequantize.h).
#ifndef LOOPLM_MODEL_GGUF_BLOCKS_H_
#define LOOPLM_MODEL_GGUF_BLOCKS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "tensor/dtype.h"

namespace looplm {

// The types that looplm reads, with the format's own numbers.
enum class GgmlType : uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ2K = 10,
  kQ3K = 11,
  kQ4K = 12,
  kQ5K = 13,
  kQ6K = 14,
  kIq4Nl = 20,
  kIq4Xs = 23,
  kBf16 = 30,
  kMxfp4 = 39,
};

// A row of a tensor is a whole number of blocks.
struct GgmlBlock {
  const char* name;  // "Q4_K"
  int64_t elements;  // 1 for plain floats
  int64_t bytes;
};

GgmlBlock ggml_block(GgmlType type);

// Nothing for a number that is no type looplm reads.
std::optional<GgmlType> ggml_type_from_code(uint32_t code);
// "IQ1_S", also for types that looplm does not read; "type 99" for numbers that name none.
std::string ggml_type_text(uint32_t code);
// "F32, F16, Q4_0, ..."
std::string ggml_types_text();

// The dtype that has exactly these elements; nothing for blocks.
std::optional<DType> plain_dtype(GgmlType type);

// Turns whole blocks into floats; out.size() is a multiple of the block's elements. `blocks` may
// have any alignment.
void read_ggml_blocks(GgmlType type, const std::byte* blocks, std::span<float> out);

}  // namespace looplm

#endif  // LOOPLM_MODEL_GGUF_BLOCKS_H_
