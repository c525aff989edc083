// Attention to keys and values in bf16 by the bf16 dot product: queries and weights are rounded to
// bf16, as the keys are, and nothing is widened.
#include "kernels/cpu/isa/dot_pairs.h"
#include "kernels/cpu/isa/isa_kernels.h"
#include "kernels/cpu/isa/softmax_step.h"
#include "kernels/cpu/segment_args.h"

namespace looplm::cpu::LOOPLM_ISA_NAMESPACE {
#if defined(__AVX512BF16__) || defined(LOOPLM_EMULATE_BF16_DOT)
namespace {

constexpr int64_t kPairBytes = kPanel * 4;  // a pair of terms of all columns
constexpr int64_t kValuePanelBytes = kBlockPairs * kPairBytes;
constexpr int kVectors = static_cast<int>(kPanel) / kLanes;  // of a panel
constexpr int kMostRows = 12;                                // 24 sums of 32 registers
// Words between rows of queries: the largest head, and a line, so that rows fall into different
// cache sets.
constexpr int64_t kQueryStride = kChunk / 2 + 16;
static_assert(kVectors == 2);

int64_t pairs_of_terms(int64_t terms) { return (terms + 1) / 2; }

// A step of one tile of rows.
struct Step {
  const char* const* keys = nullptr;
  const char* const* values = nullptr;
  int64_t blocks = 0;  // that any row sees
  int64_t most = 0;    // keys that any row sees
  // Blocks that come next, to fetch meanwhile; 0: none.
  int64_t ahead_blocks = 0;
};

// What a tile of rows works in.
struct Scratch {
  uint32_t* queries;  // (rows, pairs of the head), kQueryStride between rows
  float* scores;      // (rows, kStepKeys)
  uint32_t* weights;  // (rows, kStepKeys / 2)
};

// Calls for the pair `j` of the blocks that come next.
LOOPLM_INLINE void fetch_pair(const char* const* blocks, int64_t count, int64_t at) {
  for (int64_t b = 0; b < count; ++b) {
    __builtin_prefetch(blocks[b] + at, 0, 2);
    __builtin_prefetch(blocks[b] + at + 64, 0, 2);
  }
}

template <int kRows, int kBlocks>
LOOPLM_INLINE void score_blocks(const uint32_t* queries, int64_t pairs, const char* const* keys,
                                const char* const* ahead, int64_t ahead_blocks, float* scores) {
  V sum[kRows][kBlocks][kVectors] = {};
  for (int64_t j = 0; j < pairs; ++j) {
    const int64_t at = j * kPairBytes;
    fetch_pair(ahead, ahead_blocks, at);
    VI key[kBlocks][kVectors];
#pragma GCC unroll 16
    for (int b = 0; b < kBlocks; ++b) {
#pragma GCC unroll 16
      for (int g = 0; g < kVectors; ++g) key[b][g] = load_words(keys[b] + at + g * kVectorBytes);
    }
#pragma GCC unroll 16
    for (int m = 0; m < kRows; ++m) {
      const uint32_t pair = queries[m * kQueryStride + j];
#pragma GCC unroll 16
      for (int b = 0; b < kBlocks; ++b) {
#pragma GCC unroll 16
        for (int g = 0; g < kVectors; ++g) sum[m][b][g] = dot_pairs(pair, key[b][g], sum[m][b][g]);
      }
    }
  }
#pragma GCC unroll 16
  for (int m = 0; m < kRows; ++m) {
#pragma GCC unroll 16
    for (int b = 0; b < kBlocks; ++b) {
#pragma GCC unroll 16
      for (int g = 0; g < kVectors; ++g) {
        store(scores + m * kStepKeys + b * kPanel + g * kLanes, sum[m][b][g]);
      }
    }
  }
}

// Few rows take several blocks at once, because independent sums must hide a product's latency.
template <int kRows>
void score_step(const Step& step, int64_t pairs, const Scratch& s) {
  constexpr int kAtOnce = kRows <= 2 ? 4 : kRows <= 6 ? 2 : 1;
  int64_t b = 0;
  for (; b + kAtOnce <= step.blocks; b += kAtOnce) {
    const int64_t left = step.ahead_blocks - b;
    score_blocks<kRows, kAtOnce>(s.queries, pairs, step.keys + b, step.keys + kStepBlocks + b,
                                 left < kAtOnce ? left : kAtOnce, s.scores + b * kPanel);
  }
  for (; kAtOnce > 1 && b < step.blocks; ++b) {
    score_blocks<kRows, 1>(s.queries, pairs, step.keys + b, nullptr, 0, s.scores + b * kPanel);
  }
}

template <int kRows, int kPanels>
LOOPLM_INLINE void add_pair(const uint32_t* weights, const char* values, uint32_t kept,
                            V (&sum)[kRows][kPanels][kVectors]) {
  VI value[kPanels][kVectors];
#pragma GCC unroll 16
  for (int p = 0; p < kPanels; ++p) {
#pragma GCC unroll 16
    for (int g = 0; g < kVectors; ++g) {
      value[p][g] =
          load_words(values + p * kValuePanelBytes + g * kVectorBytes) & static_cast<int32_t>(kept);
    }
  }
#pragma GCC unroll 16
  for (int m = 0; m < kRows; ++m) {
    const uint32_t pair = weights[m * kStepKeys / 2];
#pragma GCC unroll 16
    for (int p = 0; p < kPanels; ++p) {
#pragma GCC unroll 16
      for (int g = 0; g < kVectors; ++g) sum[m][p][g] = dot_pairs(pair, value[p][g], sum[m][p][g]);
    }
  }
}

// out <- out * correction + weights * values, for kPanels panels of 32 dimensions.
template <int kRows, int kPanels>
LOOPLM_INLINE void add_outputs(const Step& step, const uint32_t* weights, int64_t panel,
                               const float* corrections, float* out, int64_t stride,
                               int64_t columns) {
  V sum[kRows][kPanels][kVectors] = {};
  for (int64_t b = 0; b < step.blocks; ++b) {
    const int64_t keys = step.most - b * kPanel;
    const int64_t whole = keys >= kPanel ? kBlockPairs : keys / 2;
    const char* values = step.values[b] + panel * kValuePanelBytes;
    const char* ahead =
        b < step.ahead_blocks ? step.values[kStepBlocks + b] + panel * kValuePanelBytes : nullptr;
    const uint32_t* pairs = weights + b * kBlockPairs;
    for (int64_t j = 0; j < whole; ++j) {
      if (ahead != nullptr) {
#pragma GCC unroll 16
        for (int p = 0; p < kPanels; ++p) {
          const char* line = ahead + p * kValuePanelBytes + j * kPairBytes;
          __builtin_prefetch(line, 0, 2);
          __builtin_prefetch(line + 64, 0, 2);
        }
      }
      add_pair<kRows, kPanels>(pairs + j, values + j * kPairBytes, 0xffffffffu, sum);
    }
    if (keys < kPanel && keys % 2 != 0) {  // what the last value is paired with may be anything
      add_pair<kRows, kPanels>(pairs + whole, values + whole * kPairBytes, 0xffffu, sum);
    }
  }
#pragma GCC unroll 16
  for (int m = 0; m < kRows; ++m) {
    const V correction = set1(corrections[m]);
#pragma GCC unroll 16
    for (int p = 0; p < kPanels; ++p) {
#pragma GCC unroll 16
      for (int g = 0; g < kVectors; ++g) {
        const int64_t first = p * kPanel + g * kLanes, left = columns - first;
        if (left <= 0) break;
        const int64_t lanes = left < kLanes ? left : kLanes;
        float* to = out + m * stride + first;
        store_some(to, fma(load_some(to, lanes), correction, sum[m][p][g]), lanes);
      }
    }
  }
}

// A tile of rows over all steps of a segment.
class SegmentTile {
 public:
  SegmentTile(const SegmentArgs& p, int64_t first_row, const Scratch& scratch, bool fetches)
      : p_(p), first_row_(first_row), s_(scratch), fetches_(fetches) {}

  template <int kRows>
  void run() const {
    const int64_t pairs = pairs_of_terms(p_.head_dim);
    for (int64_t b = 0; b < p_.blocks; b += kStepBlocks) {
      Step step;
      step.keys = p_.keys + b;
      step.values = p_.values + b;
      step.most = keys(kRows - 1) - b * kPanel;
      if (step.most <= 0) return;
      if (step.most > kStepKeys) step.most = kStepKeys;
      step.blocks = (step.most + kPanel - 1) / kPanel;
      if (fetches_) {
        const int64_t left = p_.blocks - b - kStepBlocks;
        step.ahead_blocks = left < 0 ? 0 : left < kStepBlocks ? left : kStepBlocks;
      }
      score_step<kRows>(step, pairs, s_);
      float corrections[kRows];
      for (int64_t m = 0; m < kRows; ++m) {
        const int64_t row = first_row_ + m, valid = keys(m) - b * kPanel;
        uint32_t* weights = s_.weights + m * kStepKeys / 2;
        corrections[m] = 1;
        if (valid <= 0) {
          memset(weights, 0, static_cast<size_t>(step.blocks * kBlockPairs) * sizeof(uint32_t));
          continue;
        }
        corrections[m] = weigh_step(s_.scores + m * kStepKeys, step.blocks,
                                    valid < kStepKeys ? valid : kStepKeys, p_.scale,
                                    p_.maximum + row, p_.sums + row * kPanel, weights, kBlockPairs);
      }
      add_values<kRows>(step, corrections);
    }
  }

 private:
  int64_t keys(int64_t m) const { return p_.first_keys + (first_row_ + m) / p_.group; }

  template <int kRows>
  void add_values(const Step& step, const float* corrections) const {
    constexpr int kAtOnce = kRows <= 2 ? 4 : kRows <= 6 ? 2 : 1;
    float* out = p_.out + first_row_ * p_.stride;
    int64_t first = 0;
    for (; first + (kAtOnce - 1) * kPanel < p_.head_dim; first += kAtOnce * kPanel) {
      add_outputs<kRows, kAtOnce>(step, s_.weights, first / kPanel, corrections, out + first,
                                  p_.stride, p_.head_dim - first);
    }
    for (; kAtOnce > 1 && first < p_.head_dim; first += kPanel) {
      add_outputs<kRows, 1>(step, s_.weights, first / kPanel, corrections, out + first, p_.stride,
                            p_.head_dim - first);
    }
  }

  const SegmentArgs& p_;
  int64_t first_row_;
  Scratch s_;
  bool fetches_;
};

void run_tile(const SegmentTile& tile, int64_t rows) {
  switch (rows) {
    case 1:
      return tile.run<1>();
    case 2:
      return tile.run<2>();
    case 3:
      return tile.run<3>();
    case 4:
      return tile.run<4>();
    case 5:
      return tile.run<5>();
    case 6:
      return tile.run<6>();
    case 7:
      return tile.run<7>();
    case 8:
      return tile.run<8>();
    case 9:
      return tile.run<9>();
    case 10:
      return tile.run<10>();
    case 11:
      return tile.run<11>();
    case 12:
      return tile.run<12>();
    default:
      __builtin_trap();
  }
}

int64_t scratch_bytes(int64_t, int64_t) {
  return kMostRows * (kQueryStride + kStepKeys + kStepKeys / 2) * 4;
}

void attend(const SegmentArgs& p) {
  Scratch scratch;
  scratch.scores = reinterpret_cast<float*>(p.scratch);
  scratch.weights = reinterpret_cast<uint32_t*>(scratch.scores + kMostRows * kStepKeys);
  scratch.queries = scratch.weights + kMostRows * kStepKeys / 2;
  // Tiles of one height, so that none is too low to be fast.
  const int64_t tiles = (p.rows + kMostRows - 1) / kMostRows;
  const int64_t tile_rows = (p.rows + tiles - 1) / tiles;
  for (int64_t first = 0; first < p.rows; first += tile_rows) {
    const int64_t rows = p.rows - first < tile_rows ? p.rows - first : tile_rows;
    for (int64_t m = 0; m < rows; ++m) {
      p.kernels->round_row_bf16(p.queries + (first + m) * p.stride, p.head_dim,
                                scratch.queries + m * kQueryStride);
    }
    run_tile(SegmentTile(p, first, scratch, first == 0), rows);
  }
}

}  // namespace
#endif

void add_segment_kernels([[maybe_unused]] KernelTable& table) {
#if defined(__AVX512BF16__) || defined(LOOPLM_EMULATE_BF16_DOT)
  table.segment_bf16 = attend;
  table.segment_bf16_rows = 2 * kMostRows;
  table.segment_bf16_bytes = scratch_bytes;
#endif
}

}  // namespace looplm::cpu::LOOPLM_ISA_NAMESPACE
