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
  size_t part = 0;  // which of a split model's files
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

// The tensors of all parts of a split model, which llama.cpp's gguf-split writes: files
// NAME-00001-of-00003.gguf and so on, each with the keys split.no (from 0), split.count and
// split.tensors.count, of which only the first has the model's other keys. A model in one file is a
// single part. Errors name the part: a number or count that is not its place's, a tensor that an
// earlier part has, a total that is not the one stated.
Result<std::vector<GgufTensor>> join_gguf_parts(const std::vector<GgufHeader>& parts,
                                                const std::vector<std::string>& names);

// A model's file, or files, mapped into memory. They must not be changed in place while open.
class GgufFile {
 public:
  // Of a split model, the path of the first part; the others lie beside it.
  static Result<GgufFile> open(const std::string& path);

  const std::string& path() const { return files_.front().path(); }
  std::vector<std::string> paths() const;
  const GgufMetadata& metadata() const { return headers_.front().metadata; }
  const std::vector<GgufTensor>& tensors() const { return tensors_; }
  // Null where there is none of this name.
  const GgufTensor* find(const std::string& name) const;
  const std::byte* data(const GgufTensor& tensor) const {
    return files_[tensor.part].bytes().data() + tensor.begin;
  }
  void release_pages() const;  // see MappedFile

 private:
  Status add_part(const std::string& path);

  std::vector<MappedFile> files_;
  std::vector<GgufHeader> headers_;  // point into the files
  std::vector<GgufTensor> tensors_;
  std::unordered_map<std::string, size_t> places_;  // of each name in tensors_
};

}  // namespace looplm

#endif  // LOOPLM_MODEL_GGUF_H_
