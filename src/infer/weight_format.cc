#include "infer/weight_format.h"

namespace looplm {

MatrixFormat weight_format(WeightType wanted, const std::vector<ParameterSpec>& specs,
                           const std::vector<TensorView>& tensors) {
  switch (wanted) {
    case WeightType::kF32:
      return float_format(DType::kF32);
    case WeightType::kBf16:
      return float_format(DType::kBf16);
    case WeightType::kInt8:
      return quantized_format(Quant::kInt8);
    case WeightType::kInt4:
      return quantized_format(Quant::kInt4);
    case WeightType::kAsStored:
      break;
  }
  return stored_format(specs, tensors);
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
