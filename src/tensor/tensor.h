// Shapes and views of tensors, with their texts.
#ifndef LOOPLM_TENSOR_TENSOR_H_
#define LOOPLM_TENSOR_TENSOR_H_

#include <string>

#include <fmt/format.h>

#include "looplm/tensor.h"

#include "tensor/dtype.h"

namespace looplm {

// "[49152, 2048]". Without fmt::join, whose inlined parser GCC 12 warns about at -O3.
inline std::string shape_text(const Shape& shape) {
  std::string text = "[";
  for (const int64_t size : shape) text += fmt::format("{}{}", text.size() > 1 ? ", " : "", size);
  return text + "]";
}

}  // namespace looplm

#endif  // LOOPLM_TENSOR_TENSOR_H_
