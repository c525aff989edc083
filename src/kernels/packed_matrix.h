// The right-hand matrix of a product, laid out for the tiles: panels of 32 columns, each a sequence
// of terms.
//
//   fp32: (panels, terms, 32)            bf16: (panels, terms / 2, 32, 2), terms a multiple of 32
//
// Columns beyond the matrix, and terms beyond its last one, are zero. A weight is
// packed once, at load or after an optimiser step, and read in one forward sweep per product.
#ifndef LOOPLM_KERNELS_PACKED_MATRIX_H_
#define LOOPLM_KERNELS_PACKED_MATRIX_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/device.h"
#include "kernels/quantized.h"
#include "tensor/buffer.h"
#include "tensor/dtype.h"

namespace looplm {

// A row-major matrix to pack: `rows` rows of `columns` contiguous elements of any dtype, rows
// `row_stride` elements apart.
struct MatrixSource {
  const void* data = nullptr;
  DType dtype = DType::kF32;
  int64_t rows = 0;
  int64_t columns = 0;
  int64_t row_stride = 0;
  // For a matrix in small integers, of one that is in the same kind: `data` has the levels of rows
  // of whole groups as files keep them, a byte each (int8, q + 128) or two in a byte (int4, the
  // first in the lower half).
  const std::byte* scales = nullptr;    // int8: (rows) of fp32; int4: (rows, groups) of fp16
  const std::byte* minimums = nullptr;  // int4: (rows, groups) of fp16
};

class PackedMatrix {
 public:
  PackedMatrix() = default;
  // dtype is kF32 or kBf16.
  PackedMatrix(int64_t terms, int64_t columns, DType dtype);
  // The same layout in memory that the caller keeps; at least packed_bytes(...) long.
  PackedMatrix(int64_t terms, int64_t columns, DType dtype, std::byte* memory);

  // In small integers; dtype() is then without meaning. A product rounds the other operand too.
  PackedMatrix(int64_t terms, int64_t columns, Quant quant);
  // In small integers that products widen to dtype(), so that the other operand stays as it is: for
  // training.
  PackedMatrix(int64_t terms, int64_t columns, Quant quant, DType widened);

  static size_t packed_bytes(int64_t terms, int64_t columns, DType dtype);
  static size_t packed_bytes(int64_t terms, int64_t columns, Quant quant);

  int64_t terms() const { return terms_; }
  int64_t columns() const { return columns_; }
  DType dtype() const { return dtype_; }
  Quant quant() const { return quant_; }
  bool is_widened() const { return widened_; }
  int64_t panels() const { return (columns_ + cpu::kPanel - 1) / cpu::kPanel; }
  int64_t panel_bytes() const { return panel_bytes_; }
  size_t bytes() const { return static_cast<size_t>(panels() * panel_bytes_); }
  const std::byte* panel(int64_t index) const { return data_ + index * panel_bytes_; }
  std::byte* panel(int64_t index) { return data_ + index * panel_bytes_; }
  bool empty() const { return data_ == nullptr; }

 private:
  int64_t terms_ = 0;
  int64_t columns_ = 0;
  DType dtype_ = DType::kF32;
  Quant quant_ = Quant::kNone;
  bool widened_ = false;
  int64_t panel_bytes_ = 0;
  Buffer<std::byte> owned_;
  std::byte* data_ = nullptr;
};

// For y = x W^T with W (out, in): terms run over `in`, columns over `out`. Several sources are
// stacked, so that projections of the same input become one product; their rows must sum to
// out.columns() and their columns equal out.terms(). A quantised matrix is rounded here.
void pack_rows(std::span<const MatrixSource> sources, PackedMatrix& out, Device& device);

// For dx = dy W (terms over `out`, columns over `in`), and for weight gradients, where the terms
// are tokens. Sources are stacked too: their rows must sum to out.terms().
void pack_columns(std::span<const MatrixSource> sources, PackedMatrix& out, Device& device);
// The same of some terms, from `first` on, an even number. The others stay as they are.
void pack_terms(std::span<const MatrixSource> sources, int64_t first, PackedMatrix& out,
                Device& device);

}  // namespace looplm

#endif  // LOOPLM_KERNELS_PACKED_MATRIX_H_
