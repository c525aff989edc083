// A shape and a non-owning view of a dense row-major tensor.
#ifndef LOOPLM_TENSOR_TENSOR_H_
#define LOOPLM_TENSOR_TENSOR_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "tensor/dtype.h"

namespace looplm {

using Shape = std::vector<int64_t>;

// The product of the sizes; 1 for a scalar (no sizes).
inline int64_t element_count(const Shape& shape) {
  int64_t count = 1;
  for (int64_t size : shape) count *= size;
  return count;
}

// "[49152, 2048]". Without fmt::join, whose inlined parser GCC 12 warns about at -O3.
inline std::string shape_text(const Shape& shape) {
  std::string text = "[";
  for (const int64_t size : shape) text += fmt::format("{}{}", text.size() > 1 ? ", " : "", size);
  return text + "]";
}

// Memory that somebody else owns (a mapped file, a buffer) seen as a tensor.
struct TensorView {
  DType dtype = DType::kF32;
  Shape shape;
  const std::byte* data = nullptr;
  // Of a matrix in small integers (U8; model/quantized_checkpoint.h), whose shape is the matrix's.
  const std::byte* scales = nullptr;
  const std::byte* minimums = nullptr;

  int64_t count() const { return element_count(shape); }
  size_t bytes() const { return static_cast<size_t>(count()) * dtype_size(dtype); }
};

}  // namespace looplm

#endif  // LOOPLM_TENSOR_TENSOR_H_
