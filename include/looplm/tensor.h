// Tensors in memory, and where a model gets them from.
#ifndef LOOPLM_TENSOR_H_
#define LOOPLM_TENSOR_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "looplm/status.h"

namespace looplm {

enum class DType { kF32, kBf16, kF16, kU8 };

constexpr size_t dtype_size(DType dtype) {
  return dtype == DType::kF32 ? 4 : dtype == DType::kU8 ? 1 : 2;
}

using Shape = std::vector<int64_t>;

// The product of the sizes; 1 for a scalar (no sizes).
inline int64_t element_count(const Shape& shape) {
  int64_t count = 1;
  for (int64_t size : shape) count *= size;
  return count;
}

// Memory that somebody else owns (a buffer, a mapped file) seen as a dense row-major tensor.
struct TensorView {
  DType dtype = DType::kF32;
  Shape shape;
  const std::byte* data = nullptr;  // any alignment
  // Set only by looplm, for a matrix that it stores in small integers (kU8).
  const std::byte* scales = nullptr;
  const std::byte* minimums = nullptr;

  int64_t count() const { return element_count(shape); }
  size_t bytes() const { return static_cast<size_t>(count()) * dtype_size(dtype); }
};

// Finds a model's tensor by its Hugging Face name: "model.layers.3.mlp.down_proj.weight". Returns
// an error if there is none.
using TensorSource = std::function<Result<TensorView>(const std::string& name)>;

}  // namespace looplm

#endif  // LOOPLM_TENSOR_H_
