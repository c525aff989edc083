// The registers of Intel's matrix unit (AMX): eight tiles of 16 rows by 64 bytes. By the
// instructions themselves, or emulated (LOOPLM_EMULATE_TILES), so that the kernels around them are
// tested on processors without the unit.
//
// Facts are from the Intel 64 and IA-32 Architectures Software Developer's Manual: LDTILECFG,
// TILELOADD, TILELOADDT1, TILESTORED, TDPBF16PS, TDPBSSD.
#ifndef LOOPLM_KERNELS_CPU_AMX_TILES_H_
#define LOOPLM_KERNELS_CPU_AMX_TILES_H_

#include <stddef.h>

#include "kernels/cpu/isa/vec.h"
#include "kernels/cpu/kernel_table.h"

namespace looplm::cpu::LOOPLM_ISA_NAMESPACE {
namespace {

constexpr int kTileCount = 8;

#if !defined(LOOPLM_EMULATE_TILES)

struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};
static_assert(sizeof(TileConfig) == 64 && offsetof(TileConfig, row_bytes) == 16 &&
              offsetof(TileConfig, rows) == 48);

constexpr TileConfig all_tiles_whole() {
  TileConfig config;
  for (int t = 0; t < kTileCount; ++t) {
    config.row_bytes[t] = kAmxRowBytes;
    config.rows[t] = kAmxRows;
  }
  return config;
}
constexpr TileConfig kTileConfig = all_tiles_whole();

// While one of these lives, its thread's tiles are configured; their contents are undefined at
// first. All have one shape, so that no loop ever changes it. Released at the end, since state in
// use makes every switch of threads save 8 KiB.
//
// The compiler's own intrinsics do not say that a tile's load reads memory, so stores before it
// could be moved behind it. These do.
class Tiles {
 public:
  Tiles() { asm volatile("ldtilecfg %0" : : "m"(kTileConfig)); }
  ~Tiles() { asm volatile("tilerelease"); }
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;

  template <int kTile>
  LOOPLM_INLINE void zero() {
    asm volatile("tilezero %%tmm%c0" : : "i"(kTile));
  }
  // Rows `stride` bytes apart.
  template <int kTile>
  LOOPLM_INLINE void load(const void* from, int64_t stride) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(stride), "i"(kTile) : "memory");
  }
  // The same, past the first cache: what lies there stays.
  template <int kTile>
  LOOPLM_INLINE void load_past(const void* from, int64_t stride) {
    asm volatile("tileloaddt1 (%0,%1,1), %%tmm%c2"
                 :
                 : "r"(from), "r"(stride), "i"(kTile)
                 : "memory");
  }
  template <int kTile>
  LOOPLM_INLINE void store(void* to, int64_t stride) const {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(to), "r"(stride), "i"(kTile) : "memory");
  }
  // C += A B with pairs of bf16. B's rows hold pairs of terms.
  template <int kC, int kA, int kB>
  LOOPLM_INLINE void dot_bf16() {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kC), "i"(kA), "i"(kB));
  }
  // C += A B with fours of signed bytes.
  template <int kC, int kA, int kB>
  LOOPLM_INLINE void dot_int8() {
    asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kC), "i"(kA), "i"(kB));
  }
};

#else

typedef uint32_t TileWords[kAmxRows][kAmxRowBytes / 4];

// The unit takes and leaves no denormals and rounds to nearest, whatever the program has asked for
// itself.
class UnitRounding {
 public:
  UnitRounding() : before_(_mm_getcsr()) {
    constexpr unsigned kNoExceptions = 0x1f80, kFlushResults = 0x8000, kFlushOperands = 0x0040;
    _mm_setcsr(kNoExceptions | kFlushResults | kFlushOperands);
  }
  ~UnitRounding() { _mm_setcsr(before_); }
  UnitRounding(const UnitRounding&) = delete;
  UnitRounding& operator=(const UnitRounding&) = delete;

 private:
  unsigned before_;
};

LOOPLM_INLINE V as_floats(VI bits) {
  V v;
  memcpy(&v, &bits, sizeof(v));
  return v;
}

// Even and odd terms are summed apart from zero, then joined, then added to C. Not inlined, so that
// no arithmetic moves out of a UnitRounding's life.
[[maybe_unused]] __attribute__((noinline)) void emulate_dot_bf16(TileWords& c, const TileWords& a,
                                                                 const TileWords& b) {
  constexpr int kVectors = static_cast<int>(kAmxRowBytes) / kVectorBytes;
  for (int m = 0; m < kAmxRows; ++m) {
    V even[kVectors] = {}, odd[kVectors] = {};
    for (int k = 0; k < kAmxRowBytes / 4; ++k) {
      const VI pair = static_cast<int32_t>(a[m][k]) - VI{};
      const V a_even = as_floats(pair << 16);
      const V a_odd = as_floats(pair & static_cast<int32_t>(0xffff0000u));
      const char* row = reinterpret_cast<const char*>(b[k]);
      for (int v = 0; v < kVectors; ++v) {
        const VI pairs = load_words(row + v * kVectorBytes);
        even[v] = fma(a_even, as_floats(pairs << 16), even[v]);
        odd[v] = fma(a_odd, as_floats(pairs & static_cast<int32_t>(0xffff0000u)), odd[v]);
      }
    }
    for (int v = 0; v < kVectors; ++v) {
      V sum;
      char* to = reinterpret_cast<char*>(c[m]) + v * kVectorBytes;
      memcpy(&sum, to, sizeof(sum));
      sum = sum + (even[v] + odd[v]);
      memcpy(to, &sum, sizeof(sum));
    }
  }
}

[[maybe_unused]] void emulate_dot_int8(TileWords& c, const TileWords& a, const TileWords& b) {
  constexpr int kVectors = static_cast<int>(kAmxRowBytes) / kVectorBytes;
  for (int m = 0; m < kAmxRows; ++m) {
    for (int v = 0; v < kVectors; ++v) {
      char* to = reinterpret_cast<char*>(c[m]) + v * kVectorBytes;
      VI sum = load_words(to);
      for (int k = 0; k < kAmxRowBytes / 4; ++k) {
        const VI w = load_words(reinterpret_cast<const char*>(b[k]) + v * kVectorBytes);
        for (int byte = 0; byte < 32; byte += 8) {
          sum += (w << (24 - byte) >> 24) * static_cast<int8_t>(a[m][k] >> byte);
        }
      }
      memcpy(to, &sum, sizeof(sum));
    }
  }
}

class Tiles {
 public:
  template <int kTile>
  void zero() {
    memset(tiles_[kTile], 0, sizeof(TileWords));
  }
  template <int kTile>
  void load(const void* from, int64_t stride) {
    for (int m = 0; m < kAmxRows; ++m) {
      memcpy(tiles_[kTile][m], static_cast<const char*>(from) + m * stride, kAmxRowBytes);
    }
  }
  template <int kTile>
  void load_past(const void* from, int64_t stride) {
    load<kTile>(from, stride);
  }
  template <int kTile>
  void store(void* to, int64_t stride) const {
    for (int m = 0; m < kAmxRows; ++m) {
      memcpy(static_cast<char*>(to) + m * stride, tiles_[kTile][m], kAmxRowBytes);
    }
  }
  template <int kC, int kA, int kB>
  void dot_bf16() {
    const UnitRounding rounding;
    emulate_dot_bf16(tiles_[kC], tiles_[kA], tiles_[kB]);
  }
  template <int kC, int kA, int kB>
  void dot_int8() {
    emulate_dot_int8(tiles_[kC], tiles_[kA], tiles_[kB]);
  }

 private:
  alignas(64) TileWords tiles_[kTileCount];
};

#endif

}  // namespace
}  // namespace looplm::cpu::LOOPLM_ISA_NAMESPACE

#endif  // LOOPLM_KERNELS_CPU_AMX_TILES_H_
