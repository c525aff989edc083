#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/bf16.h"
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

// Where element i of a head's key and value lies, in elements from the head's tiles.
int64_t key_slot(int64_t slot, int64_t i) { return i * kPagePositions + slot; }
int64_t value_slot(int64_t slot, int64_t i) {
  return (i / cpu::kPanel * kPagePositions + slot) * cpu::kPanel + i % cpu::kPanel;
}

// Calls use(head, offset of the head's tile, offset of its scales, elements, slot function).
template <typename Use>
void for_tiles(const KvLayout& layout, Use use) {
  for (int64_t head = 0; head < layout.kv_heads; ++head) {
    use(head, layout.key_offset(head), layout.key_scale_offset(head), true);
    use(head, layout.value_offset(head), layout.value_scale_offset(head), false);
  }
}

float largest_magnitude(const float* x, int64_t n) {
  float most = 0;
  for (int64_t i = 0; i < n; ++i) most = std::max(most, std::abs(x[i]));
  return most;
}

}  // namespace

void store_kv(const KvLayout& layout, const float* k, const float* v, int64_t position,
              std::byte* page) {
  const int64_t slot = position % kPagePositions;
  for_tiles(layout, [&](int64_t head, int64_t tile, int64_t scales, bool key) {
    const float* x = (key ? k : v) + head * layout.head_dim;
    const auto at = [&](int64_t i) { return key ? key_slot(slot, i) : value_slot(slot, i); };
    std::byte* to = page + tile;
    if (layout.type == KvType::kF32) {
      for (int64_t i = 0; i < layout.head_dim; ++i) reinterpret_cast<float*>(to)[at(i)] = x[i];
    } else if (layout.type == KvType::kBf16) {
      for (int64_t i = 0; i < layout.head_dim; ++i) {
        reinterpret_cast<Bf16*>(to)[at(i)] = to_bf16(x[i]);
      }
    } else {
      const float most = largest_magnitude(x, layout.head_dim);
      reinterpret_cast<float*>(page + scales)[slot] = most / 127.0f;
      const float inverse = most > 0 ? 127.0f / most : 0.0f;
      for (int64_t i = 0; i < layout.head_dim; ++i) {
        reinterpret_cast<int8_t*>(to)[at(i)] = static_cast<int8_t>(std::lrint(x[i] * inverse));
      }
    }
  });
}

void load_kv(const KvLayout& layout, const std::byte* page, int64_t position, float* k, float* v) {
  const int64_t slot = position % kPagePositions;
  for_tiles(layout, [&](int64_t head, int64_t tile, int64_t scales, bool key) {
    float* x = (key ? k : v) + head * layout.head_dim;
    const std::byte* from = page + tile;
    const float scale =
        layout.type == KvType::kInt8 ? reinterpret_cast<const float*>(page + scales)[slot] : 1.0f;
    for (int64_t i = 0; i < layout.head_dim; ++i) {
      const int64_t at = key ? key_slot(slot, i) : value_slot(slot, i);
      switch (layout.type) {
        case KvType::kF32:
          x[i] = reinterpret_cast<const float*>(from)[at];
          break;
        case KvType::kBf16:
          x[i] = to_float(reinterpret_cast<const Bf16*>(from)[at]);
          break;
        case KvType::kInt8:
          x[i] = static_cast<float>(reinterpret_cast<const int8_t*>(from)[at]) * scale;
          break;
      }
    }
  });
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
      std::byte* const* pages = task.queries->pages + block;
      if ((block + 1) * kBlock < keys) prefetch_tiles(layout, pages[1], task.kv_head);
      attention::add_block(
          tile, tiles_of(layout, pages[0], task.kv_head), p.scale,
          [&](int64_t r) { return first_position + r / group + 1 - block * kBlock; },
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
