// Products of small integers: 16 rows by half a panel in one tile per group of 64 terms. A group's
// sums of integers leave the tile to be scaled and added up in fp32, in the order and with the bits
// of cpu/isa/quant_tile.cc. That takes longer than the products: on a Granite Rapids a tile's loads
// and store take 12 ns, the rest 7 to 8, one after the other.
#include "kernels/cpu/amx/amx_kernels.h"
#include "kernels/cpu/amx/tiles.h"

namespace looplm::cpu::LOOPLM_ISA_NAMESPACE {
namespace {

constexpr int64_t kColumns = kPanel / 2;  // of a tile
constexpr int kVectors = static_cast<int>(kPanel) / kLanes;
// Groups that are done for all rows before the next. As bytes, they (8 KiB), the sums of 128 rows
// (16 KiB) and the products of two groups (4 KiB) stay in the first cache; rows come past it.
constexpr int64_t kGroupsAtOnce = 4;
// Rows whose sums fill the registers.
constexpr int kRowsAtOnce = 8;

// Of a call's rows and one panel.
typedef float Sums[kAmxQuantRows][kPanel];
// Of some groups of 16 rows: for both halves of the panel.
typedef int32_t Dots[2][kAmxRows][kColumns];

// What of B comes after some groups, to be fetched in order while these are worked on: evenly, so
// that memory never waits for arithmetic.
class Ahead {
 public:
  Ahead(const char* first, int64_t bytes, int64_t steps)
      : at_(first), end_(first + bytes), step_((bytes / 64 + steps - 1) / steps * 64) {}
  LOOPLM_INLINE void fetch_step() {
    const char* const end = end_ - at_ < step_ ? end_ : at_ + step_;
    for (; at_ < end; at_ += 64) __builtin_prefetch(at_, 0, 2);
  }

 private:
  const char* at_;
  const char* end_;
  int64_t step_;
};
static_assert(kInt8GroupBytes % 64 == 0 && kInt4GroupBytes % 64 == 0);

// A group's levels as signed bytes, in the order of int8's.
template <bool kInt4>
LOOPLM_INLINE void unpack(const char* group, char* bytes) {
  if constexpr (kInt4) {
    const char* from = group + kInt4HeaderBytes;
    for (int64_t s = 0; s < kQuantGroup / 8; ++s) {
      for (int64_t i = 0; i < kQuantStepBytes; i += kVectorBytes, from += kVectorBytes) {
        const VI both = load_words_once(from);
        const VI low = both & 0x0f0f0f0f, high = both >> 4 & 0x0f0f0f0f;
        memcpy(bytes + 2 * s * kQuantStepBytes + i, &low, sizeof(low));
        memcpy(bytes + (2 * s + 1) * kQuantStepBytes + i, &high, sizeof(high));
      }
    }
  } else {
    for (int64_t i = 0; i < kInt8GroupBytes; i += kVectorBytes) {
      const VI levels = load_words_once(group + i) ^ static_cast<int32_t>(0x80808080u);
      memcpy(bytes + i, &levels, sizeof(levels));
    }
  }
}

// Groups of one block of rows.
struct Groups {
  const char* a;  // tiles
  int64_t a_step_bytes;
  const float* scales;   // (groups, 16)
  const float* offsets;  // (groups, 16): for int4
  const char* b;         // signed bytes
  const char* stored;    // as B has them: for int4 with scales and minimums
  int64_t rows;
  float (*sums)[kPanel];
};

template <int kGroup>
LOOPLM_INLINE void multiply(Tiles& tiles, const Groups& g, Dots& dots) {
  constexpr int kFirst = 2 * kGroup, kSecond = kFirst + 1, kA = 4 + kGroup;
  const char* b = g.b + kGroup * kInt8GroupBytes;
  tiles.zero<kFirst>();
  tiles.zero<kSecond>();
  tiles.load_past<kA>(g.a + kGroup * g.a_step_bytes, kAmxRowBytes);
  tiles.load<6>(b, kQuantStepBytes);
  tiles.dot_int8<kFirst, kA, 6>();
  tiles.load<7>(b + kAmxRowBytes, kQuantStepBytes);
  tiles.dot_int8<kSecond, kA, 7>();
  tiles.store<kFirst>(dots[0], kAmxRowBytes);
  tiles.store<kSecond>(dots[1], kAmxRowBytes);
}

// Scales the products of kGroups groups and adds them up, for rows from `row` on.
template <bool kInt4, int kGroups>
LOOPLM_INLINE void collect(const Groups& g, int64_t row, const Dots (&dots)[kGroups]) {
  V sum[kRowsAtOnce][kVectors];
#pragma GCC unroll 8
  for (int m = 0; m < kRowsAtOnce; ++m) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sum[m][v] = load(g.sums[row + m] + v * kLanes);
  }
#pragma GCC unroll 2
  for (int i = 0; i < kGroups; ++i) {
    const float* scales = g.scales + i * kAmxRows + row;
    const float* offsets = g.offsets + i * kAmxRows + row;
    V scale[kVectors], minimum[kVectors];
    if constexpr (kInt4) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        const char* halves = g.stored + i * kInt4GroupBytes + v * kLanes * 2;
        scale[v] = load_halves(halves);
        minimum[v] = load_halves(halves + kPanel * 2);
      }
    }
#pragma GCC unroll 8
    for (int m = 0; m < kRowsAtOnce; ++m) {
      const V a_scale = set1(scales[m]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        const int32_t* from = dots[i][v * kLanes / kColumns][row + m] + v * kLanes % kColumns;
        const V dot = to_floats(load_words(reinterpret_cast<const char*>(from)));
        if constexpr (kInt4) {
          sum[m][v] = fma(dot * a_scale, scale[v], sum[m][v]);
          sum[m][v] = fma(set1(offsets[m]), minimum[v], sum[m][v]);
        } else {
          sum[m][v] = fma(dot, a_scale, sum[m][v]);
        }
      }
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < kRowsAtOnce; ++m) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) store(g.sums[row + m] + v * kLanes, sum[m][v]);
  }
}

template <bool kInt4, int kGroups>
LOOPLM_INLINE void add_groups(Tiles& tiles, const Groups& g) {
  alignas(64) Dots dots[kGroups];
  multiply<0>(tiles, g, dots[0]);
  if constexpr (kGroups == 2) multiply<1>(tiles, g, dots[1]);
  for (int64_t row = 0; row < kAmxRows && row < g.rows; row += kRowsAtOnce) {
    collect<kInt4, kGroups>(g, row, dots);
  }
}

template <bool kInt4>
void product_of_panel(Tiles& tiles, const AmxQuantArgs& p, const char* panel, int64_t column) {
  alignas(64) Sums sums;
  alignas(64) char bytes[kGroupsAtOnce * kInt8GroupBytes];
  memset(sums, 0, static_cast<size_t>(p.a.rows + kAmxRows - 1) / kAmxRows * kAmxRows * kPanel * 4);
  const int64_t columns = p.columns - column < kPanel ? p.columns - column : kPanel;
  constexpr int64_t kStoredBytes = kInt4 ? kInt4GroupBytes : kInt8GroupBytes;
  const int64_t blocks = (p.a.rows + kAmxRows - 1) / kAmxRows;
  for (int64_t first = 0; first < p.groups; first += kGroupsAtOnce) {
    const int64_t left = p.groups - first;
    const int64_t count = left < kGroupsAtOnce ? left : kGroupsAtOnce;
    const char* const stored = panel + (kInt4 ? 0 : kInt8HeaderBytes) + first * kStoredBytes;
    // Each group is unpacked, and worked on for each block.
    Ahead ahead(stored + count * kStoredBytes, kGroupsAtOnce * kStoredBytes, count * (blocks + 1));
    for (int64_t i = 0; i < count; ++i) {
      ahead.fetch_step();
      unpack<kInt4>(stored + i * kStoredBytes, bytes + i * kInt8GroupBytes);
    }
    for (int64_t m = 0; m < p.a.rows; m += kAmxRows) {
      const int64_t block = m / kAmxRows;
      const int64_t at = (block * p.groups + first) * kAmxRows;
      Groups g;
      g.a = static_cast<const char*>(p.a.tiles) + block * p.a.block_bytes + first * p.a.step_bytes;
      g.a_step_bytes = p.a.step_bytes;
      g.scales = p.a_scales + at;
      g.offsets = p.a_offsets + at;
      g.b = bytes;
      g.stored = stored;
      g.rows = p.a.rows - m;
      g.sums = sums + m;
      for (int64_t i = 0; i < count; i += 2) {
        ahead.fetch_step();
        ahead.fetch_step();
        if (i + 1 == count) {
          add_groups<kInt4, 1>(tiles, g);
          break;
        }
        add_groups<kInt4, 2>(tiles, g);
        g.a += 2 * p.a.step_bytes;
        g.scales += 2 * kAmxRows;
        g.offsets += 2 * kAmxRows;
        g.b += 2 * kInt8GroupBytes;
        g.stored += 2 * kStoredBytes;
      }
    }
  }
  for (int64_t m = 0; m < p.a.rows; ++m) {
    for (int64_t at = 0; at < columns; at += kLanes) {
      V result = load(sums[m] + at);
      if constexpr (!kInt4) result = result * load(reinterpret_cast<const float*>(panel) + at);
      const int64_t n = columns - at < kLanes ? columns - at : kLanes;
      float* c = p.c + m * p.c_row_stride + column + at;
      if (p.accumulate) result = load_some(c, n) + result;
      store_some(c, result, n);
    }
  }
}

template <bool kInt4>
void multiply_quantized(const AmxQuantArgs& p) {
  Tiles tiles;
  const char* panel = p.b;
  for (int64_t column = 0; column < p.columns; column += kPanel, panel += p.b_panel_bytes) {
    product_of_panel<kInt4>(tiles, p, panel, column);
  }
}

}  // namespace

void add_quant_kernels(KernelTable& table) {
  table.amx_int8 = multiply_quantized<false>;
  table.amx_int4 = multiply_quantized<true>;
}

}  // namespace looplm::cpu::LOOPLM_ISA_NAMESPACE
