// Rows of A as tiles read them: copied, rounded to bf16, or with the rows of a term side by side.
#include "kernels/cpu/isa/bf16_rounding.h"
#include "kernels/cpu/isa/dot_pairs.h"
#include "kernels/cpu/isa/isa_kernels.h"

namespace looplm::cpu::LOOPLM_ISA_NAMESPACE {
namespace {

// Calls for row m of A, which lies far from the row before and is short.
template <typename Element>
LOOPLM_INLINE void prefetch_row(const PrepareRowsArgs& p, const Element* source, int64_t m) {
  constexpr int64_t kLine = 64 / static_cast<int64_t>(sizeof(Element));
  if (p.term_stride != 1 || m >= p.rows) return;
  for (int64_t i = 0; i < p.terms; i += kLine) __builtin_prefetch(source + m * p.row_stride + i);
}

void prepare_rows_f32(const PrepareRowsArgs& p) {
  for (int64_t m = 0; m < p.rows; ++m) {
    prefetch_row(p, p.source, m + 1);
    const float* source = p.source + m * p.row_stride;
    float* out = static_cast<float*>(p.out) + m * kRowStride;
    if (p.term_stride == 1) {
      memcpy(out, source, static_cast<size_t>(p.terms) * sizeof(float));
    } else {
      for (int64_t i = 0; i < p.terms; ++i) out[i] = source[i * p.term_stride];
    }
  }
}

// Calls put(row, lanes, slot) for vectors of the rows of term `term`, tile after tile, where slot
// is where the term, as number `place` of its tile, is to be put. Whole vectors may be put there:
// what they have beyond the tile's rows falls on the tile's next place, or into the room behind
// the last one. So places must be filled in order.
template <typename Element, typename Put>
LOOPLM_INLINE void for_rows(const PrepareRowsArgs& p, const Element* source, int64_t term,
                            int64_t place, Put put) {
  static_assert(kLanes <= kRowStride - kChunk);
  constexpr int64_t kTermsAhead = 4;
  const Element* ahead = source + (term + kTermsAhead < p.terms ? kTermsAhead : 0) * p.term_stride;
  for (int64_t first = 0; first < p.rows; first += p.tile_rows) {
    __builtin_prefetch(ahead + term * p.term_stride + first);
    const int64_t left = p.rows - first;
    const int64_t rows = left < p.tile_rows ? left : p.tile_rows;
    for (int64_t m = 0; m < rows; m += kLanes) {
      put(first + m, left - m < kLanes ? left - m : static_cast<int64_t>(kLanes),
          first * kRowStride + place * rows + m);
    }
  }
}

void prepare_interleaved_f32(const PrepareRowsArgs& p) {
  float* out = static_cast<float*>(p.out);
  for (int64_t i = 0; i < p.terms; ++i) {
    const float* source = p.source + i * p.term_stride;
    for_rows(p, p.source, i, i, [&](int64_t row, int64_t lanes, int64_t slot) {
      store(out + slot, load_some(source + row, lanes));
    });
  }
}

LOOPLM_INLINE void store_pair(void* out, int64_t even_slot, int64_t odd_first_slot,
                              int64_t even_term_slot, uint32_t pair) {
  if constexpr (kBf16Dot) {
    static_cast<uint32_t*>(out)[even_slot] = pair;
  } else {
    static_cast<uint32_t*>(out)[odd_first_slot] = pair & 0xffff0000u;
    static_cast<uint32_t*>(out)[even_term_slot] = pair << 16;
  }
}

// The odd term of each pair first.
LOOPLM_INLINE void store_odd_first(uint32_t* out, VI high) {
  VI swapped;
  for (int lane = 0; lane < kLanes; ++lane) swapped[lane] = high[lane ^ 1];
  memcpy(out, &swapped, sizeof(swapped));
}

// Whole vectors of consecutive terms: the same slots as store_pair fills. Returns the terms done.
LOOPLM_INLINE int64_t prepare_vectors(const float* source, int64_t terms, uint32_t* out) {
  int64_t i = 0;
  if constexpr (kBf16Dot) {
    for (; i + 2 * kLanes <= terms; i += 2 * kLanes) round_two_vectors(source + i, out + i / 2);
  } else {
    for (; i + kLanes <= terms; i += kLanes) store_odd_first(out + i, rounded_to_bf16(source + i));
  }
  return i;
}

// Rows that are rounded already.
void prepare_rounded_rows(const PrepareRowsArgs& p) {
  for (int64_t m = 0; m < p.rows; ++m) {
    prefetch_row(p, p.rounded, m + 1);
    const uint16_t* source = p.rounded + m * p.row_stride;
    uint32_t* out = static_cast<uint32_t*>(p.out) + m * kRowStride;
    if constexpr (kBf16Dot) {
      memcpy(out, source, static_cast<size_t>(p.terms) * sizeof(*source));
      if (p.terms % 2 != 0) out[p.terms / 2] = source[p.terms - 1];
    } else {
      int64_t i = 0;
      for (; i + kLanes <= p.terms; i += kLanes) {
        store_odd_first(out + i, load_halves_as_words(source + i, kLanes) << 16);
      }
      for (; i < p.terms; i += 2) {
        const uint32_t even = source[i], odd = i + 1 < p.terms ? source[i + 1] : 0u;
        store_pair(p.out, 0, m * kRowStride + i, m * kRowStride + i + 1, even | odd << 16);
      }
    }
  }
}

void prepare_rows_bf16(const PrepareRowsArgs& p) {
  if (p.rounded != nullptr) return prepare_rounded_rows(p);
  for (int64_t m = 0; m < p.rows; ++m) {
    prefetch_row(p, p.source, m + 1);
    const float* source = p.source + m * p.row_stride;
    const int64_t base = m * kRowStride;
    int64_t done = 0;
    if (p.term_stride == 1)
      done = prepare_vectors(source, p.terms, static_cast<uint32_t*>(p.out) + base);
    for (int64_t i = done; i < p.terms; i += 2) {
      store_pair(p.out, base + i / 2, base + i, base + i + 1,
                 pair_bits(source, i, p.terms, p.term_stride));
    }
  }
}

// `pairs` and `halves` make words of two terms, or of one, from lanes of rows; a term that is
// missing is null.
template <typename Element, typename Pairs, typename Halves>
LOOPLM_INLINE void interleave(const PrepareRowsArgs& p, const Element* source,
                              [[maybe_unused]] Pairs pairs, [[maybe_unused]] Halves halves) {
  const auto term = [&](int64_t i, int64_t row) {
    return i < p.terms ? source + i * p.term_stride + row : nullptr;
  };
  uint32_t* out = static_cast<uint32_t*>(p.out);
  const auto put = [&](int64_t slot, VI words) { memcpy(out + slot, &words, sizeof(words)); };
  for (int64_t i = 0; i < p.terms; i += 2) {
    if constexpr (kBf16Dot) {
      for_rows(p, source, i, i / 2, [&](int64_t row, int64_t lanes, int64_t slot) {
        put(slot, pairs(term(i, row), term(i + 1, row), lanes));
      });
    } else {  // the odd term comes first
      for (int64_t odd = 1; odd >= 0; --odd) {
        for_rows(p, source, i + odd, i + 1 - odd, [&](int64_t row, int64_t lanes, int64_t slot) {
          put(slot, halves(term(i + odd, row), lanes));
        });
      }
    }
  }
}

// Lanes of what is there; otherwise zeros.
LOOPLM_INLINE V load_or_zero(const float* p, int64_t n) {
  return p == nullptr ? V{} : load_some(p, n);
}
LOOPLM_INLINE VI load_or_zero(const uint16_t* p, int64_t n) {
  return p == nullptr ? VI{} : load_halves_as_words(p, n);
}

void prepare_interleaved_bf16(const PrepareRowsArgs& p) {
  if (p.rounded != nullptr) {
    interleave(
        p, p.rounded,
        [](const uint16_t* even, const uint16_t* odd, int64_t lanes) {
          return load_or_zero(even, lanes) | load_or_zero(odd, lanes) << 16;
        },
        [](const uint16_t* x, int64_t lanes) { return load_or_zero(x, lanes) << 16; });
    return;
  }
  interleave(
      p, p.source,
      [](const float* even, const float* odd, int64_t lanes) {
        return rounded_pairs(load_or_zero(even, lanes), load_or_zero(odd, lanes));
      },
      [](const float* x, int64_t lanes) { return rounded_to_bf16(load_or_zero(x, lanes)); });
}

void pair_rows_bf16(const float* even, const float* odd, int64_t n, uint32_t* out) {
  for_vectors(n, [&](int64_t i, int64_t lanes) {
    const VI pairs = rounded_pairs(load_some(even + i, lanes), load_some(odd + i, lanes));
    store_words(out + i, pairs, lanes);
  });
}

void pair_rounded_rows(const uint16_t* even, const uint16_t* odd, int64_t n, uint32_t* out) {
  for_vectors(n, [&](int64_t i, int64_t lanes) {
    const VI pairs = load_halves_as_words(even + i, lanes) | load_halves_as_words(odd + i, lanes)
                                                                 << 16;
    store_words(out + i, pairs, lanes);
  });
}

}  // namespace

void add_prepare_kernels(KernelTable& table) {
  table.prepare_rows_f32 = prepare_rows_f32;
  table.prepare_rows_bf16 = prepare_rows_bf16;
  table.prepare_interleaved_f32 = prepare_interleaved_f32;
  table.prepare_interleaved_bf16 = prepare_interleaved_bf16;
  table.pair_rows_bf16 = pair_rows_bf16;
  table.pair_rounded_rows = pair_rounded_rows;
}

}  // namespace looplm::cpu::LOOPLM_ISA_NAMESPACE
