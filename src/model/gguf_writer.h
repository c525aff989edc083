// Writes GGUF files: keys first, then a table of all tensors, then their data in that order, so
// that the memory needed is that of one chunk.
#ifndef LOOPLM_MODEL_GGUF_WRITER_H_
#define LOOPLM_MODEL_GGUF_WRITER_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "looplm/status.h"

#include "base/file.h"
#include "model/gguf_blocks.h"
#include "model/gguf_value.h"
#include "tensor/tensor.h"

namespace looplm {

// The keys of a file, in the order in which they were added. A key is added once.
class GgufKeys {
 public:
  void add(std::string_view key, uint32_t value) { add_number(key, GgufType::kUint32, value); }
  void add(std::string_view key, float value) { add_number(key, GgufType::kFloat32, value); }
  void add_flag(std::string_view key, bool value) {
    add_number(key, GgufType::kBool, static_cast<uint8_t>(value));
  }
  void add_text(std::string_view key, std::string_view value);
  void add_list(std::string_view key, std::span<const std::string> values);
  void add_list(std::string_view key, std::span<const int32_t> values);

  uint64_t count() const { return count_; }
  const std::string& bytes() const { return bytes_; }

 private:
  template <typename T>
  void add_number(std::string_view key, GgufType type, T value) {
    begin(key, type);
    append(value);
  }
  template <typename T>
  void append(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  void append_text(std::string_view text);
  void begin(std::string_view key, GgufType type);

  std::string bytes_;
  uint64_t count_ = 0;
};

struct GgufDeclaration {
  std::string name;
  GgmlType type = GgmlType::kF32;
  Shape shape;  // slowest dimension first; rows are whole blocks

  uint64_t bytes() const;
};

// One file, which appears at `path` in commit() or not at all.
class GgufWriter {
 public:
  static Result<GgufWriter> create(const std::string& path, const GgufKeys& keys,
                                   std::vector<GgufDeclaration> tensors);
  // The next bytes of the data; a chunk may not cross the end of a tensor. Writing more than was
  // declared, or committing less, is the caller's defect (LOOPLM_CHECK).
  Status write(std::span<const std::byte> bytes);
  Status sync();  // see AtomicFileWriter
  Status commit();

 private:
  GgufWriter(AtomicFileWriter file, std::vector<GgufDeclaration> tensors)
      : file_(std::move(file)), tensors_(std::move(tensors)) {}
  Status pad();

  AtomicFileWriter file_;
  std::vector<GgufDeclaration> tensors_;
  size_t tensor_ = 0;
  uint64_t written_ = 0;  // of tensors_[tensor_]
};

}  // namespace looplm

#endif  // LOOPLM_MODEL_GGUF_WRITER_H_
