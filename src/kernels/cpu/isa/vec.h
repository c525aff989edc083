// The vector type that per-instruction-set kernels are written in: GCC vector extensions of the
// width the set offers, plus the few operations that plain operators lack.
//
// Files in this folder are compiled once per instruction set with other flags. They must not
// instantiate or inline anything from the standard library: the linker keeps one copy of such a
// function, and it could be one that an older processor cannot run.
#ifndef LOOPLM_KERNELS_CPU_ISA_VEC_H_
#define LOOPLM_KERNELS_CPU_ISA_VEC_H_

#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

#ifndef LOOPLM_ISA_NAMESPACE
#error "compile this file through the instruction-set libraries of src/kernels/CMakeLists.txt"
#endif

// Everything here has internal linkage, so that each instruction set keeps its own copy.
namespace looplm::cpu::LOOPLM_ISA_NAMESPACE {
namespace {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif
constexpr int kLanes = kVectorBytes / 4;

typedef float V __attribute__((vector_size(kVectorBytes)));
typedef int32_t VI __attribute__((vector_size(kVectorBytes)));
typedef float UnalignedV __attribute__((vector_size(kVectorBytes), aligned(4), may_alias));

#define LOOPLM_INLINE inline __attribute__((always_inline))

LOOPLM_INLINE V load(const float* p) { return *reinterpret_cast<const UnalignedV*>(p); }
LOOPLM_INLINE void store(float* p, V v) { *reinterpret_cast<UnalignedV*>(p) = v; }
LOOPLM_INLINE VI load_words(const char* p) {
  VI v;
  memcpy(&v, p, sizeof(v));
  return v;
}
// The same, kept in a register: GCC 12 would load it again for each use, and two uses of every word
// that a product reads made loads its bound (int4, one row, from a cache: 60 -> 80 GB/s).
LOOPLM_INLINE VI load_words_once(const char* p) {
  VI v = load_words(p);
#if defined(__AVX512F__)
  asm("" : "+v"(v));
#endif
  return v;
}
LOOPLM_INLINE V set1(float x) { return x - V{}; }

#if defined(__AVX2__) && !defined(__AVX512F__)
LOOPLM_INLINE __m256i first_lanes(int64_t n) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int32_t>(n)), lane);
}
#endif

// The first n lanes (0 < n < kLanes); the others are zero.
LOOPLM_INLINE V load_n(const float* p, int64_t n) {
#if defined(__AVX512F__)
  return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1), p);
#elif defined(__AVX2__)
  return _mm256_maskload_ps(p, first_lanes(n));
#else
  V v = {};
  for (int64_t i = 0; i < n; ++i) v[i] = p[i];
  return v;
#endif
}
LOOPLM_INLINE void store_n(float* p, V v, int64_t n) {
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1), v);
#elif defined(__AVX2__)
  _mm256_maskstore_ps(p, first_lanes(n), v);
#else
  for (int64_t i = 0; i < n; ++i) p[i] = v[i];
#endif
}

// a * b + c, rounded once where the instruction set can.
LOOPLM_INLINE V fma(V a, V b, V c) {
#if defined(__AVX512F__)
  return _mm512_fmadd_ps(a, b, c);
#elif defined(__AVX2__)
  return _mm256_fmadd_ps(a, b, c);
#else
  return a * b + c;
#endif
}

// b where a is NaN.
LOOPLM_INLINE V maximum(V a, V b) {
#if defined(__AVX512F__)
  return _mm512_max_ps(a, b);
#elif defined(__AVX2__)
  return _mm256_max_ps(a, b);
#else
  return a > b ? a : b;
#endif
}

// b where either is NaN.
LOOPLM_INLINE V minimum(V a, V b) {
#if defined(__AVX512F__)
  return _mm512_min_ps(a, b);
#elif defined(__AVX2__)
  return _mm256_min_ps(a, b);
#else
  return a < b ? a : b;
#endif
}

// A bit per lane in which a comparison held, lane 0 lowest.
LOOPLM_INLINE uint32_t lane_mask(VI held) {
#if defined(__AVX512F__)
  return _mm512_movepi32_mask(reinterpret_cast<__m512i>(held));
#elif defined(__AVX2__)
  return static_cast<uint32_t>(_mm256_movemask_ps(reinterpret_cast<__m256>(held)));
#else
  uint32_t mask = 0;
  for (int i = 0; i < kLanes; ++i) mask |= static_cast<uint32_t>(held[i]) & (1u << i);
  return mask;
#endif
}

LOOPLM_INLINE V square_root(V a) {
#if defined(__AVX512F__)
  return _mm512_sqrt_ps(a);
#elif defined(__AVX2__)
  return _mm256_sqrt_ps(a);
#else
  V r;
  for (int i = 0; i < kLanes; ++i) r[i] = __builtin_sqrtf(a[i]);
  return r;
#endif
}

// kLanes values of a smaller type.
LOOPLM_INLINE V widen_int8(const int8_t* x) {
#if defined(__AVX512F__)
  const __m128i narrow = _mm_loadu_si128(reinterpret_cast<const __m128i*>(x));
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(narrow));
#elif defined(__AVX2__)
  const __m128i narrow = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(x));
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(narrow));
#else
  V wide;
  for (int i = 0; i < kLanes; ++i) wide[i] = static_cast<float>(x[i]);
  return wide;
#endif
}

LOOPLM_INLINE V to_floats(VI x) { return __builtin_convertvector(x, V); }

// kLanes halves to floats.
LOOPLM_INLINE V load_halves(const char* p) {
#if defined(__AVX512F__)
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
#elif defined(__AVX2__)
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
#else
  V v;
  for (int i = 0; i < kLanes; ++i) {
    uint16_t half;
    memcpy(&half, p + 2 * i, sizeof(half));
    const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
    const uint32_t exponent = (half >> 10) & 0x1fu;
    const uint32_t mantissa = half & 0x3ffu;
    float value;
    if (exponent != 0) {  // no infinities are stored
      const uint32_t bits = sign | ((exponent + 112) << 23) | (mantissa << 13);
      memcpy(&value, &bits, sizeof(value));
    } else {
      value = static_cast<float>(mantissa) * 0x1p-24f;
      value = sign != 0 ? -value : value;
    }
    v[i] = value;
  }
  return v;
#endif
}

// The first n values of 16 bits, each in a word; the other words are zero.
LOOPLM_INLINE VI load_halves_as_words(const uint16_t* p, int64_t n) {
#if defined(__AVX512F__)
  const __m256i halves = n == kLanes
                             ? _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))
                             : _mm256_maskz_loadu_epi16(static_cast<__mmask16>((1u << n) - 1), p);
  return reinterpret_cast<VI>(_mm512_cvtepu16_epi32(halves));
#else
#if defined(__AVX2__)
  if (n == kLanes) {
    const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return reinterpret_cast<VI>(_mm256_cvtepu16_epi32(halves));
  }
#endif
  VI words = {};
  for (int64_t i = 0; i < n; ++i) words[i] = p[i];
  return words;
#endif
}

// The lowest byte of each word. GCC 12 would take AVX2's words apart one by one.
LOOPLM_INLINE void store_bytes(int8_t* to, VI words) {
#if defined(__AVX2__) && !defined(__AVX512F__)
  const __m256i lowest = _mm256_set1_epi32(0x0c080400);
  const __m256i bytes = _mm256_shuffle_epi8(reinterpret_cast<__m256i>(words), lowest);
  const __m128i both =
      _mm_unpacklo_epi32(_mm256_castsi256_si128(bytes), _mm256_extracti128_si256(bytes, 1));
  memcpy(to, &both, kLanes);
#else
  typedef int8_t Narrow __attribute__((vector_size(kLanes)));
  const Narrow narrow = __builtin_convertvector(words, Narrow);
  memcpy(to, &narrow, sizeof(narrow));
#endif
}

// Horizontal reductions, in one fixed order: lane i with lane i + half, then halves again.
LOOPLM_INLINE float sum_lanes(V v) {
  float x[kLanes];
  memcpy(x, &v, sizeof(x));
  for (int half = kLanes / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) x[i] += x[i + half];
  }
  return x[0];
}
LOOPLM_INLINE float max_lanes(V v) {
#if defined(__AVX512F__)
  return _mm512_reduce_max_ps(v);
#elif defined(__AVX2__)
  __m128 most = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  most = _mm_max_ps(most, _mm_movehl_ps(most, most));
  return _mm_cvtss_f32(_mm_max_ps(most, _mm_movehdup_ps(most)));
#else
  float m = v[0];
  for (int i = 1; i < kLanes; ++i) m = v[i] > m ? v[i] : m;
  return m;
#endif
}

// e^x by range reduction to [-ln2/2, ln2/2] and a degree-6 polynomial (Cephes expf); relative error
// under 2e-7. Below -87.3 the result is 0, above 88.3 it is clamped to about 2.2e38; NaN stays NaN.
LOOPLM_INLINE V exponential(V x) {
  const V low = set1(-87.3f);
  const V clamped = minimum(set1(88.3f), x);
  const V shift = set1(0x1.8p23f);  // adding it rounds to an integer in the low mantissa bits
  const V rounded = fma(clamped, set1(1.44269504088896341f), shift);
  const V n = rounded - shift;
  V r = fma(n, set1(-0.693359375f), clamped);
  r = fma(n, set1(2.12194440e-4f), r);
  V p = set1(1.9875691500e-4f);
  p = fma(p, r, set1(1.3981999507e-3f));
  p = fma(p, r, set1(8.3334519073e-3f));
  p = fma(p, r, set1(4.1665795894e-2f));
  p = fma(p, r, set1(1.6666665459e-1f));
  p = fma(p, r, set1(5.0000001201e-1f));
  p = fma(p, r * r, r) + set1(1.0f);
  VI bits;
  memcpy(&bits, &rounded, sizeof(bits));
  bits = (bits + 127) << 23;
  V scale;
  memcpy(&scale, &bits, sizeof(scale));
  const V result = p * scale;
  return x < low ? V{} : result;
}

// 1 / (1 + e^-x)
LOOPLM_INLINE V sigmoid(V x) { return set1(1.0f) / (set1(1.0f) + exponential(-x)); }

// Calls body(offset, lanes) over [0, n) in whole vectors and one partial tail; body must treat
// lanes < kLanes as a tail.
template <typename Body>
LOOPLM_INLINE void for_vectors(int64_t n, Body body) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) body(i, static_cast<int64_t>(kLanes));
  if (i < n) body(i, n - i);
}
LOOPLM_INLINE V load_some(const float* p, int64_t n) {
  return n == kLanes ? load(p) : load_n(p, n);
}
LOOPLM_INLINE void store_some(float* p, V v, int64_t n) {
  if (n == kLanes) {
    store(p, v);
  } else {
    store_n(p, v, n);
  }
}
LOOPLM_INLINE void store_words(uint32_t* p, VI words, int64_t n) {
  if (n == kLanes) {
    memcpy(p, &words, sizeof(words));
  } else {
#if defined(__AVX512F__)
    _mm512_mask_storeu_epi32(p, static_cast<__mmask16>((1u << n) - 1),
                             reinterpret_cast<__m512i>(words));
#elif defined(__AVX2__)
    _mm256_maskstore_epi32(reinterpret_cast<int*>(p), first_lanes(n),
                           reinterpret_cast<__m256i>(words));
#else
    for (int64_t i = 0; i < n; ++i) p[i] = static_cast<uint32_t>(words[i]);
#endif
  }
}

}  // namespace
}  // namespace looplm::cpu::LOOPLM_ISA_NAMESPACE

#endif  // LOOPLM_KERNELS_CPU_ISA_VEC_H_
