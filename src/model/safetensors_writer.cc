#include "model/safetensors_writer.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/check.h"

namespace looplm {

Result<SafetensorsWriter> SafetensorsWriter::create(const std::string& path,
                                                    const std::vector<TensorDeclaration>& tensors,
                                                    const SafetensorsMetadata& metadata) {
  uint64_t bytes = 0;
  for (const TensorDeclaration& tensor : tensors) bytes += tensor.bytes();
  LOOPLM_ASSIGN_OR_RETURN(AtomicFileWriter file, AtomicFileWriter::create(path));
  LOOPLM_RETURN_IF_ERROR(file.write(safetensors_header_text(tensors, metadata)));
  return SafetensorsWriter(std::move(file), bytes);
}

Status SafetensorsWriter::write(std::span<const std::byte> bytes) {
  LOOPLM_CHECK(bytes.size() <= remaining_, "{} bytes, {} expected", bytes.size(), remaining_);
  remaining_ -= bytes.size();
  return file_.write(bytes);
}

Status SafetensorsWriter::sync() {
  LOOPLM_CHECK(remaining_ == 0, "{} bytes of tensor data are missing", remaining_);
  return file_.sync();
}

Status SafetensorsWriter::commit() {
  LOOPLM_RETURN_IF_ERROR(sync());
  return file_.commit();
}

std::vector<WeightFilesWriter::PlannedFile> WeightFilesWriter::plan(
    std::vector<TensorDeclaration> tensors, uint64_t max_shard_bytes) {
  std::vector<PlannedFile> files(1);
  uint64_t bytes = 0;  // in files.back()
  for (TensorDeclaration& tensor : tensors) {
    if (!files.back().tensors.empty() && tensor.bytes() > max_shard_bytes - bytes) {
      files.emplace_back();
      bytes = 0;
    }
    bytes += std::min(tensor.bytes(), max_shard_bytes - bytes);
    files.back().tensors.push_back(std::move(tensor));
  }
  for (size_t i = 0; i < files.size(); ++i) {
    files[i].name = files.size() == 1 ? kWeightsFile : shard_file_name(i, files.size());
  }
  return files;
}

Result<WeightFilesWriter> WeightFilesWriter::create(const std::string& directory,
                                                    std::vector<TensorDeclaration> tensors,
                                                    uint64_t max_shard_bytes) {
  WeightFilesWriter writer;
  writer.directory_ = directory;
  writer.files_ = plan(std::move(tensors), max_shard_bytes);
  LOOPLM_RETURN_IF_ERROR(writer.finish_file());  // opens the first
  return writer;
}

// Commits the file in progress and opens the next one, if any.
Status WeightFilesWriter::finish_file() {
  if (writer_.has_value()) LOOPLM_RETURN_IF_ERROR(writer_->commit());
  writer_.reset();
  if (next_file_ == files_.size()) return {};
  const PlannedFile& file = files_[next_file_++];
  LOOPLM_ASSIGN_OR_RETURN(SafetensorsWriter writer,
                          SafetensorsWriter::create(directory_ + "/" + file.name, file.tensors));
  writer_.emplace(std::move(writer));
  return {};
}

Status WeightFilesWriter::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    LOOPLM_CHECK(writer_.has_value(), "{} bytes more than declared", bytes.size());
    const size_t count = std::min<uint64_t>(bytes.size(), writer_->remaining());
    LOOPLM_RETURN_IF_ERROR(writer_->write(bytes.first(count)));
    bytes = bytes.subspan(count);
    if (writer_->remaining() == 0 && !bytes.empty()) LOOPLM_RETURN_IF_ERROR(finish_file());
  }
  return {};
}

Status WeightFilesWriter::commit() {
  LOOPLM_CHECK(next_file_ == files_.size(), "{} of {} weight files begun", next_file_,
               files_.size());
  LOOPLM_RETURN_IF_ERROR(finish_file());
  if (files_.size() == 1) return {};
  WeightMap map;
  uint64_t total = 0;
  for (const PlannedFile& file : files_) {
    for (const TensorDeclaration& tensor : file.tensors) {
      map[tensor.name] = file.name;
      total += tensor.bytes();
    }
  }
  return write_text_file(directory_ + "/" + kWeightsIndexFile, safetensors_index_text(map, total));
}

}  // namespace looplm
