// Writes safetensors files tensor by tensor: all tensors are declared first, then their data is
// handed over in that order, so that the memory needed is that of one chunk.
#ifndef LOOPLM_MODEL_SAFETENSORS_WRITER_H_
#define LOOPLM_MODEL_SAFETENSORS_WRITER_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "looplm/status.h"

#include "base/file.h"
#include "model/safetensors_header.h"
#include "model/safetensors_index.h"

namespace looplm {

// One file, which appears at `path` in commit() or not at all.
class SafetensorsWriter {
 public:
  // 4-byte tensors must be declared before 2-byte ones.
  static Result<SafetensorsWriter> create(const std::string& path,
                                          const std::vector<TensorDeclaration>& tensors,
                                          const SafetensorsMetadata& metadata = {{"format", "pt"}});

  // The next bytes of the data. Chunks may have any size and need not end with a tensor; writing
  // more than was declared, or committing less, is the caller's defect (LOOPLM_CHECK).
  Status write(std::span<const std::byte> bytes);
  uint64_t remaining() const { return remaining_; }
  Status sync();  // see AtomicFileWriter
  Status commit();

 private:
  SafetensorsWriter(AtomicFileWriter file, uint64_t remaining)
      : file_(std::move(file)), remaining_(remaining) {}

  AtomicFileWriter file_;
  uint64_t remaining_;
};

// The weight files of a directory: model.safetensors, or, when all together exceed
// max_shard_bytes, shards of at most that size (more only where one tensor alone is larger) and
// then the index. Each shard appears when it is full and the index last; a reader that opens the
// directory before commit() finds no index. Files of an earlier model in the same directory are not
// removed: write into a fresh directory (see AtomicDirectory).
class WeightFilesWriter {
 public:
  static constexpr uint64_t kOneFile = UINT64_MAX;

  static Result<WeightFilesWriter> create(const std::string& directory,
                                          std::vector<TensorDeclaration> tensors,
                                          uint64_t max_shard_bytes = kOneFile);
  // As SafetensorsWriter's; chunks may cross shards too.
  Status write(std::span<const std::byte> bytes);
  Status commit();

 private:
  struct PlannedFile {
    std::string name;
    std::vector<TensorDeclaration> tensors;
  };

  static std::vector<PlannedFile> plan(std::vector<TensorDeclaration> tensors,
                                       uint64_t max_shard_bytes);
  Status finish_file();

  std::string directory_;
  std::vector<PlannedFile> files_;
  size_t next_file_ = 0;
  std::optional<SafetensorsWriter> writer_;  // of files_[next_file_ - 1]
};

}  // namespace looplm

#endif  // LOOPLM_MODEL_SAFETENSORS_WRITER_H_
