#include "infer/weight_format.h"

#include "model/quantized_checkpoint.h"

namespace looplm {
namespace {

// Norms and the gate are fp32 in memory anyhow, and in the GGUF files of every type. Half precision
// has three bits more than bf16.
DType stored_dtype(const std::vector<ParameterSpec>& specs,
                   const std::vector<TensorView>& tensors) {
  for (size_t i = 0; i < specs.size(); ++i) {
    const ParameterRole role = specs[i].role;
    const bool matrix = role == ParameterRole::kEmbedding || role == ParameterRole::kHead ||
                        role == ParameterRole::kLinear;
    const bool finer = tensors[i].dtype == DType::kF32 || tensors[i].dtype == DType::kF16;
    if (matrix && finer) return DType::kF32;
  }
  return DType::kBf16;
}

}  // namespace

MatrixFormat weight_format(WeightType wanted, const std::vector<ParameterSpec>& specs,
                           const std::vector<TensorView>& tensors) {
  switch (wanted) {
    case WeightType::kF32:
      return {DType::kF32, {}, Quant::kNone};
    case WeightType::kBf16:
      return {DType::kBf16, {}, Quant::kNone};
    case WeightType::kInt8:
      return {DType::kBf16, BlockQuants::all(Quant::kInt8), Quant::kInt8};
    case WeightType::kInt4:
      return {DType::kBf16, BlockQuants::all(Quant::kInt4), Quant::kInt8};
    case WeightType::kAsStored:
      break;
  }
  MatrixFormat format = {stored_dtype(specs, tensors), {}, Quant::kNone};
  for (size_t i = 0; i < specs.size(); ++i) {
    const Quant stored = quant_of(tensors[i]);
    if (specs[i].role == ParameterRole::kLinear) format.blocks.*stack_of(specs[i].name) = stored;
    if (specs[i].role == ParameterRole::kHead) format.head = stored;
  }
  return format;
}

std::string weight_format_text(const MatrixFormat& format) {
  const std::string floats = format.dtype == DType::kF32 ? "f32" : "bf16";
  const auto name = [&](Quant quant) {
    return quant == Quant::kInt8 ? "int8" : quant == Quant::kInt4 ? "int4" : floats;
  };
  const Quant blocks = format.blocks.qkv;
  const std::string text =
      format.blocks == BlockQuants::all(blocks) ? name(blocks) : "a mixture of types";
  return format.head == blocks ? text : text + ", head " + name(format.head);
}

}  // namespace looplm
