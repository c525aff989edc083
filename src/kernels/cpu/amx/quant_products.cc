// Products of small integers: 16 rows by half a panel in one tile per group of 64 terms. A group's
// sums of integers leave the tile to be scaled and added up in fp32, in the order and with the bits
// of cpu/isa/quant_tile.cc.
#include "kernels/cpu/amx/amx_kernels.h"
#include "kernels/cpu/amx/tiles.h"

namespace looplm::cpu::LOOPLM_ISA_NAMESPACE {
namespace {

constexpr int64_t kColumns = kPanel / 2;  // of a tile
constexpr int kVectors = static_cast<int>(kColumns) / kLanes;
// Groups that are done for all rows and both halves before the next: as bytes, 16 KiB of B, which
// stay in the first cache with the sums. 16 rows' sums of half a panel fill the registers
// meanwhile.
constexpr int64_t kGroupsAtOnce = 8;

// Of a call's rows and one panel.
typedef float Sums[kAmxQuantRows][kPanel];

// What of B comes after some groups, to be fetched in order while these are worked on: evenly, so
// that memory never waits for arithmetic.
class Ahead {
 public:
  Ahead(const char* first, int64_t bytes, int64_t steps)
      : at_(first), end_(first + bytes), step_((bytes / 64 + steps - 1) / steps * 64) {}
  LOOPLM_INLINE void fetch_step() {
    const char* const end = end_ - at_ < step_ ? end_ : at_ + step_;
    for (; at_ < end; at_ += 64) __builtin_prefetch(at_, 0, 3);
  }

 private:
  const char* at_;
  const char* end_;
  int64_t step_;
};
static_assert(kInt8GroupBytes % 64 == 0 && kInt4GroupBytes % 64 == 0);

// int4's levels as bytes, in the order of int8's.
LOOPLM_INLINE void unpack(const char* group, char* bytes) {
  const char* from = group + kInt4HeaderBytes;
  for (int64_t s = 0; s < kQuantGroup / 8; ++s) {
    for (int64_t i = 0; i < kQuantStepBytes; i += kVectorBytes, from += kVectorBytes) {
      const VI both = load_words_once(from);
      const VI low = both & 0x0f0f0f0f, high = both >> 4 & 0x0f0f0f0f;
      memcpy(bytes + 2 * s * kQuantStepBytes + i, &low, sizeof(low));
      memcpy(bytes + (2 * s + 1) * kQuantStepBytes + i, &high, sizeof(high));
    }
  }
}

// What the groups of one call of add_groups have in common.
struct Groups {
  const char* a;        // tiles, from the first group on
  const float* scales;  // (groups, 16)
  const char* offsets;  // (groups, 16)
  const char* b;        // bytes, from the first group on
  const char* stored;   // as B has them: for int4 with scales and minimums
  int64_t count;
  Ahead* ahead;
};

// Adds the groups' products to the sums of kRows rows and half a panel. While a group's sums of
// integers are on their way through a tile and memory, those of the group before it are added.
template <int kRows, bool kInt4>
LOOPLM_INLINE void add_groups(Tiles& tiles, const AmxRows& a, const Groups& g, int64_t half,
                              float (*sums)[kPanel]) {
  alignas(64) int32_t dots[2][kAmxRows][kColumns];
  V sum[kRows][kVectors];
  const int64_t first = half * kColumns;
  constexpr int64_t kStoredBytes = kInt4 ? kInt4GroupBytes : kInt8GroupBytes;
#pragma GCC unroll 16
  for (int m = 0; m < kRows; ++m) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) sum[m][v] = load(sums[m] + first + v * kLanes);
  }
  for (int64_t next = 0; next <= g.count; ++next) {
    if (next < g.count) {
      g.ahead->fetch_step();
      tiles.zero<0>();
      tiles.load<4>(g.a + next * a.step_bytes, kAmxRowBytes);
      tiles.load<6>(g.b + next * kInt8GroupBytes + half * kAmxRowBytes, kQuantStepBytes);
      tiles.dot_int8<0, 4, 6>();
      tiles.store<0>(dots[next % 2], kAmxRowBytes);
    }
    if (next == 0) continue;
    const int64_t i = next - 1;
    const float* scales = g.scales + i * kAmxRows;
    V scale[kVectors], minimum[kVectors];
    if constexpr (kInt4) {
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) {
        const char* halves = g.stored + i * kStoredBytes + (first + v * kLanes) * 2;
        scale[v] = load_halves(halves);
        minimum[v] = load_halves(halves + kPanel * 2);
      }
    }
#pragma GCC unroll 16
    for (int m = 0; m < kRows; ++m) {
      const V a_scale = set1(scales[m]);
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) {
        const VI dot = load_words(reinterpret_cast<const char*>(dots[i % 2][m] + v * kLanes));
        if constexpr (kInt4) {
          const float* offsets = reinterpret_cast<const float*>(g.offsets) + i * kAmxRows;
          sum[m][v] = fma(to_floats(dot) * a_scale, scale[v], sum[m][v]);
          sum[m][v] = fma(set1(offsets[m]), minimum[v], sum[m][v]);
        } else {
          const int32_t* centres = reinterpret_cast<const int32_t*>(g.offsets) + i * kAmxRows;
          sum[m][v] = fma(to_floats(dot - centres[m]), a_scale, sum[m][v]);
        }
      }
    }
  }
#pragma GCC unroll 16
  for (int m = 0; m < kRows; ++m) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) store(sums[m] + first + v * kLanes, sum[m][v]);
  }
}

template <bool kInt4>
void add_block(Tiles& tiles, const AmxRows& a, const Groups& g, int64_t rows, int64_t columns,
               float (*sums)[kPanel]) {
  for (int64_t half = 0; half * kColumns < columns; ++half) {
    if (rows <= 4) {
      add_groups<4, kInt4>(tiles, a, g, half, sums);
    } else if (rows <= 8) {
      add_groups<8, kInt4>(tiles, a, g, half, sums);
    } else {
      add_groups<16, kInt4>(tiles, a, g, half, sums);
    }
  }
}

template <bool kInt4>
void product_of_panel(Tiles& tiles, const AmxQuantArgs& p, const char* panel, int64_t column) {
  alignas(64) Sums sums;
  alignas(64) char bytes[kInt4 ? kGroupsAtOnce * kInt8GroupBytes : 64];
  memset(sums, 0, static_cast<size_t>(p.a.rows + kAmxRows - 1) / kAmxRows * kAmxRows * kPanel * 4);
  const int64_t columns = p.columns - column < kPanel ? p.columns - column : kPanel;
  constexpr int64_t kStoredBytes = kInt4 ? kInt4GroupBytes : kInt8GroupBytes;
  const int64_t blocks = (p.a.rows + kAmxRows - 1) / kAmxRows;
  for (int64_t first = 0; first < p.groups; first += kGroupsAtOnce) {
    const int64_t left = p.groups - first;
    Groups g;
    g.count = left < kGroupsAtOnce ? left : kGroupsAtOnce;
    g.stored = panel + (kInt4 ? 0 : kInt8HeaderBytes) + first * kStoredBytes;
    g.b = g.stored;
    // Each group is worked on for both halves of each block, and int4's to be unpacked.
    Ahead ahead(g.stored + g.count * kStoredBytes, kGroupsAtOnce * kStoredBytes,
                g.count * (2 * blocks + (kInt4 ? 1 : 0)));
    g.ahead = &ahead;
    if constexpr (kInt4) {
      for (int64_t i = 0; i < g.count; ++i) {
        ahead.fetch_step();
        unpack(g.stored + i * kInt4GroupBytes, bytes + i * kInt8GroupBytes);
      }
      g.b = bytes;
    }
    for (int64_t m = 0; m < p.a.rows; m += kAmxRows) {
      const int64_t block = m / kAmxRows;
      const int64_t at = (block * p.groups + first) * kAmxRows;
      g.a = static_cast<const char*>(p.a.tiles) + block * p.a.block_bytes + first * p.a.step_bytes;
      g.scales = p.a_scales + at;
      g.offsets = static_cast<const char*>(p.a_offsets) + at * 4;
      add_block<kInt4>(tiles, p.a, g, p.a.rows - m, columns, sums + m);
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
