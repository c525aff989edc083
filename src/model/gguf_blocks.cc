#include "model/gguf_blocks.h"

#include <array>

#include <fmt/format.h>

#include "base/check.h"
#include "model/gguf_dequantize.h"
#include "model/tensor_read.h"

namespace looplm {
namespace {

// Layout and, for blocks, the function that reads one.
struct TypeRow {
  GgmlType type;
  GgmlBlock block;
  void (*read)(const std::byte* block, float* out);
};
constexpr std::array<TypeRow, 16> kTypes = {{
    {GgmlType::kF32, {"F32", 1, 4}, nullptr},
    {GgmlType::kF16, {"F16", 1, 2}, nullptr},
    {GgmlType::kBf16, {"BF16", 1, 2}, nullptr},
    {GgmlType::kQ8_0, {"Q8_0", 32, 34}, read_q8_0},
    {GgmlType::kQ4_0, {"Q4_0", 32, 18}, read_q4_0},
    {GgmlType::kQ4_1, {"Q4_1", 32, 20}, read_q4_1},
    {GgmlType::kQ5_0, {"Q5_0", 32, 22}, read_q5_0},
    {GgmlType::kQ5_1, {"Q5_1", 32, 24}, read_q5_1},
    {GgmlType::kQ2K, {"Q2_K", 256, 84}, read_q2_k},
    {GgmlType::kQ3K, {"Q3_K", 256, 110}, read_q3_k},
    {GgmlType::kQ4K, {"Q4_K", 256, 144}, read_q4_k},
    {GgmlType::kQ5K, {"Q5_K", 256, 176}, read_q5_k},
    {GgmlType::kQ6K, {"Q6_K", 256, 210}, read_q6_k},
    {GgmlType::kIq4Nl, {"IQ4_NL", 32, 18}, read_iq4_nl},
    {GgmlType::kIq4Xs, {"IQ4_XS", 256, 136}, read_iq4_xs},
    {GgmlType::kMxfp4, {"MXFP4", 32, 17}, read_mxfp4},
}};

// For messages only.
struct ForeignType {
  uint32_t code;
  const char* name;
};
constexpr std::array<ForeignType, 18> kForeignTypes = {{{9, "Q8_1"},
                                                        {15, "Q8_K"},
                                                        {16, "IQ2_XXS"},
                                                        {17, "IQ2_XS"},
                                                        {18, "IQ3_XXS"},
                                                        {19, "IQ1_S"},
                                                        {21, "IQ3_S"},
                                                        {22, "IQ2_S"},
                                                        {24, "I8"},
                                                        {25, "I16"},
                                                        {26, "I32"},
                                                        {27, "I64"},
                                                        {28, "F64"},
                                                        {29, "IQ1_M"},
                                                        {34, "TQ1_0"},
                                                        {35, "TQ2_0"},
                                                        {40, "NVFP4"},
                                                        {41, "Q1_0"}}};

const TypeRow& row_of(GgmlType type) {
  for (const TypeRow& row : kTypes) {
    if (row.type == type) return row;
  }
  LOOPLM_CHECK(false, "ggml type {}", static_cast<uint32_t>(type));
}

}  // namespace

GgmlBlock ggml_block(GgmlType type) { return row_of(type).block; }

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
  const TypeRow& row = row_of(type);
  const auto count = static_cast<int64_t>(out.size());
  LOOPLM_CHECK(count % row.block.elements == 0, "{} elements in {} blocks", count, row.block.name);
  if (row.read == nullptr) {
    return read_as_float({plain_dtype(type).value(), {count}, blocks}, out);
  }
  for (int64_t first = 0; first < count; first += row.block.elements) {
    row.read(blocks, out.data() + first);
    blocks += row.block.bytes;
  }
}

}  // namespace looplm
