// Products of bf16, and the rows of them.
#include "kernels/cpu/amx/amx_kernels.h"
#include "kernels/cpu/amx/bf16_block.h"
#include "kernels/cpu/isa/bf16_rounding.h"
#include "kernels/cpu/isa/transpose.h"

namespace looplm::cpu::LOOPLM_ISA_NAMESPACE {
namespace {

// A panel at a time by all rows, so that it is read from far away once. One block of rows takes two
// panels side by side: with the two sums of one, every product would wait for the last but one, 52
// cycles for 32.
void multiply_bf16(const AmxArgs& p) {
  Tiles tiles;
  constexpr int64_t kTwoBlocks = 2 * kAmxRows;
  const int64_t products = (p.a.rows + kTwoBlocks - 1) / kTwoBlocks;
  const int64_t lines = (p.fetch_bytes + 63) / 64;
  const int64_t ahead_step = (lines + products * p.steps - 1) / (products * p.steps) * 64;
  const int64_t panels = (p.columns + kPanel - 1) / kPanel;
  const bool beside =
      p.a.rows <= kAmxRows && p.before.panel_stride == kPanel && p.c.panel_stride == kPanel;
  for (int64_t panel = 0; panel < panels; ++panel) {
    const char* b = p.b + panel * p.b_panel_bytes;
    const char* ahead = panel + 1 < panels || p.fetch_last == nullptr ? b + p.fetch : p.fetch_last;
    for (int64_t m = 0; m < p.a.rows; m += kTwoBlocks, ahead += p.steps * ahead_step) {
      const char* a = static_cast<const char*>(p.a.tiles) + m / kAmxRows * p.a.block_bytes;
      const auto sums = [&](const AmxSums& s) {
        return s.at == nullptr ? nullptr : s.at + m * s.row_stride + panel * s.panel_stride;
      };
      const Left left = {p.a.rows - m, p.columns - panel * kPanel};
      if (left.rows > kAmxRows) {
        product<2, 1>(tiles, p, a, b, ahead, ahead_step, sums(p.before), sums(p.c), left);
      } else if (beside && panel + 1 < panels) {
        product<1, 2>(tiles, p, a, b, ahead, ahead_step, sums(p.before), sums(p.c), left);
        ++panel;
      } else {
        product<1, 1>(tiles, p, a, b, ahead, ahead_step, sums(p.before), sums(p.c), left);
      }
    }
  }
}

constexpr int64_t kPairs = kAmxTerms / 2;  // of a tile's row

// The pairs of one row's step; what is missing of it is zero.
LOOPLM_INLINE void prepare_row(const float* source, int64_t terms, int64_t stride, uint32_t* out) {
  if (stride == 1 && terms >= kAmxTerms) {
    for (int64_t i = 0; i < kAmxTerms; i += 2 * kLanes) round_two_vectors(source + i, out + i / 2);
    return;
  }
  for (int64_t i = 0; i < kAmxTerms; i += 2) {
    out[i / 2] = i < terms ? pair_bits(source, i, terms, stride) : 0;
  }
}
LOOPLM_INLINE void prepare_row(const uint16_t* source, int64_t terms, int64_t stride,
                               uint32_t* out) {
  const int64_t count = terms < kAmxTerms ? terms : kAmxTerms;
  uint16_t halves[kAmxTerms] = {};
  if (stride == 1) {
    memcpy(halves, source, static_cast<size_t>(count) * sizeof(*source));
  } else {
    for (int64_t i = 0; i < count; ++i) halves[i] = source[i * stride];
  }
  memcpy(out, halves, sizeof(halves));
}

LOOPLM_INLINE VI pairs_of_rows(const float* even, const float* odd) {
  return rounded_pairs(load(even), load(odd));
}
LOOPLM_INLINE VI pairs_of_rows(const uint16_t* even, const uint16_t* odd) {
  return load_halves_as_words(even, kLanes) | load_halves_as_words(odd, kLanes) << 16;
}

// A whole tile of a transposed source, where rows of a term lie side by side.
template <typename Element>
LOOPLM_INLINE void prepare_transposed(const Element* source, int64_t stride, uint32_t* out) {
  for (int64_t j = 0; j < kPairs; j += kLanes) {
    for (int64_t m = 0; m < kAmxRows; m += kLanes) {
      VI square[kLanes];
#pragma GCC unroll 16
      for (int k = 0; k < kLanes; ++k) {
        const Element* even = source + 2 * (j + k) * stride + m;
        square[k] = pairs_of_rows(even, even + stride);
      }
      transpose_square(square);
#pragma GCC unroll 16
      for (int k = 0; k < kLanes; ++k) {
        memcpy(out + (m + k) * kPairs + j, &square[k], sizeof(square[k]));
      }
    }
  }
}

template <typename Element>
LOOPLM_INLINE void prepare_steps(const AmxPrepareArgs& p, const Element* first_source) {
  char* out = p.out;
  for (int64_t first = 0; first < p.terms; first += kAmxTerms, out += p.step_bytes) {
    const Element* source = first_source + first * p.term_stride;
    const int64_t terms = p.terms - first;
    auto* words = reinterpret_cast<uint32_t*>(out);
    if (p.term_stride != 1 && terms >= kAmxTerms && p.rows == kAmxRows) {
      prepare_transposed(source, p.term_stride, words);
      continue;
    }
    for (int64_t m = 0; m < p.rows; ++m) {
      prepare_row(source + m * p.row_stride, terms, p.term_stride, words + m * kPairs);
    }
    const int64_t filled = p.rows * kAmxRowBytes;
    if (filled < p.step_bytes) memset(out + filled, 0, static_cast<size_t>(p.step_bytes - filled));
  }
}

void prepare(const AmxPrepareArgs& p) {
  if (p.rounded != nullptr) {
    prepare_steps(p, p.rounded);
  } else {
    prepare_steps(p, p.source);
  }
}

}  // namespace

void add_bf16_kernels(KernelTable& table) {
  table.amx_prepare = prepare;
  table.amx_bf16 = multiply_bf16;
}

void add_kernels(KernelTable& table) {
  add_bf16_kernels(table);
  add_quant_kernels(table);
  add_attention_kernels(table);
  add_peak_loops(table);
}

}  // namespace looplm::cpu::LOOPLM_ISA_NAMESPACE
