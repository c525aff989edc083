// Positions' keys and values in the pages that attention reads.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "base/bf16.h"
#include "base/check.h"
#include "kernels/attention.h"
#include "kernels/attention_block.h"

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

// Rows of one head in bf16, and where they go in a page.
class RoundedRows {
 public:
  RoundedRows(const KvLayout& layout, int64_t head, int64_t slot, std::byte* page,
              const cpu::KernelTable& kernels)
      : layout_(layout), head_(head), slot_(slot), page_(page), kernels_(kernels) {}

  void store_keys(std::span<const float* const> rows) {
    round(rows);
    std::array<const void*, kPagePositions> words;
    for (size_t r = 0; r < rows.size(); ++r) words[r] = halves_[r].data();
    const auto count = static_cast<int64_t>(rows.size());
    const int64_t pairs = (layout_.head_dim + 1) / 2;
    auto* out = reinterpret_cast<uint32_t*>(page_ + layout_.key_offset(head_)) + slot_;
    kernels_.transpose_words(words.data(), count, pairs, out);
    for (int64_t i = pairs; i < layout_.key_terms() / 2; ++i) {
      std::fill_n(out + i * kPagePositions, count, 0u);
    }
  }

  void store_values(std::span<const float* const> rows) {
    round(rows);
    for (int64_t first = 0; first < layout_.head_dim; first += cpu::kPanel) {
      store_value_panel(first, rows.size());
    }
  }

 private:
  void round(std::span<const float* const> rows) {
    for (size_t r = 0; r < rows.size(); ++r) {
      kernels_.round_row_bf16(rows[r] + head_ * layout_.head_dim, layout_.head_dim,
                              reinterpret_cast<uint32_t*>(halves_[r].data()));
    }
  }

  // Dimensions [first, first + 32): positions go by pairs, those that are alone by themselves.
  void store_value_panel(int64_t first, size_t count) {
    const int64_t columns = std::min(cpu::kPanel, layout_.head_dim - first);
    std::byte* const panel = page_ + layout_.value_offset(head_) + first * kPagePositions * 2;
    for (size_t r = 0; r < count;) {
      const int64_t slot = slot_ + static_cast<int64_t>(r);
      std::byte* const pairs = panel + slot / 2 * cpu::kPanel * 4;
      const uint16_t* const row = halves_[r].data() + first;
      if (slot % 2 == 0 && r + 1 < count) {
        kernels_.pair_rounded_rows(row, halves_[r + 1].data() + first, columns,
                                   reinterpret_cast<uint32_t*>(pairs));
        r += 2;
      } else {
        auto* const out = reinterpret_cast<uint16_t*>(pairs) + slot % 2;
        for (int64_t c = 0; c < columns; ++c) out[2 * c] = row[c];
        ++r;
      }
    }
  }

  const KvLayout& layout_;
  int64_t head_;
  int64_t slot_;
  std::byte* page_;
  const cpu::KernelTable& kernels_;
  alignas(64) std::array<std::array<uint16_t, attention::kMaxHeadDim>, kPagePositions> halves_;
};

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

void store_kv_rows(const KvLayout& layout, std::span<const float* const> k,
                   std::span<const float* const> v, int64_t position, std::byte* page,
                   const cpu::KernelTable& kernels) {
  const int64_t slot = position % kPagePositions;
  LOOPLM_CHECK(k.size() == v.size() && slot + static_cast<int64_t>(k.size()) <= kPagePositions,
               "{} keys and {} values at position {}", k.size(), v.size(), position);
  if (layout.type != KvType::kBf16) {
    for (size_t r = 0; r < k.size(); ++r) {
      store_kv(layout, k[r], v[r], position + static_cast<int64_t>(r), page);
    }
    return;
  }
  for (int64_t head = 0; head < layout.kv_heads; ++head) {
    RoundedRows rows(layout, head, slot, page, kernels);
    rows.store_keys(k);
    rows.store_values(v);
  }
}

void copy_kv(const KvLayout& layout, int64_t head, const std::byte* from, int64_t positions,
             std::byte* to) {
  constexpr int64_t kPiece = 32;  // bytes; a constant, so that it is a few instructions
  const auto copy = [&](int64_t offset, int64_t bytes) {
    for (int64_t i = offset; i < offset + bytes; i += kPiece) std::memcpy(to + i, from + i, kPiece);
  };
  // Rows of keys, and of values for each panel, have a place for each position; in bf16 those of
  // keys hold pairs of terms, and those of values pairs of positions.
  const int64_t element = layout.element_bytes();
  const int64_t terms = layout.type == KvType::kBf16 ? 2 : 1;
  const int64_t key_row = kPagePositions * terms * element;
  const int64_t key_bytes = (positions * terms * element + kPiece - 1) / kPiece * kPiece;
  const int64_t keys = layout.key_offset(head);
  for (int64_t i = 0; i < layout.key_tile() * element; i += key_row) copy(keys + i, key_bytes);
  const int64_t value_row = cpu::kPanel * element;
  const int64_t value_rows = (positions + terms - 1) / terms * terms;
  const int64_t values = layout.value_offset(head);
  for (int64_t panel = 0; panel < layout.value_panels(); ++panel) {
    copy(values + panel * kPagePositions * value_row, value_rows * value_row);
  }
  if (layout.type != KvType::kInt8) return;
  const int64_t scale_bytes = kPagePositions * static_cast<int64_t>(sizeof(float));
  copy(layout.key_scale_offset(head), scale_bytes);
  copy(layout.value_scale_offset(head), scale_bytes);
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
