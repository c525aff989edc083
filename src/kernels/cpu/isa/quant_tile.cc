// Register tiles of products of small integers: up to 6 rows by one panel of 32 columns.
#include "kernels/cpu/isa/isa_kernels.h"
#include "kernels/cpu/isa/vec.h"

namespace looplm::cpu::LOOPLM_ISA_NAMESPACE {
namespace {

constexpr int kVectorsPerPanel = static_cast<int>(kPanel) / kLanes;
#if defined(__AVX512F__)
constexpr int kTileRows = 6;  // 6 x 2 integer and as many fp32 sums
constexpr int kVectorsAtOnce = 2;
#else
constexpr int kTileRows = 4;
constexpr int kVectorsAtOnce = 1;
#endif

LOOPLM_INLINE VI broadcast(int32_t x) { return x - VI{}; }
LOOPLM_INLINE VI broadcast_four(const int8_t* p) {
  int32_t four;
  memcpy(&four, p, sizeof(four));
  return broadcast(four);
}

// sum + the four products of unsigned w and signed a in each 32-bit lane.
LOOPLM_INLINE VI dot4(VI sum, VI w, VI a) {
#if defined(__AVX512VNNI__)
  return reinterpret_cast<VI>(_mm512_dpbusd_epi32(
      reinterpret_cast<__m512i>(sum), reinterpret_cast<__m512i>(w), reinterpret_cast<__m512i>(a)));
#elif defined(__AVX2__)
  // The instruction that multiplies bytes saturates; 16-bit products of the even and odd ones do
  // not.
  const __m256i wi = reinterpret_cast<__m256i>(w), ai = reinterpret_cast<__m256i>(a);
  const __m256i w_even = _mm256_and_si256(wi, _mm256_set1_epi16(0xff));
  const __m256i w_odd = _mm256_srli_epi16(wi, 8);
  const __m256i a_even = _mm256_srai_epi16(_mm256_slli_epi16(ai, 8), 8);
  const __m256i a_odd = _mm256_srai_epi16(ai, 8);
  const __m256i even = _mm256_madd_epi16(w_even, a_even), odd = _mm256_madd_epi16(w_odd, a_odd);
  return sum + reinterpret_cast<VI>(even) + reinterpret_cast<VI>(odd);
#else
  for (int k = 0; k < 4; ++k) sum += ((w >> (8 * k)) & 0xff) * ((a << (24 - 8 * k)) >> 24);
  return sum;
#endif
}

template <bool kFetch>
LOOPLM_INLINE void prefetch_step([[maybe_unused]] const char* data) {
  if constexpr (kFetch) {
    __builtin_prefetch(data + 8192, 0, 2);
    __builtin_prefetch(data + 8192 + 64, 0, 2);
  }
}

template <int kRows, bool kInt4, bool kFetch>
LOOPLM_INLINE void columns_of_tile(const QuantTileArgs& t, const char* panel, int vector) {
  const int64_t offset = static_cast<int64_t>(vector) * kVectorBytes;
  // The upper halves of int4's bytes as they lie: 16 times the levels, and whole sums of such stay
  // exact. With more rows there are no registers to sum them apart.
  constexpr bool kApart = kInt4 && kRows == 1;
  V sum[kRows][kVectorsAtOnce] = {};
  const char* block = panel + (kInt4 ? 0 : kInt8HeaderBytes);
  for (int64_t g = 0; g < t.groups; ++g) {
    const int8_t* a = t.a + g * kQuantGroup;
    VI dots[kRows][kVectorsAtOnce] = {}, upper[kRows][kVectorsAtOnce] = {};
    if constexpr (kInt4) {
      const char* data = block + kInt4HeaderBytes + offset;
      for (int64_t s = 0; s < kQuantGroup; s += 8, data += kQuantStepBytes) {
        prefetch_step<kFetch>(data);
        VI low[kVectorsAtOnce], high[kVectorsAtOnce];
#pragma GCC unroll 2
        for (int v = 0; v < kVectorsAtOnce; ++v) {
          const VI bytes = load_words(data + v * kVectorBytes);
          low[v] = bytes & 0x0f0f0f0f;
          high[v] = kApart ? bytes & static_cast<int32_t>(0xf0f0f0f0u) : bytes >> 4 & 0x0f0f0f0f;
        }
#pragma GCC unroll 8
        for (int m = 0; m < kRows; ++m) {
          const VI a_low = broadcast_four(a + m * t.a_row_stride + s);
          const VI a_high = broadcast_four(a + m * t.a_row_stride + s + 4);
#pragma GCC unroll 2
          for (int v = 0; v < kVectorsAtOnce; ++v) {
            dots[m][v] = dot4(dots[m][v], low[v], a_low);
            VI& to = kApart ? upper[m][v] : dots[m][v];
            to = dot4(to, high[v], a_high);
          }
        }
      }
#pragma GCC unroll 2
      for (int v = 0; v < kVectorsAtOnce; ++v) {
        const char* halves = block + (vector + v) * kLanes * 2;
        const V scale = load_halves(halves);
        const V minimum = load_halves(halves + kPanel * 2);
#pragma GCC unroll 8
        for (int m = 0; m < kRows; ++m) {
          if constexpr (kApart) dots[m][v] += upper[m][v] >> 4;
          const float a_scale = t.a_scales[m * t.groups + g];
          const float a_sum = a_scale * static_cast<float>(t.a_sums[m * t.groups + g]);
          sum[m][v] = fma(to_floats(dots[m][v]) * set1(a_scale), scale, sum[m][v]);
          sum[m][v] = fma(set1(a_sum), minimum, sum[m][v]);
        }
      }
      block += kInt4GroupBytes;
    } else {
      const char* data = block + offset;
      for (int64_t s = 0; s < kQuantGroup; s += 4, data += kQuantStepBytes) {
        prefetch_step<kFetch>(data);
        VI w[kVectorsAtOnce];
#pragma GCC unroll 2
        for (int v = 0; v < kVectorsAtOnce; ++v) w[v] = load_words(data + v * kVectorBytes);
#pragma GCC unroll 8
        for (int m = 0; m < kRows; ++m) {
          const VI four = broadcast_four(a + m * t.a_row_stride + s);
#pragma GCC unroll 2
          for (int v = 0; v < kVectorsAtOnce; ++v) dots[m][v] = dot4(dots[m][v], w[v], four);
        }
      }
#pragma GCC unroll 8
      for (int m = 0; m < kRows; ++m) {
        const V a_scale = set1(t.a_scales[m * t.groups + g]);
        const VI centre = broadcast(128 * t.a_sums[m * t.groups + g]);  // levels are q + 128
#pragma GCC unroll 2
        for (int v = 0; v < kVectorsAtOnce; ++v) {
          sum[m][v] = fma(to_floats(dots[m][v] - centre), a_scale, sum[m][v]);
        }
      }
      block += kInt8GroupBytes;
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < kRows; ++m) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectorsAtOnce; ++v) {
      const int64_t column = (vector + v) * kLanes;
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

template <int kRows, bool kInt4, bool kFetch = true>
void rows_of_tile(const QuantTileArgs& t) {
  const char* panel = static_cast<const char*>(t.b);
  for (int vector = 0; vector < kVectorsPerPanel; vector += kVectorsAtOnce) {
    columns_of_tile<kRows, kInt4, kFetch>(t, panel, vector);
  }
}

template <bool kInt4>
void tile(const QuantTileArgs& t) {
  switch (t.rows) {
    case 1:
      return t.fetches ? rows_of_tile<1, kInt4>(t) : rows_of_tile<1, kInt4, false>(t);
    case 2:
      return rows_of_tile<2, kInt4>(t);
    case 3:
      return rows_of_tile<3, kInt4>(t);
    case 4:
      return rows_of_tile<4, kInt4>(t);
#if defined(__AVX512F__)
    case 5:
      return rows_of_tile<5, kInt4>(t);
    case 6:
      return rows_of_tile<6, kInt4>(t);
#endif
    default:
      __builtin_trap();  // the caller splits rows by quant_tile_rows
  }
}

// Rounds groups of a row to whole numbers of 1/127 of each group's largest magnitude.
void quantize_groups(const float* x, int64_t terms, int8_t* levels, float* scales, int32_t* sums) {
  typedef int8_t Narrow __attribute__((vector_size(kLanes)));
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
      const Narrow narrow = __builtin_convertvector(whole, Narrow);
      memcpy(levels + g * kQuantGroup + i, &narrow, sizeof(narrow));
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
