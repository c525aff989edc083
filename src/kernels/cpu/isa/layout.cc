// Rows into the columns of a panel.
#include "kernels/cpu/isa/bf16_rounding.h"
#include "kernels/cpu/isa/isa_kernels.h"
#include "kernels/cpu/isa/transpose.h"

namespace looplm::cpu::LOOPLM_ISA_NAMESPACE {
namespace {

void transpose_words(const void* const* rows, int64_t count, int64_t words, uint32_t* out) {
  const auto row = [&](int64_t r) { return static_cast<const char*>(rows[r]); };
  for (int64_t i = 0; i < words; i += kLanes) {
    for (int64_t r = 0; r < count; r += kLanes) {
      uint32_t* to = out + i * kPanel + r;
      if (i + kLanes <= words && r + kLanes <= count) {
        VI square[kLanes];
#pragma GCC unroll 16
        for (int k = 0; k < kLanes; ++k) square[k] = load_words(row(r + k) + i * 4);
        transpose_square(square);
#pragma GCC unroll 16
        for (int k = 0; k < kLanes; ++k) memcpy(to + k * kPanel, &square[k], sizeof(square[k]));
        continue;
      }
      for (int64_t m = 0; m < kLanes && r + m < count; ++m) {
        for (int64_t k = 0; k < kLanes && i + k < words; ++k) {
          memcpy(to + k * kPanel + m, row(r + m) + (i + k) * 4, sizeof(uint32_t));
        }
      }
    }
  }
}

void round_row_bf16(const float* x, int64_t n, uint32_t* pairs) {
  int64_t i = 0;
  for (; i + 2 * kLanes <= n; i += 2 * kLanes) round_two_vectors(x + i, pairs + i / 2);
  for (; i < n; i += 2) pairs[i / 2] = pair_bits(x, i, n, 1);
}

void round_to_bf16(int64_t n, float* x) {
  for (int64_t i = 0; i < n; i += kLanes) {
    const VI rounded = rounded_to_bf16(x + i);
    memcpy(x + i, &rounded, sizeof(rounded));
  }
}

}  // namespace

void add_layout_kernels(KernelTable& table) {
  table.transpose_words = transpose_words;
  table.round_row_bf16 = round_row_bf16;
  table.round_to_bf16 = round_to_bf16;
}

}  // namespace looplm::cpu::LOOPLM_ISA_NAMESPACE
