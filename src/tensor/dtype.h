// Names of element types.
#ifndef LOOPLM_TENSOR_DTYPE_H_
#define LOOPLM_TENSOR_DTYPE_H_

#include <optional>
#include <string_view>

#include "looplm/tensor.h"

namespace looplm {

// The names that safetensors headers use.
constexpr const char* dtype_name(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return "F32";
    case DType::kBf16:
      return "BF16";
    case DType::kF16:
      return "F16";
    case DType::kU8:
      return "U8";
  }
  return "?";
}

// The words of prose.
constexpr const char* dtype_word(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return "fp32";
    case DType::kBf16:
      return "bf16";
    case DType::kF16:
      return "fp16";
    case DType::kU8:
      return "uint8";
  }
  return "?";
}

constexpr std::optional<DType> dtype_from_name(std::string_view name) {
  for (DType dtype : {DType::kF32, DType::kBf16, DType::kF16, DType::kU8}) {
    if (name == dtype_name(dtype)) return dtype;
  }
  return std::nullopt;
}

}  // namespace looplm

#endif  // LOOPLM_TENSOR_DTYPE_H_
