// Attention to keys and values in bf16 of a page cache.
#include "kernels/cpu/amx/amx_kernels.h"
#include "kernels/cpu/amx/bf16_block.h"
#include "kernels/cpu/isa/bf16_rounding.h"

namespace looplm::cpu::LOOPLM_ISA_NAMESPACE {
namespace {

constexpr int64_t kParts = 3;
constexpr int64_t kValuePanelBytes = kPanel * kPanel * 2;  // 32 positions of 32 dimensions
static_assert(kAmxSplitRows * kParts <= kAmxRows);

// One step of a row as three of bf16 whose sum it is: 24 bits are three times 8. `to` is the first
// of three rows of a tile.
LOOPLM_INLINE void split_step(const float* x, char* to) {
  for (int64_t i = 0; i < kAmxTerms; i += kLanes) {
    V left = load(x + i);
    for (int64_t part = 0; part < kParts; ++part) {
      float rest[kLanes];
      store(rest, left);
      const VI high = rounded_to_bf16(rest);
      const PairsOfVector pairs = pairs_of(high);
      memcpy(to + part * kAmxRowBytes + i * 2, &pairs, sizeof(pairs));
      V taken;
      memcpy(&taken, &high, sizeof(taken));
      left = left - taken;
    }
  }
}

int64_t steps_of(int64_t head_dim) { return (head_dim + kAmxTerms - 1) / kAmxTerms; }

// Rows of `terms` values as tiles of `steps` steps; what is missing is zero.
void split_rows(const float* x, int64_t stride, int64_t rows, int64_t terms, char* tiles) {
  const int64_t steps = steps_of(terms);
  for (int64_t i = 0; i < amx_split_tiles(rows) * steps; ++i) {
    memset(tiles + i * kAmxTileBytes, 0, kAmxTileBytes);
  }
  for (int64_t r = 0; r < rows; ++r) {
    char* to = tiles + r / kAmxSplitRows * steps * kAmxTileBytes +
               r % kAmxSplitRows * kParts * kAmxRowBytes;
    for (int64_t first = 0; first < terms; first += kAmxTerms, to += kAmxTileBytes) {
      const float* from = x + r * stride + first;
      float padded[kAmxTerms] = {};
      if (terms - first < kAmxTerms) {
        memcpy(padded, from, static_cast<size_t>(terms - first) * sizeof(float));
        from = padded;
      }
      split_step(from, to);
    }
  }
}

// Products of a tile's or two tiles' split rows with a panel, and what they are of whole rows.
class SplitProducts {
 public:
  SplitProducts(Tiles& tiles, const char* a, int64_t rows, int64_t steps)
      : tiles_(tiles), a_(a), rows_(rows), steps_(steps) {}

  // Calls use(row, its 32 products) for all rows.
  template <typename Use>
  LOOPLM_INLINE void with(const char* panel, Use use) {
    constexpr int64_t kTwo = 2 * kAmxSplitRows;
    AmxArgs args;
    args.a = {a_, 2 * kAmxRows, kAmxRowBytes, kAmxTileBytes, steps_ * kAmxTileBytes};
    args.steps = steps_;
    args.c_row_stride = kPanel;
    for (int64_t first = 0; first < rows_; first += kTwo) {
      const char* a = a_ + first / kAmxSplitRows * args.a.block_bytes;
      if (rows_ - first > kAmxSplitRows) {
        product<2>(tiles_, args, a, panel, panel, 0, parts_[0], 2 * kAmxRows, kPanel);
      } else {
        product<1>(tiles_, args, a, panel, panel, 0, parts_[0], kAmxRows, kPanel);
      }
      for (int64_t r = first; r < rows_ && r < first + kTwo; ++r) {
        const int64_t at = r - first;
        const float* parts = parts_[at / kAmxSplitRows * kAmxRows + at % kAmxSplitRows * kParts];
        V whole[kPanel / kLanes];
        for (int64_t i = 0; i < kPanel; i += kLanes) {
          whole[i / kLanes] =
              (load(parts + i) + load(parts + kPanel + i)) + load(parts + 2 * kPanel + i);
        }
        use(r, whole);
      }
    }
  }

 private:
  Tiles& tiles_;
  const char* a_;
  int64_t rows_;
  int64_t steps_;
  alignas(64) float parts_[2 * kAmxRows][kPanel];
};

// Positions of a panel of values from `count` on are zero: they have not been written, and their
// weight of zero would not hide what is no number.
void copy_values(const char* from, int64_t count, char* to) {
  for (int64_t pair = 0; pair < kPanel / 2; ++pair) {
    uint32_t words[kPanel];
    const int64_t there = count - 2 * pair;
    memcpy(words, from + pair * kRowOfPanel, sizeof(words));
    const uint32_t kept = there >= 2 ? 0xffffffffu : there == 1 ? 0xffffu : 0;
    for (uint32_t& word : words) word &= kept;
    memcpy(to + pair * kRowOfPanel, words, sizeof(words));
  }
}

void prefetch(const char* data, int64_t bytes) {
  for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(data + i, 0, 2);
}

void add_block(Tiles& tiles, const AmxSegmentArgs& p, int64_t block) {
  const int64_t first_keys = p.first_keys - block * kPanel;
  const auto keys = [&](int64_t r) {
    const int64_t count = first_keys + r / p.group;
    return count < kPanel ? count : kPanel;
  };
  SplitProducts scores(tiles, p.queries, p.rows, steps_of(p.head_dim));
  scores.with(p.keys[block], [&](int64_t r, const V* of_row) {
    float* to = p.scores + r * p.stride;
    for (int64_t i = 0; i < kPanel; i += kLanes) store(to + i, of_row[i / kLanes]);
  });
  for (int64_t r = 0; r < p.rows; ++r) {
    float* row = p.scores + r * p.stride;
    const float correction =
        p.kernels->softmax_block(row, keys(r), p.scale, p.maximum + r, p.sums + r * kPanel);
    if (correction != 1.0f) p.kernels->scale(correction, p.head_dim, p.out + r * p.stride);
  }
  split_rows(p.scores, p.stride, p.rows, kPanel, p.weights);
  SplitProducts outputs(tiles, p.weights, p.rows, 1);
  const int64_t most = keys(p.rows - 1);
  for (int64_t first = 0; first < p.head_dim; first += kPanel) {
    const char* values = p.values[block] + first / kPanel * kValuePanelBytes;
    alignas(64) char some[kValuePanelBytes];
    if (most < kPanel) {
      copy_values(values, most, some);
      values = some;
    }
    const int64_t columns = p.head_dim - first < kPanel ? p.head_dim - first : kPanel;
    outputs.with(values, [&](int64_t r, const V* of_row) {
      if (keys(r) <= 0) return;
      float* to = p.out + r * p.stride + first;
      for_vectors(columns, [&](int64_t i, int64_t lanes) {
        store_some(to + i, load_some(to + i, lanes) + of_row[i / kLanes], lanes);
      });
    });
  }
}

void attend(const AmxSegmentArgs& p) {
  Tiles tiles;
  const int64_t bytes = steps_of(p.head_dim) * kStepOfPanel;  // of a block's keys, or values
  for (int64_t block = 0; block < p.blocks; ++block) {
    if (block + 1 < p.blocks) {
      prefetch(p.keys[block + 1], bytes);
      prefetch(p.values[block + 1], bytes);
    }
    add_block(tiles, p, block);
  }
}

void split_queries(const AmxQueriesArgs& p) {
  split_rows(p.queries, p.stride, p.rows, p.head_dim, p.tiles);
}

}  // namespace

void add_attention_kernels(KernelTable& table) {
  table.amx_queries = split_queries;
  table.amx_segment = attend;
}

}  // namespace looplm::cpu::LOOPLM_ISA_NAMESPACE
