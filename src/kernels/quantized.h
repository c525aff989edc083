// Matrices of small integers, and products with them.
//
//   int8   w = scale * q, q in [-127, 127], one fp32 scale per output row
//   int4   w = minimum + scale * q, q in [0, 15], an fp16 scale and minimum per output row and
//   group
//          of 64 terms: 4.5 bits per weight
//
// The other operand's rows are rounded to int8 in groups of 64 terms with a scale each, so that
// products of integers are exact and only groups are added in fp32, in order: results depend
// neither on the number of rows, nor on threads, nor on the instruction set.
#ifndef LOOPLM_KERNELS_QUANTIZED_H_
#define LOOPLM_KERNELS_QUANTIZED_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/cpu/kernel_table.h"

namespace looplm {

struct MatmulParams;
class Device;

enum class Quant { kNone, kInt8, kInt4 };

inline constexpr int64_t kQuantGroup = cpu::kQuantGroup;

inline int64_t quant_groups(int64_t terms) { return (terms + kQuantGroup - 1) / kQuantGroup; }

// One output row of a weight in small integers, as files keep it.
struct QuantizedRow {
  std::vector<uint8_t> levels;  // (groups * 64): int8's q + 128, int4's q; padding is 128, and 0
  std::vector<float> scales;    // one (int8), or one per group
  std::vector<float> minimums;  // one per group (int4); values that fp16 holds, as the scales are
};

// Rounds a row of weights to the nearest levels, the same ones on every instruction set; by the
// processor's best unless told otherwise.
void quantize_row(Quant quant, std::span<const float> weights, const cpu::KernelTable& kernels,
                  QuantizedRow& out);
void quantize_row(Quant quant, std::span<const float> weights, QuantizedRow& out);
// What a row stands for: its first `terms` weights.
void dequantize_row(Quant quant, const QuantizedRow& row, std::span<float> weights);

// Panels of 32 output rows (columns of the product):
//   int8   scales (32) fp32, then steps of four terms: (32, 4) levels
//   int4   groups: scales (32), minimums (32) fp16; eight steps of eight terms: (32, 4) bytes, the
//          first four terms in the low halves, the others in the high ones
int64_t quantized_panel_bytes(Quant quant, int64_t terms);
// Puts a row at column `column` of a zeroed panel.
void place_row(Quant quant, const QuantizedRow& row, int64_t column, std::byte* panel);

// The product for a quantised B.
void matmul_quantized(const MatmulParams& params, Device& device);
// For a widened one: some panels at a time become floats and are multiplied as such.
void matmul_widened(const MatmulParams& params, Device& device);
// The most memory that the floats take at a time, where a panel does not take more.
inline constexpr int64_t kWidenedBytes = int64_t{32} << 20;

}  // namespace looplm

#endif  // LOOPLM_KERNELS_QUANTIZED_H_
