// Floats to the element types of GGUF files that looplm writes: F32, F16, BF16 and the blocks Q8_0,
// Q4_0 and Q4_K. The inverse of gguf_dequantize.h.
#ifndef LOOPLM_MODEL_GGUF_ENCODE_H_
#define LOOPLM_MODEL_GGUF_ENCODE_H_

#include <array>
#include <cstddef>
#include <span>

#include "model/gguf_blocks.h"

namespace looplm {

inline constexpr std::array kWrittenGgmlTypes = {GgmlType::kF32,  GgmlType::kF16,  GgmlType::kBf16,
                                                 GgmlType::kQ8_0, GgmlType::kQ4_0, GgmlType::kQ4K};

// Writes whole blocks; values.size() is a multiple of the block's elements, and the values are
// finite. Q8_0 and Q4_0 are, bit for bit, what llama.cpp makes of the same floats. Q4_K is searched
// for the least squared error of each 32 values.
void write_ggml_blocks(GgmlType type, std::span<const float> values, std::byte* out);

}  // namespace looplm

#endif  // LOOPLM_MODEL_GGUF_ENCODE_H_
