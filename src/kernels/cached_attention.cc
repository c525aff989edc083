#include <algorithm>
#include <cstring>
#include <vector>

#include "base/check.h"
#include "kernels/attention.h"
#include "kernels/attention_block.h"

namespace looplm {
namespace {

using attention::kBlock;
using attention::kSegment;
using attention::kStride;

// Query rows of one task, unless a kernel asks for others: enough to reuse a block of keys, few
// enough to keep the state in the first cache.
constexpr int64_t kTaskRows = 24;

static_assert(kPagePositions == kBlock);

// The queries of one key-value head: rows of a chunk times the query heads that share the head.
struct Task {
  const CachedQueries* queries;
  int64_t kv_head;
  int64_t first;  // row within the queries
  int64_t rows;
  // Where each segment's states go, (segments, tile rows); null: one thread takes all segments.
  float* states = nullptr;

  int64_t keys(int64_t row) const { return queries->first_position + first + row + 1; }
  int64_t segments() const { return (keys(rows - 1) + kSegment - 1) / kSegment; }
};

// Segments [begin, end) of a task.
struct Unit {
  const Task* task;
  int64_t begin;
  int64_t end;
};

int64_t round_to_lines(int64_t floats) { return (floats + 15) / 16 * 16; }

// A task is shared by threads when it is more than this part of the call's segments.
constexpr int64_t kShare = 32;

attention::BlockTiles tiles_of(const KvLayout& layout, const std::byte* page, int64_t head) {
  attention::BlockTiles tiles;
  tiles.type = layout.type;
  tiles.keys = page + layout.key_offset(head);
  tiles.values = page + layout.value_offset(head);
  if (layout.type == KvType::kInt8) {
    tiles.key_scales = reinterpret_cast<const float*>(page + layout.key_scale_offset(head));
    tiles.value_scales = reinterpret_cast<const float*>(page + layout.value_scale_offset(head));
  }
  return tiles;
}

// A page's tiles lie apart from the next page's, where the processor's own prefetch does not look.
void prefetch_tiles(const KvLayout& layout, const std::byte* page, int64_t head) {
  const auto fetch = [&](int64_t offset, int64_t elements) {
    const int64_t bytes = elements * layout.element_bytes();
    for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(page + offset + i, 0, 2);
  };
  fetch(layout.key_offset(head), layout.key_tile());
  fetch(layout.value_offset(head), layout.value_tile());
}

// One call: its tasks, cut where one of them would keep the other threads waiting.
class CachedAttention {
 public:
  CachedAttention(const CachedAttentionParams& p, Device& device)
      : p_(p),
        device_(device),
        kernels_(device.kernels()),
        group_(p.heads / p.layout.kv_heads),
        head_dim_(p.layout.head_dim),
        by_segments_(kernels_.segment_bf16 != nullptr && p.layout.type == KvType::kBf16),
        state_floats_(attention::row_state_floats(head_dim_)) {
    list_tasks();
    cut_tasks();
  }

  void run() {
    device_.pool().parallel_for(static_cast<int64_t>(units_.size()), [&](int64_t i, int thread) {
      run_unit(units_[static_cast<size_t>(i)], thread);
    });
    if (shared_.empty()) return;
    device_.pool().parallel_for(static_cast<int64_t>(shared_.size()), [&](int64_t i, int) {
      add_segments(*shared_[static_cast<size_t>(i)]);
    });
  }

 private:
  // Rows of a tile: row * group + head within the group.
  int64_t tile_rows(const Task& task) const { return task.rows * group_; }
  attention::RowState state(const Task& task, int64_t segment, int64_t row) const {
    return attention::row_state(task.states + (segment * tile_rows(task) + row) * state_floats_,
                                head_dim_);
  }
  int64_t row_of(const Task& task, int64_t tile_row) const {
    return task.queries->first_row + task.first + tile_row / group_;
  }
  int64_t head_of(const Task& task, int64_t tile_row) const {
    return task.kv_head * group_ + tile_row % group_;
  }
  void finish(const Task& task, int64_t tile_row, const attention::RowState& state) const {
    float* out = p_.out + (row_of(task, tile_row) * p_.heads + head_of(task, tile_row)) * head_dim_;
    attention::finish_row(state, head_dim_, out, kernels_);
  }

  void list_tasks() {
    const int64_t rows = by_segments_ ? kernels_.segment_bf16_rows : kTaskRows;
    const int64_t rows_per_task = std::max<int64_t>(1, rows / group_);
    for (const CachedQueries& queries : p_.queries) {
      for (int64_t head = 0; head < p_.layout.kv_heads; ++head) {
        for (int64_t first = 0; first < queries.rows; first += rows_per_task) {
          tasks_.push_back({&queries, head, first, std::min(rows_per_task, queries.rows - first)});
        }
      }
    }
  }

  void cut_tasks() {
    int64_t all = 0;
    for (const Task& task : tasks_) all += task.segments();
    int64_t floats = 0;
    for (Task& task : tasks_) {
      const int64_t segments = task.segments();
      if (segments == 1 || segments * kShare <= all) {
        units_.push_back({&task, 0, segments});
        continue;
      }
      for (int64_t s = 0; s < segments; ++s) units_.push_back({&task, s, s + 1});
      shared_.push_back(&task);
      floats += segments * tile_rows(task) * state_floats_;
    }
    float* states = device_.shared_scratch(static_cast<size_t>(floats));
    for (Task* task : shared_) {
      task->states = states;
      states += task->segments() * tile_rows(*task) * state_floats_;
    }
  }

  void run_unit(const Unit& unit, int thread) const {
    const Task& task = *unit.task;
    const int64_t rows = tile_rows(task);
    const bool in_tile = unit.end == 1 && task.states == nullptr;  // one segment, all there is
    // Room for whole tiles of a matrix unit, and whole lines, since such may come behind.
    const int64_t room = by_segments_ ? (rows + 15) / 16 * 16 : rows;
    const int64_t tile_floats = round_to_lines(attention::query_tile_floats(room));
    const int64_t segment_floats =
        by_segments_ ? round_to_lines(kernels_.segment_bf16_bytes(rows, head_dim_) / 4) : 0;
    float* scratch = device_.thread_scratch(
        thread, static_cast<size_t>(tile_floats + segment_floats + rows * state_floats_));
    attention::QueryTile tile = attention::make_query_tile(room, head_dim_, scratch);
    tile.rows = rows;
    float* totals = scratch + tile_floats + segment_floats;
    const auto total = [&](int64_t r) {
      return task.states != nullptr ? state(task, unit.begin, r)
             : in_tile              ? attention::row_state(tile, r)
                                    : attention::row_state(totals + r * state_floats_, head_dim_);
    };
    for (int64_t r = 0; r < rows; ++r) {
      std::memcpy(scratch + r * kStride,
                  p_.q + row_of(task, r) * p_.q_stride + head_of(task, r) * head_dim_,
                  static_cast<size_t>(head_dim_) * sizeof(float));
    }
    const auto keys = [&](int64_t r) { return task.keys(r / group_); };
    for (int64_t segment = unit.begin; segment < unit.end; ++segment) {
      if (by_segments_) {
        attention::collect_segment_bf16(
            tile, segment, p_.scale, task.keys(0), group_,
            [&](int64_t block) {
              return tiles_of(p_.layout, task.queries->pages[block], task.kv_head);
            },
            reinterpret_cast<char*>(scratch + tile_floats), kernels_);
      } else {
        attention::collect_segment(
            tile, segment, p_.scale, keys,
            [&](int64_t block) {
              std::byte* const* pages = task.queries->pages + block;
              if ((block + 1) * kBlock < keys(rows - 1)) {
                prefetch_tiles(p_.layout, pages[1], task.kv_head);
              }
              return tiles_of(p_.layout, pages[0], task.kv_head);
            },
            kernels_);
      }
      for (int64_t r = 0; r < rows && !in_tile; ++r) {
        if (keys(r) <= segment * kSegment) continue;
        attention::add_segment(attention::row_state(tile, r), head_dim_, segment == unit.begin,
                               total(r), kernels_);
      }
    }
    for (int64_t r = 0; r < rows && task.states == nullptr; ++r) finish(task, r, total(r));
  }

  void add_segments(const Task& task) const {
    for (int64_t r = 0; r < tile_rows(task); ++r) {
      const attention::RowState total = state(task, 0, r);
      for (int64_t s = 1; s * kSegment < task.keys(r / group_); ++s) {
        attention::add_segment(state(task, s, r), head_dim_, false, total, kernels_);
      }
      finish(task, r, total);
    }
  }

  const CachedAttentionParams& p_;
  Device& device_;
  const cpu::KernelTable& kernels_;
  const int64_t group_;  // query heads of a key-value head
  const int64_t head_dim_;
  const bool by_segments_;  // one kernel takes a segment
  const int64_t state_floats_;
  std::vector<Task> tasks_;
  std::vector<Unit> units_;
  std::vector<Task*> shared_;
};

}  // namespace

void cached_attention(const CachedAttentionParams& params, Device& device) {
  LOOPLM_CHECK(params.layout.head_dim <= attention::kMaxHeadDim, "head_dim {}",
               params.layout.head_dim);
  CachedAttention(params, device).run();
}

}  // namespace looplm
