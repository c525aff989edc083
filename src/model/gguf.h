// The GGUF format, versions 2 and 3: magic, version, counts, typed metadata, a table of tensors,
// then their data, aligned. Source: docs/gguf.md of github.com/ggml-org/ggml.
#ifndef LOOPLM_MODEL_GGUF_H_
#define LOOPLM_MODEL_GGUF_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "looplm/status.h"

#include "base/file.h"
#include "model/gguf_blocks.h"
#include "model/gguf_value.h"
#include "tensor/tensor.h"

namespace looplm {

struct GgufTensor {
  std::string name;  // not empty, no control characters
  GgmlType type = GgmlType::kF32;
  Shape shape;         // slowest dimension first, the reverse of the file's order
  uint64_t begin = 0;  // counted from the start of the file
  uint64_t bytes = 0;
};

struct GgufHeader {
  uint32_t version = 0;
  GgufMetadata metadata;            // points into the file
  std::vector<GgufTensor> tensors;  // in the order of their data
};

// Reads and checks everything but the data of a whole file: every count and length against the
// bytes that are there (memory used is in proportion to the file), names and keys given twice,
// shapes against types, and that the data of all tensors lies inside the file, aligned, without
// overlap and with no more than padding between and behind. `what` names the file in messages.
Result<GgufHeader> parse_gguf(std::span<const std::byte> file, const std::string& what);

// A file mapped into memory. It must not be changed in place while it is open.
class GgufFile {
 public:
  static Result<GgufFile> open(const std::string& path);

  const std::string& path() const { return file_.path(); }
  const GgufMetadata& metadata() const { return header_.metadata; }
  const std::vector<GgufTensor>& tensors() const { return header_.tensors; }
  // Null where there is none of this name.
  const GgufTensor* find(const std::string& name) const;
  const std::byte* data(const GgufTensor& tensor) const {
    return file_.bytes().data() + tensor.begin;
  }

 private:
  MappedFile file_;
  GgufHeader header_;
  std::unordered_map<std::string, size_t> places_;  // of each name in header_.tensors
};

}  // namespace looplm

#endif  // LOOPLM_MODEL_GGUF_H_
