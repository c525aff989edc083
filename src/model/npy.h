// NumPy's .npy files (format version 1.0) of float32, for looking at states in Python.
#ifndef LOOPLM_MODEL_NPY_H_
#define LOOPLM_MODEL_NPY_H_

#include <cstdint>
#include <span>
#include <string>

#include "looplm/status.h"

#include "base/file.h"
#include "tensor/tensor.h"

namespace looplm {

// Byte for byte what numpy.save writes for a C-ordered '<f4' array. The file appears at `path` in
// commit() or not at all.
class NpyWriter {
 public:
  // At most 32 sizes, as in NumPy 1.
  static Result<NpyWriter> create(const std::string& path, const Shape& shape);

  // The next elements in row-major order, in chunks of any size. Writing more than the shape holds,
  // or committing less, is the caller's defect (LOOPLM_CHECK).
  Status write(std::span<const float> values);
  Status commit();

 private:
  NpyWriter(AtomicFileWriter file, uint64_t remaining)
      : file_(std::move(file)), remaining_(remaining) {}

  AtomicFileWriter file_;
  uint64_t remaining_;  // elements
};

}  // namespace looplm

#endif  // LOOPLM_MODEL_NPY_H_
