#include "hub/partial_file.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

namespace looplm {

Status PartialFile::failed(const char* step) const {
  const int error = errno;
  const bool full = error == ENOSPC || error == EDQUOT || error == EFBIG;
  return {full ? StatusCode::kResourceExhausted : StatusCode::kIo,
          fmt::format("cannot {} '{}': {}", step, path_of(blob_), std::strerror(error))};
}

Result<PartialFile> PartialFile::open(const std::string& blob, const HubFile& file) {
  PartialFile partial(blob, file,
                      ::open(path_of(blob).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (partial.descriptor_ < 0) return partial.failed("open");
  LOOPLM_RETURN_IF_ERROR(partial.read_existing());
  return partial;
}

PartialFile::PartialFile(PartialFile&& other) noexcept
    : blob_(std::move(other.blob_)),
      file_(other.file_),
      descriptor_(std::exchange(other.descriptor_, -1)),
      size_(other.size_),
      hash_(std::move(other.hash_)) {}

PartialFile::~PartialFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Status PartialFile::read_existing() {
  std::string piece(size_t{1} << 20, '\0');
  for (;;) {
    const ssize_t count = ::read(descriptor_, piece.data(), piece.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return failed("read");
    if (count == 0) break;
    hash_.add({piece.data(), static_cast<size_t>(count)});
    size_ += static_cast<uint64_t>(count);
  }
  return size_ > file_->size ? start_over() : Status();
}

Status PartialFile::append(std::string_view bytes) {
  if (bytes.size() > file_->size - size_) {
    return io_error(fmt::format("'{}' has more than the {} bytes that the hub named", file_->path,
                                file_->size));
  }
  while (!bytes.empty()) {
    const ssize_t count = ::write(descriptor_, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return failed("write");
    const auto written = static_cast<size_t>(count);
    hash_.add(bytes.substr(0, written));
    size_ += written;
    bytes.remove_prefix(written);
  }
  return {};
}

Status PartialFile::start_over() {
  if (::ftruncate(descriptor_, 0) != 0 || ::lseek(descriptor_, 0, SEEK_SET) != 0) {
    return failed("empty");
  }
  size_ = 0;
  hash_ = FileHash(file_->etag, file_->size);
  return {};
}

Status PartialFile::finish() {
  const std::string hash = hash_.hex();
  if (hash != file_->etag) {
    ::unlink(path_of(blob_).c_str());
    return io_error(fmt::format("'{}' came with checksum {}; the hub named {}", file_->path, hash,
                                file_->etag));
  }
  if (::fsync(descriptor_) != 0) return failed("sync");
  if (::rename(path_of(blob_).c_str(), blob_.c_str()) != 0) return failed("rename");
  return sync_directory(std::filesystem::path(blob_).parent_path().string());
}

}  // namespace looplm
