// Products of bf16, and the rows of them.
#include "kernels/cpu/amx/amx_kernels.h"
#include "kernels/cpu/amx/bf16_block.h"
#include "kernels/cpu/isa/bf16_rounding.h"
#include "kernels/cpu/isa/transpose.h"

namespace looplm::cpu::LOOPLM_ISA_NAMESPACE {
namespace {

constexpr int64_t kTwoBlocks = 2 * kAmxRows;
// Few rows call for what they read so many bytes later. Of 128 to 64 KiB, on a Granite Rapids, this
// was fastest or nearly so: it starts the processor's own prefetch, which stops at a page's end.
constexpr int64_t kAhead = 512;
// Many rows: so many steps of a panel (32 KiB) stay in the first cache while all rows pass over
// them.
constexpr int64_t kChunkSteps = 16;
// Where rows are few, the next steps lie there beside them.
constexpr int64_t kShortChunkSteps = 8;
constexpr int64_t kRowsOfShortChunks = 96;

float* place(const AmxSums& sums, int64_t row, int64_t panel) {
  return sums.at == nullptr ? nullptr : sums.at + row * sums.row_stride + panel * sums.panel_stride;
}

// All rows, in kBlocks blocks of 16, by kPanels panels: all of B is read once.
template <int kBlocks, int kPanels>
LOOPLM_INLINE void multiply_few(Tiles& tiles, const AmxArgs& p, int64_t panel) {
  const Left left = {p.a.rows, p.columns - panel * kPanel};
  const char* a = static_cast<const char*>(p.a.tiles);
  const char* b = p.b + panel * p.b_panel_bytes;
  const int64_t fetched = p.fetches ? kStepOfPanel : 0;
  begin_sums<kBlocks, kPanels>(tiles, p.before, place(p.before, 0, panel), left);
  for (int64_t s = 0; s < p.steps; ++s) {
    fetch_ahead<true>(b + kAhead, fetched);
    add_step<kBlocks>(tiles, a, p.a.row_bytes, p.a.block_bytes, b);
    if constexpr (kPanels == 2) {
      fetch_ahead<true>(b + p.b_panel_bytes + kAhead, fetched);
      add_step_beside(tiles, b + p.b_panel_bytes);
    }
    a += p.a.step_bytes;
    b += kStepOfPanel;
  }
  end_sums<kBlocks, kPanels>(tiles, p.c, place(p.c, 0, panel), left);
}

// What of B comes next, to be called for evenly while something else is multiplied.
struct Next {
  const char* at = nullptr;
  int64_t step_bytes = 0;
};

// Two blocks of rows from `row` on, or the last one, by some steps of a panel.
template <int kBlocks, bool kShort>
LOOPLM_INLINE void multiply_part(Tiles& tiles, const AmxArgs& p, int64_t row, int64_t step,
                                 int64_t steps, const char* b, Next& next, const AmxSums& before,
                                 float* from, const AmxSums& after, float* to, const Left& left) {
  const char* a = static_cast<const char*>(p.a.tiles) + row / kAmxRows * p.a.block_bytes +
                  step * p.a.step_bytes;
  begin_sums<kBlocks>(tiles, before, from, left);
  for (int64_t s = 0; s < steps; ++s) {
    fetch_ahead<kShort>(next.at, next.step_bytes);
    add_step<kBlocks, Way::kPastFirstCache>(tiles, a, p.a.row_bytes, p.a.block_bytes, b);
    next.at += next.step_bytes;
    a += p.a.step_bytes;
    b += kStepOfPanel;
  }
  end_sums<kBlocks>(tiles, after, to, left);
}

// A panel after the other, in chunks of steps. Tiles of A come past the first cache from the
// second-level one, where they stay for all panels. Sums between chunks lie apart: rows of C may
// lie 4 KiB apart, and would then share few places of the caches.
void multiply_many(const AmxArgs& p) {
  Tiles tiles;
  alignas(64) float sums[kAmxMostRows * kPanel];
  const AmxSums between = {.at = sums, .row_stride = kPanel, .panel_stride = 0, .roomy = true};
  const int64_t chunk = p.a.rows > kRowsOfShortChunks ? kChunkSteps : kShortChunkSteps;
  const int64_t pairs = (p.a.rows + kTwoBlocks - 1) / kTwoBlocks;
  const int64_t panels = (p.columns + kPanel - 1) / kPanel;
  for (int64_t panel = 0; panel < panels; ++panel) {
    const char* const b = p.b + panel * p.b_panel_bytes;
    for (int64_t step = 0; step < p.steps; step += chunk) {
      const int64_t steps = p.steps - step < chunk ? p.steps - step : chunk;
      const bool last = step + steps == p.steps;
      Next next;
      next.at = !last                ? b + (step + steps) * kStepOfPanel
                : panel + 1 < panels ? b + p.b_panel_bytes
                                     : p.fetch_last;
      if (p.fetches && next.at != nullptr) {
        next.step_bytes = (chunk * kStepOfPanel / 64 + pairs * steps - 1) / (pairs * steps) * 64;
      }
      const AmxSums& before = step == 0 ? p.before : between;
      const AmxSums& after = last ? p.c : between;
      for (int64_t row = 0; row < p.a.rows; row += kTwoBlocks) {
        const Left left = {p.a.rows - row, p.columns - panel * kPanel};
        const auto part = [&]<int kBlocks, bool kShort>() {
          multiply_part<kBlocks, kShort>(tiles, p, row, step, steps, b + step * kStepOfPanel, next,
                                         before, place(before, row, panel), after,
                                         place(after, row, panel), left);
        };
        if (left.rows <= kAmxRows) {
          part.operator()<1, false>();
        } else if (chunk == kChunkSteps) {
          part.operator()<2, false>();
        } else {
          part.operator()<2, true>();
        }
      }
    }
  }
}

// One block of rows takes two panels side by side: with the two sums of one, every product would
// wait for the last but one, 52 cycles for 32.
void multiply_bf16(const AmxArgs& p) {
  if (p.a.rows > kTwoBlocks) return multiply_many(p);
  Tiles tiles;
  const int64_t panels = (p.columns + kPanel - 1) / kPanel;
  for (int64_t panel = 0; panel < panels; ++panel) {
    if (p.a.rows > kAmxRows) {
      multiply_few<2, 1>(tiles, p, panel);
    } else if (panel + 1 < panels) {
      multiply_few<1, 2>(tiles, p, panel++);
    } else {
      multiply_few<1, 1>(tiles, p, panel);
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
