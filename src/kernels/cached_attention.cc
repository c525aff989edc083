#include <algorithm>
#include <cstring>
#include <vector>

#include "base/check.h"
#include "kernels/attention.h"
#include "kernels/attention_block.h"

namespace looplm {
namespace {

using attention::kBlock;
using attention::kStride;

// Query rows of one task: enough to reuse a block of keys, few enough to keep the state in the
// first cache.
constexpr int64_t kTaskRows = 24;

static_assert(kPagePositions == kBlock);

// The queries of one key-value head: rows of a chunk times the query heads that share the head.
struct Task {
  const CachedQueries* queries;
  int64_t kv_head;
  int64_t first;  // row within the queries
  int64_t rows;
};

}  // namespace

void store_kv(const KvLayout& layout, const float* k, const float* v, int64_t position,
              float* page) {
  const int64_t slot = position % kPagePositions;
  for (int64_t h = 0; h < layout.kv_heads; ++h) {
    float* keys = page + h * layout.key_tile() + slot;
    float* values = page + layout.value_offset(h) + slot * cpu::kPanel;
    const float* key = k + h * layout.head_dim;
    const float* value = v + h * layout.head_dim;
    for (int64_t i = 0; i < layout.head_dim; ++i) keys[i * kPagePositions] = key[i];
    for (int64_t i = 0; i < layout.head_dim; i += cpu::kPanel) {
      const int64_t count = std::min(cpu::kPanel, layout.head_dim - i);
      std::memcpy(values + i * kPagePositions, value + i,
                  static_cast<size_t>(count) * sizeof(float));
    }
  }
}

void load_kv(const KvLayout& layout, const float* page, int64_t position, float* k, float* v) {
  const int64_t slot = position % kPagePositions;
  for (int64_t h = 0; h < layout.kv_heads; ++h) {
    const float* keys = page + h * layout.key_tile() + slot;
    const float* values = page + layout.value_offset(h) + slot * cpu::kPanel;
    for (int64_t i = 0; i < layout.head_dim; ++i) {
      k[h * layout.head_dim + i] = keys[i * kPagePositions];
      v[h * layout.head_dim + i] =
          values[i / cpu::kPanel * cpu::kPanel * kPagePositions + i % cpu::kPanel];
    }
  }
}

void cached_attention(const CachedAttentionParams& p, Device& device) {
  const KvLayout& layout = p.layout;
  const int64_t group = p.heads / layout.kv_heads;
  const int64_t head_dim = layout.head_dim;
  LOOPLM_CHECK(head_dim <= attention::kMaxHeadDim, "head_dim {}", head_dim);
  const int64_t rows_per_task = std::max<int64_t>(1, kTaskRows / group);

  std::vector<Task> tasks;
  for (const CachedQueries& queries : p.queries) {
    for (int64_t head = 0; head < layout.kv_heads; ++head) {
      for (int64_t first = 0; first < queries.rows; first += rows_per_task) {
        tasks.push_back({&queries, head, first, std::min(rows_per_task, queries.rows - first)});
      }
    }
  }

  device.pool().parallel_for(static_cast<int64_t>(tasks.size()), [&](int64_t index, int thread) {
    const Task& task = tasks[static_cast<size_t>(index)];
    const int64_t rows = task.rows * group;  // tile row = row * group + head within the group
    float* scratch =
        device.thread_scratch(thread, static_cast<size_t>(attention::query_tile_floats(rows)));
    const attention::QueryTile tile = attention::make_query_tile(rows, head_dim, scratch);
    const int64_t first_row = task.queries->first_row + task.first;
    for (int64_t r = 0; r < rows; ++r) {
      const float* q = p.q + (first_row + r / group) * p.q_stride +
                       (task.kv_head * group + r % group) * head_dim;
      std::memcpy(scratch + r * kStride, q, static_cast<size_t>(head_dim) * sizeof(float));
    }
    const int64_t first_position = task.queries->first_position + task.first;
    const int64_t keys = first_position + task.rows;  // of the last row
    for (int64_t block = 0; block * kBlock < keys; ++block) {
      const float* page = task.queries->pages[block];
      attention::add_block(
          tile, page + task.kv_head * layout.key_tile(), page + layout.value_offset(task.kv_head),
          p.scale, [&](int64_t r) { return first_position + r / group + 1 - block * kBlock; },
          device.kernels());
    }
    for (int64_t r = 0; r < rows; ++r) {
      float* out =
          p.out + ((first_row + r / group) * p.heads + task.kv_head * group + r % group) * head_dim;
      attention::finish_row(tile, r, out, device.kernels());
    }
  });
}

}  // namespace looplm
