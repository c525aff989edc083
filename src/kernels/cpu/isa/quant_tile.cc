// Register tiles of products of small integers with few rows: up to 6 by one panel of 32 columns.
#include "kernels/cpu/isa/quant_vec.h"

namespace looplm::cpu::LOOPLM_ISA_NAMESPACE {
namespace {

#if defined(__AVX512F__)
constexpr int kTileRows = 6;  // 6 x 2 integer and as many fp32 sums
#else
constexpr int kTileRows = 4;  // 4 x 2 integer sums; the fp32 ones wait in memory meanwhile
#endif

// How many vectors of a panel are summed at a time, over a group of terms.
constexpr int vectors_at_once(int rows) { return rows == 1 && kVectorsPerPanel > 2 ? 4 : 2; }

#if defined(__AVX2__) && !defined(__AVX512VNNI__)
#define LOOPLM_PAIRS_OF_BYTES
// Without a dot product of bytes, there are products of unsigned and signed ones, added in pairs
// to 16 bits. Sixteen of at most 15 * 127 fit. int8's would not: they are multiplied as words of 16
// bits, the first and third of four terms apart from the others.
//
// How many terms of int4 are added before the sums are widened.
constexpr int64_t kFoldTerms = 32;
// Levels of int8, which are q + 128, or as many terms of A.
struct Words {
  __m256i even, odd;
};
// A group's terms of A as their products take them.
template <int kRows>
struct GroupTerms {
  alignas(32) int32_t even[kRows][kQuantGroup / 4], odd[kRows][kQuantGroup / 4];

  LOOPLM_INLINE GroupTerms(const QuantTileArgs& t, int64_t g) {
    for (int m = 0; m < kRows; ++m) {
      const int8_t* row = t.a + m * t.a_row_stride + g * kQuantGroup;
      for (int64_t i = 0; i < kQuantGroup / 4; i += kLanes) {
        const VI bytes = load_words(reinterpret_cast<const char*>(row + 4 * i));
        const __m256i x = reinterpret_cast<__m256i>(bytes);
        const __m256i lower = _mm256_srai_epi16(_mm256_slli_epi16(x, 8), 8);
        const __m256i upper = _mm256_srai_epi16(x, 8);
        memcpy(even[m] + i, &lower, sizeof(lower));
        memcpy(odd[m] + i, &upper, sizeof(upper));
      }
    }
  }
  LOOPLM_INLINE Words four(const int8_t*, int m, int64_t s) const {
    return {reinterpret_cast<__m256i>(broadcast(even[m][s / 4])),
            reinterpret_cast<__m256i>(broadcast(odd[m][s / 4]))};
  }
};

LOOPLM_INLINE Words int8_words(VI levels) {
  const __m256i x = reinterpret_cast<__m256i>(levels);
  return {_mm256_and_si256(x, _mm256_set1_epi16(0xff)), _mm256_srli_epi16(x, 8)};
}
LOOPLM_INLINE VI dot_int8(VI sum, const Words& w, const Words& a) {
  return sum + reinterpret_cast<VI>(_mm256_madd_epi16(w.even, a.even)) +
         reinterpret_cast<VI>(_mm256_madd_epi16(w.odd, a.odd));
}
LOOPLM_INLINE VI dot_int4(VI sum, VI w, VI a) {
  return reinterpret_cast<VI>(_mm256_add_epi16(
      reinterpret_cast<__m256i>(sum),
      _mm256_maddubs_epi16(reinterpret_cast<__m256i>(w), reinterpret_cast<__m256i>(a))));
}
LOOPLM_INLINE VI folded(VI sum) {
  return reinterpret_cast<VI>(
      _mm256_madd_epi16(reinterpret_cast<__m256i>(sum), _mm256_set1_epi16(1)));
}
#else
constexpr int64_t kFoldTerms = kQuantGroup;
template <int kRows>
struct GroupTerms {
  LOOPLM_INLINE GroupTerms(const QuantTileArgs&, int64_t) {}
  LOOPLM_INLINE VI four(const int8_t* row, int, int64_t s) const { return broadcast_four(row + s); }
};

// sum + the four products of unsigned w and signed a in each 32-bit lane.
LOOPLM_INLINE VI dot4(VI sum, VI w, VI a) {
#if defined(__AVX512VNNI__)
  return reinterpret_cast<VI>(_mm512_dpbusd_epi32(
      reinterpret_cast<__m512i>(sum), reinterpret_cast<__m512i>(w), reinterpret_cast<__m512i>(a)));
#else
  for (int k = 0; k < 4; ++k) sum += ((w >> (8 * k)) & 0xff) * ((a << (24 - 8 * k)) >> 24);
  return sum;
#endif
}
LOOPLM_INLINE VI int8_words(VI levels) { return levels; }
LOOPLM_INLINE VI dot_int8(VI sum, VI w, VI a) { return dot4(sum, w, a); }
LOOPLM_INLINE VI dot_int4(VI sum, VI w, VI a) { return dot4(sum, w, a); }
LOOPLM_INLINE VI folded(VI sum) { return sum; }
#endif

// Calls for the same part of what is read t.fetch bytes later. One to four rows call it into the
// first cache: on an Ice Lake, into the second one took 4 to 30% longer.
template <int kRows, bool kFetch, int kVectors>
LOOPLM_INLINE void prefetch_step([[maybe_unused]] const QuantTileArgs& t,
                                 [[maybe_unused]] const char* data) {
  if constexpr (kFetch) {
    constexpr int kLocality = kRows > 4 ? 2 : 3;
    for (int i = 0; i < kVectors * kVectorBytes; i += 64) {
      __builtin_prefetch(data + t.fetch + i, 0, kLocality);
    }
  }
}

template <int kRows>
using Sums = V[kRows][kVectorsPerPanel];

// Group g, of kVectors vectors from `vector` on.
template <int kRows, int kVectors, bool kFetch>
LOOPLM_INLINE void add_int4_group(const QuantTileArgs& t, int64_t g, const char* block, int vector,
                                  Sums<kRows>& sum) {
  // The upper halves of int4's bytes as they lie: 16 times the levels, and whole sums of such stay
  // exact in 32 bits. With more rows there are no registers to sum them apart.
  constexpr bool kApart = kRows == 1 && kFoldTerms == kQuantGroup;
  const int8_t* a = t.a + g * kQuantGroup;
  const char* data = block + kInt4HeaderBytes + vector * kVectorBytes;
  VI dots[kRows][kVectors] = {};
  for (int64_t fold = 0; fold < kQuantGroup; fold += kFoldTerms) {
    VI part[kRows][kVectors] = {}, upper[kRows][kVectors] = {};
#if defined(LOOPLM_PAIRS_OF_BYTES)  // GCC 12 unrolls all of it, and then moves sums to and fro
#pragma GCC unroll 1
#endif
    for (int64_t s = fold; s < fold + kFoldTerms; s += 8, data += kQuantStepBytes) {
      prefetch_step<kRows, kFetch, kVectors>(t, data);
      VI low[kVectors], high[kVectors];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        const VI bytes = load_words_once(data + v * kVectorBytes);
        low[v] = bytes & 0x0f0f0f0f;
        high[v] = kApart ? bytes & static_cast<int32_t>(0xf0f0f0f0u) : bytes >> 4 & 0x0f0f0f0f;
      }
#pragma GCC unroll 8
      for (int m = 0; m < kRows; ++m) {
        const VI a_low = broadcast_four(a + m * t.a_row_stride + s);
        const VI a_high = broadcast_four(a + m * t.a_row_stride + s + 4);
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) {
          part[m][v] = dot_int4(part[m][v], low[v], a_low);
          VI& to = kApart ? upper[m][v] : part[m][v];
          to = dot_int4(to, high[v], a_high);
        }
      }
    }
#pragma GCC unroll 8
    for (int m = 0; m < kRows; ++m) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        if constexpr (kApart) part[m][v] += upper[m][v] >> 4;
        dots[m][v] += folded(part[m][v]);
      }
    }
  }
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) {
    const char* halves = block + (vector + v) * kLanes * 2;
    const V scale = load_halves(halves);
    const V minimum = load_halves(halves + kPanel * 2);
#pragma GCC unroll 8
    for (int m = 0; m < kRows; ++m) {
      V& to = sum[m][vector + v];
      to = fma(to_floats(dots[m][v]) * set1(t.a_scales[g * t.a_rows + m]), scale, to);
      to = fma(set1(t.a_offsets[g * t.a_rows + m]), minimum, to);
    }
  }
}

template <int kRows, int kVectors, bool kFetch>
LOOPLM_INLINE void add_int8_group(const QuantTileArgs& t, int64_t g, const GroupTerms<kRows>& terms,
                                  const char* block, int vector, Sums<kRows>& sum) {
  const int8_t* a = t.a + g * kQuantGroup;
  const char* data = block + vector * kVectorBytes;
  VI dots[kRows][kVectors];
#pragma GCC unroll 8
  for (int m = 0; m < kRows; ++m) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) dots[m][v] = broadcast(t.a_starts[g * t.a_rows + m]);
  }
  for (int64_t s = 0; s < kQuantGroup; s += 4, data += kQuantStepBytes) {
    prefetch_step<kRows, kFetch, kVectors>(t, data);
    decltype(int8_words(VI{})) w[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) w[v] = int8_words(load_words(data + v * kVectorBytes));
#pragma GCC unroll 8
    for (int m = 0; m < kRows; ++m) {
      const auto four = terms.four(a + m * t.a_row_stride, m, s);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) dots[m][v] = dot_int8(dots[m][v], w[v], four);
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < kRows; ++m) {
    const V a_scale = set1(t.a_scales[g * t.a_rows + m]);
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      V& to = sum[m][vector + v];
      to = fma(to_floats(dots[m][v]), a_scale, to);
    }
  }
}

template <int kRows, bool kInt4, bool kFetch>
void rows_of_tile(const QuantTileArgs& t) {
  constexpr int kVectors = vectors_at_once(kRows);
  const char* panel = static_cast<const char*>(t.b);
  const char* block = panel + (kInt4 ? 0 : kInt8HeaderBytes);
  Sums<kRows> sum = {};
  for (int64_t g = 0; g < t.groups; ++g) {
    if constexpr (kInt4) {
      for (int vector = 0; vector < kVectorsPerPanel; vector += kVectors) {
        add_int4_group<kRows, kVectors, kFetch>(t, g, block, vector, sum);
      }
      block += kInt4GroupBytes;
    } else {
      const GroupTerms<kRows> terms(t, g);
      for (int vector = 0; vector < kVectorsPerPanel; vector += kVectors) {
        add_int8_group<kRows, kVectors, kFetch>(t, g, terms, block, vector, sum);
      }
      block += kInt8GroupBytes;
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < kRows; ++m) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectorsPerPanel; ++v) {
      const int64_t column = v * kLanes;
      if (column >= t.columns) continue;
      V result = sum[m][v];
      if constexpr (!kInt4) {
        result = result * load(reinterpret_cast<const float*>(panel) + column);
      }
      const int64_t left = t.columns - column;
      const int64_t n = left < kLanes ? left : kLanes;
      float* c = t.c + m * t.c_row_stride + column;
      if (t.accumulate) result = load_some(c, n) + result;
      store_some(c, result, n);
    }
  }
}

template <bool kInt4, bool kFetch>
void tile_of(const QuantTileArgs& t) {
  switch (t.rows) {
    case 1:
      return rows_of_tile<1, kInt4, kFetch>(t);
    case 2:
      return rows_of_tile<2, kInt4, kFetch>(t);
    case 3:
      return rows_of_tile<3, kInt4, kFetch>(t);
    case 4:
      return rows_of_tile<4, kInt4, kFetch>(t);
#if defined(__AVX512F__)
    case 5:
      return rows_of_tile<5, kInt4, kFetch>(t);
    case 6:
      return rows_of_tile<6, kInt4, kFetch>(t);
#endif
    default:
      __builtin_trap();  // the caller splits rows by quant_tile_rows
  }
}

// Six rows of int8 gain a tenth by asking ahead on a Zen 4; fewer lose as much and more.
template <bool kInt4>
void tile(const QuantTileArgs& t) {
  if (t.fetch != 0) return tile_of<kInt4, true>(t);
  if (kInt4 || t.rows <= 5) return tile_of<kInt4, false>(t);
  QuantTileArgs fetching = t;
  fetching.fetch = 8192;
  tile_of<kInt4, true>(fetching);
}

// Rounds groups of a row to whole numbers of 1/127 of each group's largest magnitude.
void quantize_groups(const float* x, int64_t terms, int8_t* levels, float* scales, int32_t* sums) {
  const V shift = set1(0x1.8p23f);  // adding it rounds to the nearest whole number, ties to even
  for (int64_t g = 0; g * kQuantGroup < terms; ++g) {
    const float* group = x + g * kQuantGroup;
    const int64_t left = terms - g * kQuantGroup;
    const int64_t count = left < kQuantGroup ? left : kQuantGroup;
    float padded[kQuantGroup];
    if (count < kQuantGroup) {
      for (int64_t i = 0; i < kQuantGroup; ++i) padded[i] = i < count ? group[i] : 0.0f;
      group = padded;
    }
    V most = {};
    for (int64_t i = 0; i < kQuantGroup; i += kLanes) {
      const V v = load(group + i);
      most = maximum(most, maximum(v, -v));
    }
    const float largest = max_lanes(most);
    scales[g] = largest / 127.0f;
    const V inverse = set1(largest > 0 ? 127.0f / largest : 0.0f);
    VI sum = {};
    for (int64_t i = 0; i < kQuantGroup; i += kLanes) {
      const V rounded = (load(group + i) * inverse + shift) - shift;
      const VI whole = __builtin_convertvector(rounded, VI);
      sum += whole;
      store_bytes(levels + g * kQuantGroup + i, whole);
    }
    int32_t total = 0;
    for (int i = 0; i < kLanes; ++i) total += sum[i];
    sums[g] = total;
  }
}

}  // namespace

void add_quant_kernels(KernelTable& table) {
  table.quant_tile_rows = kTileRows;
  table.quantize_groups = quantize_groups;
  table.tile_int8 = tile<false>;
  table.tile_int4 = tile<true>;
}

}  // namespace looplm::cpu::LOOPLM_ISA_NAMESPACE
