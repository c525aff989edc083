#include "base/file.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/system_error.h"
#include "base/temporary.h"

namespace looplm {

Result<MappedFile> MappedFile::open(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return system_error("open", path);
  struct stat info {};
  if (::fstat(descriptor, &info) != 0) {
    Status status = system_error("stat", path);
    ::close(descriptor);
    return status;
  }
  if (!S_ISREG(info.st_mode)) {
    ::close(descriptor);
    return invalid_argument(fmt::format("'{}' is not a regular file", path));
  }
  MappedFile file;
  file.path_ = path;
  file.size_ = static_cast<size_t>(info.st_size);
  if (file.size_ > 0) {
    void* data = ::mmap(nullptr, file.size_, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (data == MAP_FAILED) {
      Status status = system_error("map", path);
      ::close(descriptor);
      file.size_ = 0;
      return status;
    }
    file.data_ = static_cast<const std::byte*>(data);
  }
  ::close(descriptor);
  return file;
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      path_(std::move(other.path_)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(path_, other.path_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

void MappedFile::release_pages() const {
  // No harm where it fails: the pages stay.
  if (data_ != nullptr) ::madvise(const_cast<std::byte*>(data_), size_, MADV_DONTNEED);
}

namespace {

namespace fs = std::filesystem;

bool is_in_proc(const fs::path& path) {
  std::error_code error;  // no such folder
  return fs::canonical(fs::absolute(path, error).parent_path(), error)
      .string()
      .starts_with("/proc/");
}

// What a rename would remove: /dev/null, a pipe, and /dev/stdout, which leads into /proc.
bool is_special_file(const std::string& path) {
  std::error_code error;  // nothing there
  return is_in_proc(path) || fs::is_other(fs::status(path, error));
}

}  // namespace

Result<std::string> follow_links(const std::string& path) {
  constexpr int kMaxLinks = 40;  // as Linux has it
  fs::path place = path;
  for (int links = 0; links <= kMaxLinks; ++links) {
    std::error_code error;  // no link, or nothing there
    const fs::path target = fs::read_symlink(place, error);
    if (error || is_in_proc(place)) return place.string();
    place = place.parent_path() / target;
  }
  errno = ELOOP;
  return system_error("follow", path);
}

Result<AtomicFileWriter> AtomicFileWriter::create(const std::string& path) {
  LOOPLM_ASSIGN_OR_RETURN(std::string place, follow_links(path));
  const char* what = path.empty()             ? "is no path"
                     : is_directory(place)    ? "is a directory"
                     : is_special_file(place) ? "is a device or a pipe"
                                              : nullptr;
  if (what != nullptr) {
    return invalid_argument(fmt::format("'{}' {}; expected a file to write", path, what));
  }
  LOOPLM_ASSIGN_OR_RETURN(Temporary temporary, make_temporary(place, TemporaryKind::kFile));
  return AtomicFileWriter(std::move(place), std::move(temporary.path), temporary.descriptor);
}

AtomicFileWriter::AtomicFileWriter(AtomicFileWriter&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_(std::move(other.temporary_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      written_(other.written_) {}

AtomicFileWriter::~AtomicFileWriter() { abandon(); }

void AtomicFileWriter::abandon() {
  if (descriptor_ < 0) return;
  ::unlink(temporary_.c_str());
  ::close(std::exchange(descriptor_, -1));
}

Status AtomicFileWriter::write(std::span<const std::byte> bytes) {
  if (descriptor_ < 0) return io_error(fmt::format("'{}' is no longer open for writing", path_));
  while (!bytes.empty()) {
    const ssize_t count = ::write(descriptor_, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) {
      Status status = system_error("write", path_);
      abandon();
      return status;
    }
    bytes = bytes.subspan(static_cast<size_t>(count));
    written_ += static_cast<uint64_t>(count);
  }
  return {};
}

Status AtomicFileWriter::write(std::string_view text) {
  return write(std::as_bytes(std::span(text.data(), text.size())));
}

Status AtomicFileWriter::sync() {
  if (descriptor_ < 0) return io_error(fmt::format("'{}' is no longer open for writing", path_));
  if (::fsync(descriptor_) == 0) return {};
  Status status = system_error("sync", path_);
  abandon();
  return status;
}

Status AtomicFileWriter::commit() {
  LOOPLM_RETURN_IF_ERROR(sync());
  // Named while it is still locked: nobody may think it abandoned.
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) {
    Status status = system_error("rename into place", path_);
    abandon();
    return status;
  }
  ::close(std::exchange(descriptor_, -1));
  return sync_directory(std::filesystem::path(path_).parent_path().string());
}

Result<std::string> read_text_file(const std::string& path) {
  LOOPLM_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::open(path));
  return std::string(file.text());
}

Status write_text_file(const std::string& path, std::string_view text) {
  LOOPLM_ASSIGN_OR_RETURN(AtomicFileWriter writer, AtomicFileWriter::create(path));
  LOOPLM_RETURN_IF_ERROR(writer.write(text));
  return writer.commit();
}

bool file_exists(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode);
}

bool is_directory(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

Status make_directories(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) {
    return io_error(fmt::format("cannot create directory '{}': {}", path, error.message()));
  }
  if (!is_directory(path)) return io_error(fmt::format("'{}' is not a directory", path));
  return {};
}

Status check_writable_directory(const std::string& path) {
  // Of what is not there yet, the nearest parent that is.
  std::error_code error;
  std::filesystem::path place = std::filesystem::absolute(path, error);
  while (!std::filesystem::exists(place, error) && place.has_relative_path()) {
    place = place.parent_path();
  }
  if (!is_directory(place)) return io_error(fmt::format("'{}' is not a directory", place.string()));
  if (::faccessat(AT_FDCWD, place.c_str(), W_OK | X_OK, AT_EACCESS) == 0) return {};
  return io_error(fmt::format("cannot write into '{}': {}", place.string(), std::strerror(errno)));
}

Status sync_directory(const std::string& path) {
  const std::string directory = path.empty() ? "." : path;
  const int descriptor = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return system_error("open", directory);
  const int synced = ::fsync(descriptor);
  // Some file systems cannot sync a directory (EINVAL); the rename is still atomic there.
  Status status = synced != 0 && errno != EINVAL ? system_error("sync", directory) : Status();
  ::close(descriptor);
  return status;
}

}  // namespace looplm
