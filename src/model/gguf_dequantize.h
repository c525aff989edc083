// One function per block type of GGUF files: a block's bytes, of any alignment, to its floats.
// Layouts: ggml-common.h of github.com/ggml-org/llama.cpp; all numbers little-endian. Each float is
// the one that ggml's reference code gives, to the bit: integers times scales in fp32, in its
// order.
#ifndef LOOPLM_MODEL_GGUF_DEQUANTIZE_H_
#define LOOPLM_MODEL_GGUF_DEQUANTIZE_H_

#include <cstddef>

namespace looplm {

// 32 elements.
void read_q4_0(const std::byte* block, float* out);
void read_q4_1(const std::byte* block, float* out);
void read_q5_0(const std::byte* block, float* out);
void read_q5_1(const std::byte* block, float* out);
void read_q8_0(const std::byte* block, float* out);
void read_iq4_nl(const std::byte* block, float* out);
void read_mxfp4(const std::byte* block, float* out);

// 256 elements.
void read_q2_k(const std::byte* block, float* out);
void read_q3_k(const std::byte* block, float* out);
void read_q4_k(const std::byte* block, float* out);
void read_q5_k(const std::byte* block, float* out);
void read_q6_k(const std::byte* block, float* out);
void read_iq4_xs(const std::byte* block, float* out);

}  // namespace looplm

#endif  // LOOPLM_MODEL_GGUF_DEQUANTIZE_H_
