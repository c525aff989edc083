// Register tiles of matrix products: up to tile_rows rows by one panel of 32 columns, or several
// panels when rows are few.
#include "kernels/cpu/isa/bf16_rounding.h"
#include "kernels/cpu/isa/dot_pairs.h"
#include "kernels/cpu/isa/isa_kernels.h"

namespace looplm::cpu::LOOPLM_ISA_NAMESPACE {
namespace {

constexpr int kVectorsPerPanel = static_cast<int>(kPanel) / kLanes;
#if defined(__AVX512F__)
// 12 x 2 accumulators of 32 registers; the rest holds B and one broadcast.
constexpr int kTileRows = 12;
#else
constexpr int kTileRows = 6;  // 6 x 2 accumulators of 16 registers
#endif
static_assert(kTileRows <= kMaxTileRows);

// How many vectors of a panel a pass over the terms covers, and how many panels at once. Few rows
// take more columns, because independent sums must hide the latency of the multiply-add (4 cycles x
// 2 per cycle). From three rows on, one panel is enough for a memory's pace, and one stream is
// fetched better than several.
constexpr int vectors_at_once(int rows) {
  if (kVectorsPerPanel == 2) return 2;
  return rows == 1 ? kVectorsPerPanel : rows <= 3 ? 4 : 2;
}
constexpr int panels_at_once(int rows) {
  if (kVectorsPerPanel == 2) return rows <= 2 ? 4 : 1;
  return kVectorsPerPanel == 4 && rows == 1 ? 2 : 1;
}

// How A lies: prepared rows, the rows of a term side by side, or rows as the caller has them.
enum class Rows { kPrepared, kInterleaved, kInPlace };

// `stride` is between terms of interleaved rows, or between rows in place.
template <Rows kA>
LOOPLM_INLINE int64_t slot(int row, int64_t term, int64_t stride) {
  if constexpr (kA == Rows::kInterleaved) return term * stride + row;
  return row * (kA == Rows::kInPlace ? stride : kRowStride) + term;
}

// How fp32 products find B: as it is, or stored in a smaller type and widened on the way (keys and
// values). bf16 is stored in pairs of terms.
enum class Stored { kF32, kBf16, kInt8 };
constexpr int64_t stored_bytes(Stored type) { return type == Stored::kF32 ? 4 : 1; }

template <Stored kType>
LOOPLM_INLINE V load_stored(const char* p) {
  if constexpr (kType == Stored::kF32) {
    return load(reinterpret_cast<const float*>(p));
  } else {
    return widen_int8(reinterpret_cast<const int8_t*>(p));
  }
}

// Calls for lines of B into the first cache, a little with every term: memory should be busy while
// this call computes.
struct Fetch {
  const char* at;
  int64_t step;  // bytes per column of terms; a column is two lines
  LOOPLM_INLINE void next() {
    __builtin_prefetch(at);
    __builtin_prefetch(at + step / 2);
    at += step;
  }
};

template <int kPanels, int kVectors>
LOOPLM_INLINE void load_pairs(const char* column, int64_t panel_bytes,
                              VI (&pairs)[kPanels][kVectors]) {
#pragma GCC unroll 16
  for (int p = 0; p < kPanels; ++p) {
#pragma GCC unroll 16
    for (int g = 0; g < kVectors; ++g) {
      pairs[p][g] = load_words(column + p * panel_bytes + g * kVectorBytes);
    }
  }
}

// One term, in fp32.
template <Rows kA, int kRows, int kPanels, int kVectors>
LOOPLM_INLINE void add_term(const float* a, int64_t term, int64_t stride,
                            const V (&b)[kPanels][kVectors], V (&sum)[kRows][kPanels][kVectors]) {
#pragma GCC unroll 16
  for (int m = 0; m < kRows; ++m) {
    const V av = set1(a[slot<kA>(m, term, stride)]);
#pragma GCC unroll 16
    for (int p = 0; p < kPanels; ++p) {
#pragma GCC unroll 16
      for (int g = 0; g < kVectors; ++g) sum[m][p][g] = fma(av, b[p][g], sum[m][p][g]);
    }
  }
}

// The odd or the even term of pairs, widened.
template <bool kOdd, Rows kA, int kRows, int kPanels, int kVectors>
LOOPLM_INLINE void add_half(const float* a, int64_t term, int64_t stride,
                            const VI (&pairs)[kPanels][kVectors],
                            V (&sum)[kRows][kPanels][kVectors]) {
  V wide[kPanels][kVectors];
#pragma GCC unroll 16
  for (int p = 0; p < kPanels; ++p) {
#pragma GCC unroll 16
    for (int g = 0; g < kVectors; ++g) {
      wide[p][g] = kOdd ? upper_of_pairs(pairs[p][g]) : lower_of_pairs(pairs[p][g]);
    }
  }
  add_term<kA>(a, term, stride, wide, sum);
}

// Sums over one chunk of terms for kRows rows and kVectors vectors of each of kPanels panels,
// starting `vector` vectors into the panel.
template <int kRows, int kPanels, int kVectors, bool kBf16, Rows kA, Stored kType>
LOOPLM_INLINE void accumulate(const TileArgs& t, const char* b, int vector, Fetch& fetch,
                              V (&sum)[kRows][kPanels][kVectors]) {
  const int64_t stride = kA == Rows::kInPlace ? t.a_row_stride : t.a_term_stride;
  if constexpr (!kBf16 && kType == Stored::kBf16) {
    const float* a = static_cast<const float*>(t.a);
    const char* column = b + vector * kVectorBytes;
    VI pairs[kPanels][kVectors];
    int64_t i = 0;
    for (; i + 2 <= t.terms; i += 2, column += kPanel * sizeof(uint32_t)) {
      load_pairs(column, t.b_panel_bytes, pairs);
      add_half<false, kA>(a, i, stride, pairs, sum);
      add_half<true, kA>(a, i + 1, stride, pairs, sum);
    }
    if (i < t.terms) {  // what the last term is paired with may be anything
      load_pairs(column, t.b_panel_bytes, pairs);
      add_half<false, kA>(a, i, stride, pairs, sum);
    }
  } else if constexpr (!kBf16) {
    const float* a = static_cast<const float*>(t.a);
    constexpr int64_t kElement = stored_bytes(kType);
    const char* column = b + vector * kLanes * kElement;
    for (int64_t i = 0; i < t.terms; ++i, column += kPanel * kElement) {
      if constexpr (kRows > 2 && kType == Stored::kF32) fetch.next();
      V bv[kPanels][kVectors];
#pragma GCC unroll 16
      for (int p = 0; p < kPanels; ++p) {
#pragma GCC unroll 16
        for (int g = 0; g < kVectors; ++g) {
          bv[p][g] = load_stored<kType>(column + p * t.b_panel_bytes + g * kLanes * kElement);
        }
      }
      add_term<kA>(a, i, stride, bv, sum);
    }
  } else {
    const int64_t pairs = t.terms / 2;
    const char* column = b + vector * kVectorBytes;
    for (int64_t j = 0; j < pairs; ++j, column += kPanel * sizeof(uint32_t)) {
      if constexpr (kRows > 2) fetch.next();
      VI bv[kPanels][kVectors];
      load_pairs(column, t.b_panel_bytes, bv);
      if constexpr (kBf16Dot) {
        const uint32_t* a = static_cast<const uint32_t*>(t.a);
#pragma GCC unroll 16
        for (int m = 0; m < kRows; ++m) {
          const uint32_t pair = a[slot<kA>(m, j, stride)];
#pragma GCC unroll 16
          for (int p = 0; p < kPanels; ++p) {
#pragma GCC unroll 16
            for (int g = 0; g < kVectors; ++g)
              sum[m][p][g] = dot_pairs(pair, bv[p][g], sum[m][p][g]);
          }
        }
      } else {
        const float* a = static_cast<const float*>(t.a);  // the odd term of each pair comes first
        add_half<true, kA>(a, 2 * j, stride, bv, sum);
        add_half<false, kA>(a, 2 * j + 1, stride, bv, sum);
      }
    }
  }
}

LOOPLM_INLINE void finish(V sum, float* c, int64_t columns, bool accumulate_into) {
  if (columns <= 0) return;
  const int64_t n = columns < kLanes ? columns : kLanes;
  if (accumulate_into) sum = load_some(c, n) + sum;
  store_some(c, sum, n);
}

template <int kRows, int kPanels, bool kBf16, Rows kA, Stored kType>
void panels_of_tile(const TileArgs& t, const char* b, int64_t first_column) {
  constexpr int kVectors = vectors_at_once(kRows);
  if constexpr (kRows > 4) {  // C comes from far away, and is needed only when the sums are done
    for (int m = 0; m < kRows; ++m) {
      const float* row = t.c + m * t.c_row_stride + first_column;
      __builtin_prefetch(row, 1);
      __builtin_prefetch(row + 16, 1);
    }
    for (int64_t i = 0; i < t.ahead_bytes; i += 64) __builtin_prefetch(b + t.ahead + i, 0, 2);
  }
  constexpr int64_t kColumnTerms = kBf16 ? 2 : 1;
  const int64_t term_columns = t.terms / kColumnTerms * (kVectorsPerPanel / kVectors);
  Fetch fetch = {b + t.fetch, t.fetch_bytes > 0 ? t.fetch_bytes / term_columns : 0};
  const bool whole = first_column + kPanels * kPanel <= t.columns;
  for (int vector = 0; vector < kVectorsPerPanel; vector += kVectors) {
    V sum[kRows][kPanels][kVectors] = {};
    accumulate<kRows, kPanels, kVectors, kBf16, kA, kType>(t, b, vector, fetch, sum);
#pragma GCC unroll 16
    for (int m = 0; m < kRows; ++m) {
#pragma GCC unroll 16
      for (int p = 0; p < kPanels; ++p) {
#pragma GCC unroll 16
        for (int g = 0; g < kVectors; ++g) {
          const int64_t column = first_column + p * kPanel + (vector + g) * kLanes;
          float* c = t.c + m * t.c_row_stride + column;
          if (whole) {
            store(c, t.accumulate ? load(c) + sum[m][p][g] : sum[m][p][g]);
          } else {
            finish(sum[m][p][g], c, t.columns - column, t.accumulate);
          }
        }
      }
    }
  }
}

template <int kRows, bool kBf16, Rows kA, Stored kType>
void rows_of_tile(const TileArgs& t) {
  constexpr int kPanels = panels_at_once(kRows);
  const char* b = static_cast<const char*>(t.b);
  int64_t column = 0;
  if constexpr (kPanels > 1) {
    for (; column + (kPanels - 1) * kPanel < t.columns; column += kPanels * kPanel) {
      panels_of_tile<kRows, kPanels, kBf16, kA, kType>(t, b, column);
      b += kPanels * t.b_panel_bytes;
    }
  }
  for (; column < t.columns; column += kPanel, b += t.b_panel_bytes) {
    panels_of_tile<kRows, 1, kBf16, kA, kType>(t, b, column);
  }
}

template <bool kBf16, Rows kA, Stored kType = Stored::kF32>
void tile(const TileArgs& t) {
  switch (t.rows) {
    case 1:
      return rows_of_tile<1, kBf16, kA, kType>(t);
    case 2:
      return rows_of_tile<2, kBf16, kA, kType>(t);
    case 3:
      return rows_of_tile<3, kBf16, kA, kType>(t);
    case 4:
      return rows_of_tile<4, kBf16, kA, kType>(t);
    case 5:
      return rows_of_tile<5, kBf16, kA, kType>(t);
    case 6:
      return rows_of_tile<6, kBf16, kA, kType>(t);
#if defined(__AVX512F__)
    case 7:
      return rows_of_tile<7, kBf16, kA, kType>(t);
    case 8:
      return rows_of_tile<8, kBf16, kA, kType>(t);
    case 9:
      return rows_of_tile<9, kBf16, kA, kType>(t);
    case 10:
      return rows_of_tile<10, kBf16, kA, kType>(t);
    case 11:
      return rows_of_tile<11, kBf16, kA, kType>(t);
    case 12:
      return rows_of_tile<12, kBf16, kA, kType>(t);
#endif
    default:
      __builtin_trap();  // the caller splits rows by tile_rows
  }
}

// Calls for row m of A, which lies far from the row before and is short.
LOOPLM_INLINE void prefetch_row(const PrepareRowsArgs& p, int64_t m) {
  if (p.term_stride != 1 || m >= p.rows) return;
  for (int64_t i = 0; i < p.terms; i += 16) __builtin_prefetch(p.source + m * p.row_stride + i);
}

void prepare_rows_f32(const PrepareRowsArgs& p) {
  for (int64_t m = 0; m < p.rows; ++m) {
    prefetch_row(p, m + 1);
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
template <typename Put>
LOOPLM_INLINE void for_rows(const PrepareRowsArgs& p, int64_t term, int64_t place, Put put) {
  static_assert(kLanes <= kRowStride - kChunk);
  constexpr int64_t kTermsAhead = 4;
  const float* ahead = p.source + (term + kTermsAhead < p.terms ? kTermsAhead : 0) * p.term_stride;
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
    for_rows(p, i, i, [&](int64_t row, int64_t lanes, int64_t slot) {
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

// Whole vectors of consecutive terms: the same slots as store_pair fills. Returns the terms done.
LOOPLM_INLINE int64_t prepare_vectors(const float* source, int64_t terms, uint32_t* out) {
  int64_t i = 0;
  if constexpr (kBf16Dot) {
    for (; i + 2 * kLanes <= terms; i += 2 * kLanes) round_two_vectors(source + i, out + i / 2);
  } else {
    for (; i + kLanes <= terms; i += kLanes) {
      const VI high = rounded_to_bf16(source + i);
      VI swapped;
      for (int lane = 0; lane < kLanes; ++lane) swapped[lane] = high[lane ^ 1];
      memcpy(out + i, &swapped, sizeof(swapped));
    }
  }
  return i;
}

void prepare_rows_bf16(const PrepareRowsArgs& p) {
  for (int64_t m = 0; m < p.rows; ++m) {
    prefetch_row(p, m + 1);
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

void prepare_interleaved_bf16(const PrepareRowsArgs& p) {
  // A term that is missing is zero.
  const auto term = [&](int64_t i, int64_t row, int64_t lanes) {
    if (i >= p.terms) return V{};
    return load_some(p.source + i * p.term_stride + row, lanes);
  };
  uint32_t* out = static_cast<uint32_t*>(p.out);
  const auto put = [&](int64_t slot, VI words) { memcpy(out + slot, &words, sizeof(words)); };
  for (int64_t i = 0; i < p.terms; i += 2) {
    if constexpr (kBf16Dot) {
      for_rows(p, i, i / 2, [&](int64_t row, int64_t lanes, int64_t slot) {
        put(slot, rounded_pairs(term(i, row, lanes), term(i + 1, row, lanes)));
      });
    } else {  // the odd term comes first
      for (int64_t odd = 1; odd >= 0; --odd) {
        for_rows(p, i + odd, i + 1 - odd, [&](int64_t row, int64_t lanes, int64_t slot) {
          put(slot, rounded_to_bf16(term(i + odd, row, lanes)));
        });
      }
    }
  }
}

void pair_rows_bf16(const float* even, const float* odd, int64_t n, uint32_t* out) {
  for_vectors(n, [&](int64_t i, int64_t lanes) {
    const VI pairs = rounded_pairs(load_some(even + i, lanes), load_some(odd + i, lanes));
    store_words(out + i, pairs, lanes);
  });
}

}  // namespace

void add_tile_kernels(KernelTable& table) {
  table.tile_rows = kTileRows;
  table.bf16_dot = kBf16Dot;
  table.prepare_rows_f32 = prepare_rows_f32;
  table.prepare_rows_bf16 = prepare_rows_bf16;
  table.prepare_interleaved_f32 = prepare_interleaved_f32;
  table.prepare_interleaved_bf16 = prepare_interleaved_bf16;
  table.pair_rows_bf16 = pair_rows_bf16;
  table.tile_f32 = tile<false, Rows::kPrepared>;
  table.tile_bf16 = tile<true, Rows::kPrepared>;
  table.tile_f32_by_bf16 = tile<false, Rows::kPrepared, Stored::kBf16>;
  table.tile_f32_by_int8 = tile<false, Rows::kPrepared, Stored::kInt8>;
  table.tile_f32_interleaved = tile<false, Rows::kInterleaved>;
  table.tile_bf16_interleaved = tile<true, Rows::kInterleaved>;
  table.tile_f32_in_place = tile<false, Rows::kInPlace>;
}

}  // namespace looplm::cpu::LOOPLM_ISA_NAMESPACE
