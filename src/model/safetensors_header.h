// The safetensors format: eight bytes with the header's length N (little-endian), N bytes of JSON,
// then the tensors' data. The JSON maps each name to {"dtype", "shape", "data_offsets": [begin,
// end]}, offsets counting from the end of the header, and may hold string pairs in "__metadata__".
// Source: the format section of github.com/huggingface/safetensors.
//
// These functions work on memory; safetensors.h and safetensors_writer.h work on files.
#ifndef LOOPLM_MODEL_SAFETENSORS_HEADER_H_
#define LOOPLM_MODEL_SAFETENSORS_HEADER_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "looplm/status.h"

#include "tensor/tensor.h"

namespace looplm {

using SafetensorsMetadata = std::map<std::string, std::string>;

struct StoredTensor {
  std::string name;   // not empty, no control characters
  std::string dtype;  // as the header spells it; may be one that looplm does not read
  Shape shape;        // its element count fits in an int64_t
  uint64_t begin = 0;
  uint64_t end = 0;
};

struct SafetensorsHeader {
  std::vector<StoredTensor> tensors;  // in the order of their data
  SafetensorsMetadata metadata;
  uint64_t data_begin = 0;  // where the data starts in the file
};

// A real header holds about 115 bytes per tensor, 62 KB for Ouro-2.6B.
inline constexpr uint64_t kMaxSafetensorsHeaderBytes = uint64_t{16} << 20;

// Reads and checks the header of a whole file. As strict as the reference implementation: the
// tensors' data must follow one another without overlap or hole and fill the file to its last byte,
// and each size must agree with shape and dtype. `what` names the file in messages.
Result<SafetensorsHeader> parse_safetensors_header(std::span<const std::byte> file,
                                                   const std::string& what);

// The tensor's place in `file`, which must be the one the header was read from. Errors: a dtype
// other than F32, BF16 and F16, and data that is not aligned to its element size, so that the
// view's data may be read in place (Safetensors copies such tensors).
Result<TensorView> stored_tensor_view(const SafetensorsHeader& header, const StoredTensor& tensor,
                                      std::span<const std::byte> file, const std::string& what);

// A tensor to be written.
struct TensorDeclaration {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;

  uint64_t bytes() const { return static_cast<uint64_t>(element_count(shape)) * dtype_size(dtype); }
};

// Length and JSON, padded with spaces to a multiple of 8 bytes, for tensors whose data follows in
// the order given. Tensors of 4-byte elements must stand before those of 2-byte elements, which
// keeps all of them aligned.
std::string safetensors_header_text(const std::vector<TensorDeclaration>& tensors,
                                    const SafetensorsMetadata& metadata);

}  // namespace looplm

#endif  // LOOPLM_MODEL_SAFETENSORS_HEADER_H_
