#include "base/file.h"

#include <cerrno>
#include <charconv>
#include <climits>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace looplm {
namespace {

Status system_error(const std::string& what, const std::string& path) {
  const int error = errno;
  const StatusCode code = error == ENOENT                      ? StatusCode::kNotFound
                          : error == ENOSPC || error == EDQUOT ? StatusCode::kResourceExhausted
                                                               : StatusCode::kIo;
  return {code, fmt::format("cannot {} '{}': {}", what, path, std::strerror(error))};
}

// The number between the last two dots of `name`, which is cut to what stands before it; -1: none.
int64_t take_number(std::string_view& name) {
  const size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) return -1;
  const char *begin = name.data() + dot + 1, *end = name.data() + name.size();
  int64_t value = -1;
  const auto parsed = std::from_chars(begin, end, value);
  name = name.substr(0, dot);
  return parsed.ec == std::errc() && parsed.ptr == end ? value : -1;
}

}  // namespace

Result<MappedFile> MappedFile::open(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return system_error("open", path);
  struct stat info {};
  if (::fstat(descriptor, &info) != 0) {
    const Status status = system_error("stat", path);
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
      const Status status = system_error("map", path);
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

Result<AtomicFileWriter> AtomicFileWriter::create(const std::string& path) {
  constexpr int kAttempts = 1000;
  for (int attempt = 1;; ++attempt) {
    // Another thread may be writing the same file; what a crash left is passed over.
    std::string temporary = fmt::format("{}.{}.{}.tmp", path, ::getpid(), attempt);
    const int descriptor = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (descriptor >= 0) return AtomicFileWriter(path, std::move(temporary), descriptor);
    if (errno != EEXIST || attempt == kAttempts) return system_error("create", path);
  }
}

AtomicFileWriter::AtomicFileWriter(AtomicFileWriter&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_(std::move(other.temporary_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      written_(other.written_) {}

AtomicFileWriter::~AtomicFileWriter() { abandon(); }

void AtomicFileWriter::abandon() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  ::unlink(temporary_.c_str());
  descriptor_ = -1;
}

Status AtomicFileWriter::write(std::span<const std::byte> bytes) {
  if (descriptor_ < 0) return io_error(fmt::format("'{}' is no longer open for writing", path_));
  while (!bytes.empty()) {
    const ssize_t count = ::write(descriptor_, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) {
      const Status status = system_error("write", path_);
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

Status AtomicFileWriter::commit() {
  if (descriptor_ < 0) return io_error(fmt::format("'{}' is no longer open for writing", path_));
  if (::fsync(descriptor_) != 0) {
    const Status status = system_error("sync", path_);
    abandon();
    return status;
  }
  const int closed = ::close(std::exchange(descriptor_, -1));
  if (closed != 0 || ::rename(temporary_.c_str(), path_.c_str()) != 0) {
    const Status status = system_error("rename into place", path_);
    ::unlink(temporary_.c_str());
    return status;
  }
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

void remove_abandoned(const std::string& directory, std::string_view prefix) {
  constexpr std::string_view kSuffix = ".tmp";
  std::error_code error;
  std::vector<std::filesystem::path> abandoned;
  std::filesystem::directory_iterator entries(directory, error);
  for (; !error && entries != std::filesystem::directory_iterator(); entries.increment(error)) {
    const std::string entry = entries->path().filename().string();
    std::string_view name = entry;
    if (!name.starts_with(prefix) || !name.ends_with(kSuffix)) continue;
    name.remove_suffix(kSuffix.size());
    const int64_t number = take_number(name), pid = take_number(name);
    if (number < 0 || pid <= 0 || pid > INT_MAX || !name.starts_with(prefix)) continue;
    // In containers, this process often has the number of the one that was killed.
    const bool gone =
        pid == ::getpid() || (::kill(static_cast<pid_t>(pid), 0) != 0 && errno == ESRCH);
    if (gone) abandoned.push_back(entries->path());
  }
  for (const std::filesystem::path& path : abandoned) std::filesystem::remove_all(path, error);
}

Status sync_directory(const std::string& path) {
  const std::string directory = path.empty() ? "." : path;
  const int descriptor = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return system_error("open", directory);
  const int synced = ::fsync(descriptor);
  // Some file systems cannot sync a directory (EINVAL); the rename is still atomic there.
  const Status status = synced != 0 && errno != EINVAL ? system_error("sync", directory) : Status();
  ::close(descriptor);
  return status;
}

}  // namespace looplm
