#include "model/gguf_blocks.h"

#include <array>
#include <cstring>

#include <fmt/format.h>

#include "base/bf16.h"
#include "base/check.h"

namespace looplm {
namespace {

struct TypeRow {
  GgmlType type;
  GgmlBlock block;
};
constexpr std::array<TypeRow, 7> kTypes = {{
    {GgmlType::kF32, {"F32", 1, 4}},
    {GgmlType::kF16, {"F16", 1, 2}},
    {GgmlType::kBf16, {"BF16", 1, 2}},
    {GgmlType::kQ8_0, {"Q8_0", 32, 34}},
    {GgmlType::kQ4_0, {"Q4_0", 32, 18}},
    {GgmlType::kQ4K, {"Q4_K", 256, 144}},
    {GgmlType::kQ6K, {"Q6_K", 256, 210}},
}};

// For messages only.
struct ForeignType {
  uint32_t code;
  const char* name;
};
constexpr std::array<ForeignType, 25> kForeignTypes = {
    {{3, "Q4_1"},     {6, "Q5_0"},   {7, "Q5_1"},    {9, "Q8_1"},     {10, "Q2_K"},
     {11, "Q3_K"},    {13, "Q5_K"},  {15, "Q8_K"},   {16, "IQ2_XXS"}, {17, "IQ2_XS"},
     {18, "IQ3_XXS"}, {19, "IQ1_S"}, {20, "IQ4_NL"}, {21, "IQ3_S"},   {22, "IQ2_S"},
     {23, "IQ4_XS"},  {24, "I8"},    {25, "I16"},    {26, "I32"},     {27, "I64"},
     {28, "F64"},     {29, "IQ1_M"}, {34, "TQ1_0"},  {35, "TQ2_0"},   {39, "MXFP4"}}};

uint8_t byte_at(const std::byte* data, int64_t index) {
  return std::to_integer<uint8_t>(data[index]);
}

float signed_at(const std::byte* data, int64_t index) {
  return static_cast<float>(static_cast<int8_t>(byte_at(data, index)));
}

uint16_t word_at(const std::byte* data) {
  uint16_t word;
  std::memcpy(&word, data, sizeof(word));
  return word;
}

float half_at(const std::byte* data) { return half_to_float(word_at(data)); }

// A half scale, then 32 signed bytes.
void read_q8_0(const std::byte* block, float* out) {
  const float scale = half_at(block);
  for (int i = 0; i < 32; ++i) out[i] = signed_at(block + 2, i) * scale;
}

// A half scale, then 16 bytes: low nibbles are elements 0..15, high ones 16..31; 8 means zero.
void read_q4_0(const std::byte* block, float* out) {
  const float scale = half_at(block);
  for (int i = 0; i < 16; ++i) {
    const int pair = byte_at(block + 2, i);
    out[i] = static_cast<float>((pair & 15) - 8) * scale;
    out[i + 16] = static_cast<float>((pair >> 4) - 8) * scale;
  }
}

struct ScaleAndMin {
  int scale;
  int min;
};

// The i-th of eight pairs of 6-bit numbers in 12 bytes. The first four scales and minima are the
// low 6 bits of bytes 0..3 and 4..7; the others have their low 4 bits in the nibbles of bytes
// 8..11 and their upper 2 bits in the top of the first eight bytes.
ScaleAndMin scale_and_min(const std::byte* packed, int i) {
  if (i < 4) return {byte_at(packed, i) & 63, byte_at(packed, i + 4) & 63};
  const int low = byte_at(packed, i + 4);
  return {(low & 15) | (byte_at(packed, i - 4) >> 6 << 4),
          (low >> 4) | (byte_at(packed, i) >> 6 << 4)};
}

// Two half factors, 12 bytes of scales and minima for eight groups of 32, then 128 bytes; each 32
// of them hold two groups, the first in the low nibbles.
void read_q4_k(const std::byte* block, float* out) {
  const float factor = half_at(block);
  const float min_factor = half_at(block + 2);
  for (int group = 0; group < 8; ++group) {
    const ScaleAndMin packed = scale_and_min(block + 4, group);
    const float scale = factor * static_cast<float>(packed.scale);
    const float min = min_factor * static_cast<float>(packed.min);
    const std::byte* nibbles = block + 16 + group / 2 * 32;
    const int shift = group % 2 * 4;
    for (int i = 0; i < 32; ++i) {
      const int level = (byte_at(nibbles, i) >> shift) & 15;
      out[group * 32 + i] = scale * static_cast<float>(level) - min;
    }
  }
}

// 128 bytes of low nibbles, 64 bytes of upper bit pairs, 16 signed scales of 16 elements each, a
// half factor. In each half of 128 elements, the q-th run of 32 has its nibbles in the low (q < 2)
// or high half of bytes q % 2 * 32 .., and its upper bits at position 2q of the same 32 bytes.
void read_q6_k(const std::byte* block, float* out) {
  const float factor = half_at(block + 208);
  for (int half = 0; half < 2; ++half) {
    const std::byte* low = block + half * 64;
    const std::byte* high = block + 128 + half * 32;
    const std::byte* scales = block + 192 + half * 8;
    for (int run = 0; run < 4; ++run) {
      for (int i = 0; i < 32; ++i) {
        const int nibble = (byte_at(low, run % 2 * 32 + i) >> (run / 2 * 4)) & 15;
        const int upper = (byte_at(high, i) >> (run * 2)) & 3;
        const float scale = factor * signed_at(scales, run * 2 + i / 16);
        out[half * 128 + run * 32 + i] = scale * static_cast<float>((nibble | upper << 4) - 32);
      }
    }
  }
}

}  // namespace

GgmlBlock ggml_block(GgmlType type) {
  for (const TypeRow& row : kTypes) {
    if (row.type == type) return row.block;
  }
  LOOPLM_CHECK(false, "ggml type {}", static_cast<uint32_t>(type));
}

std::optional<GgmlType> ggml_type_from_code(uint32_t code) {
  for (const TypeRow& row : kTypes) {
    if (static_cast<uint32_t>(row.type) == code) return row.type;
  }
  return std::nullopt;
}

std::string ggml_type_text(uint32_t code) {
  if (const auto type = ggml_type_from_code(code)) return ggml_block(*type).name;
  for (const ForeignType& row : kForeignTypes) {
    if (row.code == code) return row.name;
  }
  return fmt::format("type {}", code);
}

std::string ggml_types_text() {
  std::string text;
  for (const TypeRow& row : kTypes)
    text += (text.empty() ? "" : ", ") + std::string(row.block.name);
  return text;
}

std::optional<DType> plain_dtype(GgmlType type) {
  if (type == GgmlType::kF32) return DType::kF32;
  if (type == GgmlType::kF16) return DType::kF16;
  if (type == GgmlType::kBf16) return DType::kBf16;
  return std::nullopt;
}

void read_ggml_blocks(GgmlType type, const std::byte* blocks, std::span<float> out) {
  const GgmlBlock shape = ggml_block(type);
  const auto count = static_cast<int64_t>(out.size());
  LOOPLM_CHECK(count % shape.elements == 0, "{} elements in {} blocks", count, shape.name);
  for (int64_t first = 0; first < count; first += shape.elements, blocks += shape.bytes) {
    float* to = out.data() + first;
    switch (type) {
      case GgmlType::kF32:
        std::memcpy(to, blocks, sizeof(float));
        break;
      case GgmlType::kF16:
        *to = half_at(blocks);
        break;
      case GgmlType::kBf16:
        *to = to_float(Bf16{word_at(blocks)});
        break;
      case GgmlType::kQ8_0:
        read_q8_0(blocks, to);
        break;
      case GgmlType::kQ4_0:
        read_q4_0(blocks, to);
        break;
      case GgmlType::kQ4K:
        read_q4_k(blocks, to);
        break;
      case GgmlType::kQ6K:
        read_q6_k(blocks, to);
        break;
    }
  }
}

}  // namespace looplm
