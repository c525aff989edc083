// Positions' keys and values in the pages that attention reads.
#include <algorithm>
#include <cmath>

#include "base/bf16.h"
#include "kernels/attention.h"

namespace looplm {
namespace {

// Where element i of a head's key and value lies, in elements from the head's tiles.
int64_t key_slot(KvType type, int64_t slot, int64_t i) {
  return type == KvType::kBf16 ? (i / 2 * kPagePositions + slot) * 2 + i % 2
                               : i * kPagePositions + slot;
}
int64_t value_slot(KvType type, int64_t slot, int64_t i) {
  const int64_t panel = i / cpu::kPanel * kPagePositions * cpu::kPanel, column = i % cpu::kPanel;
  return panel + (type == KvType::kBf16 ? (slot / 2 * cpu::kPanel + column) * 2 + slot % 2
                                        : slot * cpu::kPanel + column);
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
    const auto at = [&](int64_t i) {
      return key ? key_slot(layout.type, slot, i) : value_slot(layout.type, slot, i);
    };
    std::byte* to = page + tile;
    if (layout.type == KvType::kF32) {
      for (int64_t i = 0; i < layout.head_dim; ++i) reinterpret_cast<float*>(to)[at(i)] = x[i];
    } else if (layout.type == KvType::kBf16) {
      for (int64_t i = 0; i < layout.head_dim; ++i) {
        reinterpret_cast<Bf16*>(to)[at(i)] = to_bf16(x[i]);
      }
      for (int64_t i = layout.head_dim; key && i < layout.key_terms(); ++i) {
        reinterpret_cast<Bf16*>(to)[at(i)] = Bf16();
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
      const int64_t at = key ? key_slot(layout.type, slot, i) : value_slot(layout.type, slot, i);
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

}  // namespace looplm
