// What products take, and how a block's pieces of memory are cut.
#ifndef LOOPLM_MODEL_OPERAND_H_
#define LOOPLM_MODEL_OPERAND_H_

#include <cstdint>

#include "looplm/config.h"

#include "kernels/kernels.h"

namespace looplm {

// What products take: values in fp32, or rounded to bf16 already (rows of rounded_stride). Both
// give the same bits where the matrix is of bf16; rounded ones are half as large, and are rounded
// once for all products that take them.
struct Operand {
  float* values = nullptr;
  Bf16* rounded = nullptr;

  // The same from row `first` on.
  Operand from_row(int64_t first, int64_t width) const {
    return {.values = values == nullptr ? nullptr : values + first * width,
            .rounded = rounded == nullptr ? nullptr : rounded + first * rounded_stride(width)};
  }
};

// Cuts consecutive pieces off one allocation.
class Carver {
 public:
  explicit Carver(float* memory) : at_(memory) {}
  float* take(int64_t floats) {
    float* piece = at_;
    at_ += floats;
    return piece;
  }
  Operand take_operand(int64_t rows, int64_t width, DType type) {
    float* piece = take(operand_floats(rows, width, type));
    if (type == DType::kBf16) return {.rounded = reinterpret_cast<Bf16*>(piece)};
    return {.values = piece};
  }
  static int64_t operand_floats(int64_t rows, int64_t width, DType type) {
    return rows * (type == DType::kBf16 ? rounded_stride(width) / 2 : width);
  }

 private:
  float* at_;
};

struct Widths {
  explicit Widths(const ModelConfig& c)
      : hidden(c.hidden_size),
        query(c.query_size()),
        qkv(c.query_size() + 2 * c.kv_size()),
        feed_forward(c.intermediate_size) {}
  int64_t hidden;
  int64_t query;
  int64_t qkv;
  int64_t feed_forward;
};

}  // namespace looplm

#endif  // LOOPLM_MODEL_OPERAND_H_
