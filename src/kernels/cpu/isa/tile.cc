// Register tiles of matrix products: up to tile_rows rows by one panel of 32 columns, or several
// panels when rows are few; or up to six rows by two panels.
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
// Half as many rows by two panels: as many accumulators, but 10 loads a term, not 14.
constexpr int kPairRows = kVectorsPerPanel == 2 ? 6 : 0;

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

// sum += a * b, in the register where the sum is: among many sums GCC 12 moves some to others.
[[maybe_unused]] LOOPLM_INLINE void add_product(V a, V b, V& sum) {
#if defined(__AVX512F__)
  asm("vfmadd231ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
#else
  sum = fma(a, b, sum);
#endif
}

// Whole groups of four terms of a tile of most rows, in fp32; returns how many terms that are.
// Where a core's instructions are the bound, those of the loop itself count. Two pointers to A and
// the stride give all addresses; GCC 12 would keep, and move on, one for every row.
template <Rows kA, int kRows, int kPanels, int kVectors>
LOOPLM_INLINE int64_t add_terms(const TileArgs& t, const float* a, const char* column,
                                V (&sum)[kRows][kPanels][kVectors]) {
  constexpr int kHalf = kRows / 2, kTerms = 4;
  const int64_t stride = kA == Rows::kInPlace ? t.a_row_stride : t.a_term_stride;
  const float* halves[2] = {a, a + slot<kA>(kHalf, 0, stride)};
  const char* panels[kPanels];
  for (int p = 0; p < kPanels; ++p) panels[p] = column + p * t.b_panel_bytes;
  int64_t i = 0;
  for (; i + kTerms <= t.terms; i += kTerms) {
    asm("" : "+r"(halves[0]), "+r"(halves[1]));
    for (const char*& panel : panels) asm("" : "+r"(panel));
#pragma GCC unroll 4
    for (int k = 0; k < kTerms; ++k) {
      V b[kPanels][kVectors];
#pragma GCC unroll 2
      for (int p = 0; p < kPanels; ++p) {
#pragma GCC unroll 2
        for (int g = 0; g < kVectors; ++g) {
          b[p][g] = load_stored<Stored::kF32>(panels[p] + k * kPanel * 4 + g * kVectorBytes);
        }
      }
#pragma GCC unroll 6
      for (int m = 0; m < kRows; ++m) {
        const V av = set1(halves[m / kHalf][slot<kA>(m % kHalf, k, stride)]);
#pragma GCC unroll 2
        for (int p = 0; p < kPanels; ++p) {
#pragma GCC unroll 2
          for (int g = 0; g < kVectors; ++g) add_product(av, b[p][g], sum[m][p][g]);
        }
      }
    }
    for (const float*& half : halves) half += slot<kA>(0, kTerms, stride);
    for (const char*& panel : panels) panel += kTerms * kPanel * 4;
  }
  return i;
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
    int64_t i = 0;
    constexpr bool kPair = kPanels == 2 && kRows == kPairRows;
    constexpr bool kMostRows = kPairRows == 0 && kRows == kTileRows && kType == Stored::kF32;
    if constexpr (kPair || kMostRows) {
      if (kPair || !t.fetches) i = add_terms<kA>(t, a, column, sum);
      column += i * kPanel * kElement;
    }
    for (; i < t.terms; ++i, column += kPanel * kElement) {
      if constexpr (kRows > 2 && kPanels == 1 && kType == Stored::kF32) fetch.next();
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
      for (int64_t i = 0; i < kPanels * kPanel; i += 16) __builtin_prefetch(row + i, 1);
    }
    for (int p = 0; p < kPanels; ++p) {
      const char* later = b + p * t.b_panel_bytes + t.ahead;
      for (int64_t i = 0; i < t.ahead_bytes; i += 64) __builtin_prefetch(later + i, 0, 2);
    }
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
  if constexpr (kRows > 2 && kRows <= kPairRows && !kBf16 && kType == Stored::kF32) {
    for (; t.pairs && column + kPanel < t.columns; column += 2 * kPanel) {
      panels_of_tile<kRows, 2, kBf16, kA, kType>(t, b, column);
      b += 2 * t.b_panel_bytes;
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

}  // namespace

void add_tile_kernels(KernelTable& table) {
  table.tile_rows = kTileRows;
  table.pair_rows = kPairRows;
  table.bf16_dot = kBf16Dot;
  table.tile_f32 = tile<false, Rows::kPrepared>;
  table.tile_bf16 = tile<true, Rows::kPrepared>;
  table.tile_f32_by_bf16 = tile<false, Rows::kPrepared, Stored::kBf16>;
  table.tile_f32_by_int8 = tile<false, Rows::kPrepared, Stored::kInt8>;
  table.tile_f32_interleaved = tile<false, Rows::kInterleaved>;
  table.tile_bf16_interleaved = tile<true, Rows::kInterleaved>;
  table.tile_f32_in_place = tile<false, Rows::kInPlace>;
}

}  // namespace looplm::cpu::LOOPLM_ISA_NAMESPACE
