// Attention to keys and values in bf16 of a page cache.
#include "kernels/cpu/amx/amx_kernels.h"
#include "kernels/cpu/amx/bf16_block.h"
#include "kernels/cpu/isa/softmax_step.h"
#include "kernels/cpu/segment_args.h"

namespace looplm::cpu::LOOPLM_ISA_NAMESPACE {
namespace {

constexpr int64_t kValuePanelBytes = kPanel * kPanel * 2;  // 32 positions of 32 dimensions
static_assert(kValuePanelBytes == kStepOfPanel);
constexpr int64_t kWeightBytes = kStepBlocks * kAmxTileBytes;  // of a block of rows
constexpr int64_t kTileWords = kAmxTileBytes / 4;

int64_t pieces(int64_t count, int64_t piece) { return (count + piece - 1) / piece; }
int64_t steps_of(int64_t head_dim) { return pieces(head_dim, kAmxTerms); }
int64_t tile_bytes(int64_t rows, int64_t steps) {
  return pieces(rows, kAmxRows) * steps * kAmxTileBytes;
}

// The queries, rounded, as tiles of whole steps.
void round_queries(const SegmentArgs& p, char* tiles) {
  const int64_t block_bytes = steps_of(p.head_dim) * kAmxTileBytes;
  for (int64_t first = 0; first < p.rows; first += kAmxRows, tiles += block_bytes) {
    AmxPrepareArgs args;
    args.source = p.queries + first * p.stride;
    args.row_stride = p.stride;
    args.rows = p.rows - first < kAmxRows ? p.rows - first : kAmxRows;
    args.terms = p.head_dim;
    args.out = tiles;
    args.step_bytes = kAmxTileBytes;
    p.kernels->amx_prepare(args);
  }
}

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

int64_t whole(int64_t rows) { return pieces(rows, kAmxRows) * kAmxRows; }

// A step of the softmax.
struct Step {
  float* scores = nullptr;       // (whole blocks of rows, kStepKeys)
  char* weights = nullptr;       // (blocks of rows, kStepBlocks) tiles
  float* corrections = nullptr;  // (rows): what was collected before is to be multiplied by
  int64_t first_block = 0;
  int64_t blocks = 0;  // that any row sees
  int64_t most = 0;    // keys that any row sees
};
int64_t place_bytes(int64_t rows) {
  return tile_bytes(rows, kStepBlocks) + whole(rows) * (kStepKeys + 1) * 4;
}
// Two steps' memory takes turns.
Step make_place(int64_t rows, char* at) {
  Step step;
  step.weights = at;
  step.scores = reinterpret_cast<float*>(at + tile_bytes(rows, kStepBlocks));
  step.corrections = step.scores + whole(rows) * kStepKeys;
  // Weights of rows that are missing from the last block.
  memset(step.weights, 0, static_cast<size_t>(tile_bytes(rows, kStepBlocks)));
  return step;
}

// Keys from a block on that row r sees.
int64_t keys_of(const SegmentArgs& p, int64_t first_block, int64_t r) {
  return p.first_keys + r / p.group - first_block * kPanel;
}

// The step from a block on, without keys behind the last one.
Step step_at(const SegmentArgs& p, int64_t first_block, Step place) {
  const int64_t seen = first_block < p.blocks ? keys_of(p, first_block, p.rows - 1) : 0;
  place.first_block = first_block;
  place.most = seen < kStepKeys ? seen : kStepKeys;
  place.blocks = pieces(place.most, kPanel);
  return place;
}

// The products of a step: of all rows by its keys, which are the scores, or of their weights by its
// values, which add to the outputs. They are done a pair of tiles at a time. Tiles keep the sums
// meanwhile, so one such object has to finish before another begins.
template <bool kValues>
class Products {
 public:
  Products(Tiles& tiles, const SegmentArgs& p, const char* queries, const Step& step)
      : tiles_(tiles),
        p_(p),
        step_(step),
        a_(kValues ? step.weights : queries),
        a_block_bytes_((kValues ? kStepBlocks : steps_of(p.head_dim)) * kAmxTileBytes),
        panels_(kValues ? pieces(p.head_dim, kPanel) : step.blocks),
        terms_(kValues ? step.blocks : steps_of(p.head_dim)) {
    sums_.at = kValues ? p.out : step.scores;
    sums_.row_stride = kValues ? p.stride : kStepKeys;
    sums_.roomy = true;
    if constexpr (kValues) {
      for (int64_t i = 0; partial() != 0 && i < panels_; ++i) {
        copy_values(p.values[step.first_block + step.blocks - 1] + i * kValuePanelBytes, partial(),
                    last_ + i * kValuePanelBytes);
      }
    }
  }

  int64_t count() const { return panels_ * terms_ * pieces(p_.rows, 2 * kAmxRows); }
  bool finished() const { return panel_ == panels_ || terms_ == 0; }
  void advance() {
    if (p_.rows - row_ > kAmxRows) {
      add<2>();
    } else {
      add<1>();
    }
    if (++term_ < terms_) return;
    term_ = 0;
    row_ += 2 * kAmxRows;
    if (row_ < p_.rows) return;
    row_ = 0;
    ++panel_;
  }

 private:
  // Keys of the last block, if they are not all.
  int64_t partial() const { return step_.most % kPanel; }

  template <int kBlocks>
  LOOPLM_INLINE void add() {
    const Left left = {p_.rows - row_, kPanel};
    float* at = sums_.at + row_ * sums_.row_stride + panel_ * kPanel;
    if (term_ == 0) begin_sums<kBlocks>(tiles_, kValues ? sums_ : AmxSums(), at, left);
    const char* const* blocks = kValues ? p_.values : p_.keys;
    const int64_t block = step_.first_block + (kValues ? term_ : panel_);
    const int64_t within = (kValues ? panel_ : term_) * kStepOfPanel;
    // The same of the next step.
    if (row_ == 0 && block + kStepBlocks < p_.blocks) {
      fetch_ahead(blocks[block + kStepBlocks] + within, kStepOfPanel);
    }
    const bool cut = kValues && partial() != 0 && term_ + 1 == terms_;
    add_step<kBlocks>(tiles_, a_ + row_ / kAmxRows * a_block_bytes_ + term_ * kAmxTileBytes,
                      kAmxRowBytes, a_block_bytes_, (cut ? last_ : blocks[block]) + within);
    if (term_ + 1 == terms_) end_sums<kBlocks>(tiles_, sums_, at, left);
  }

  Tiles& tiles_;
  const SegmentArgs& p_;
  const Step step_;
  const char* a_;  // queries or weights, in tiles
  int64_t a_block_bytes_;
  int64_t panels_;
  int64_t terms_;  // pairs of tiles of a panel
  AmxSums sums_;
  int64_t panel_ = 0, row_ = 0, term_ = 0;
  alignas(64) char last_[kValues ? kChunk / kPanel * kValuePanelBytes : 64];  // values
};

template <bool kValues>
void finish(Products<kValues>& products) {
  while (!products.finished()) products.advance();
}

void weigh(const SegmentArgs& p, const Step& step, int64_t r) {
  auto* weights = reinterpret_cast<uint32_t*>(step.weights + r / kAmxRows * kWeightBytes +
                                              r % kAmxRows * kAmxRowBytes);
  const int64_t valid = keys_of(p, step.first_block, r);
  step.corrections[r] = 1;
  if (valid <= 0) {
    for (int64_t b = 0; b < step.blocks; ++b) memset(weights + b * kTileWords, 0, kAmxRowBytes);
    return;
  }
  step.corrections[r] =
      weigh_step(step.scores + r * kStepKeys, step.blocks, valid < kStepKeys ? valid : kStepKeys,
                 p.scale, p.maximum + r, p.sums + r * kPanel, weights, kTileWords);
}

void correct_outputs(const SegmentArgs& p, const Step& step) {
  for (int64_t r = 0; step.blocks != 0 && r < p.rows; ++r) {
    if (step.corrections[r] == 1.0f) continue;
    p.kernels->scale(step.corrections[r], p.head_dim, p.out + r * p.stride);
  }
}

// The softmax of a step takes about as long as all its products. While it runs, row by row, tiles
// multiply the keys of the next step and the values of the one before.
void attend(const SegmentArgs& p) {
  Tiles tiles;
  char* const queries = p.scratch;
  char* const places = queries + tile_bytes(p.rows, steps_of(p.head_dim));
  round_queries(p, queries);
  Step before = make_place(p.rows, places);
  Step now = step_at(p, 0, make_place(p.rows, places + place_bytes(p.rows)));
  Products<false> first(tiles, p, queries, now);
  finish(first);
  while (now.blocks != 0) {
    correct_outputs(p, before);
    const Step next = step_at(p, now.first_block + kStepBlocks, before);
    Products<true> values(tiles, p, queries, before);
    Products<false> scores(tiles, p, queries, next);
    const int64_t all = values.count() + scores.count();
    int64_t done = 0;
    for (int64_t r = 0; r < p.rows; ++r) {
      weigh(p, now, r);
      for (; done < all * (r + 1) / p.rows; ++done) {
        if (!values.finished()) {
          values.advance();
        } else {
          scores.advance();
        }
      }
    }
    before = now;
    now = next;
  }
  correct_outputs(p, before);
  Products<true> last(tiles, p, queries, before);
  finish(last);
}

int64_t scratch_bytes(int64_t rows, int64_t head_dim) {
  return tile_bytes(rows, steps_of(head_dim)) + 2 * place_bytes(rows);
}

}  // namespace

void add_attention_kernels(KernelTable& table) {
  table.segment_bf16 = attend;
  table.segment_bf16_rows = 2 * kAmxRows;
  table.segment_bf16_bytes = scratch_bytes;
}

}  // namespace looplm::cpu::LOOPLM_ISA_NAMESPACE
