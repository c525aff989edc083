#include "base/file_lock.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

namespace looplm {

FileLock::FileLock(FileLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

FileLock::~FileLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

namespace {

Status lock_error(const char* step, const std::string& path) {
  return io_error(fmt::format("cannot {} '{}': {}", step, path, std::strerror(errno)));
}

// As flock() says, but not EINTR.
int lock_now(int descriptor) {
  int result = 0;
  do {
    result = ::flock(descriptor, LOCK_EX | LOCK_NB);
  } while (result != 0 && errno == EINTR);
  return result;
}

}  // namespace

Result<std::optional<FileLock>> FileLock::try_lock(const std::string& path) {
  LOOPLM_RETURN_IF_ERROR(make_directories(std::filesystem::path(path).parent_path().string()));
  for (;;) {
    const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0664);
    if (descriptor < 0) return lock_error("open", path);
    FileLock lock(descriptor);
    if (lock_now(descriptor) != 0) {
      if (errno == EWOULDBLOCK) return std::optional<FileLock>();
      return lock_error("lock", path);
    }
    // Who had the lock may have removed the file meanwhile: then this one is nobody's.
    struct stat held {};
    struct stat now {};
    if (::fstat(descriptor, &held) != 0) return lock_error("look at", path);
    if (::stat(path.c_str(), &now) == 0 && held.st_dev == now.st_dev && held.st_ino == now.st_ino) {
      return std::optional(std::move(lock));
    }
  }
}

Result<std::optional<FileLock>> FileLock::try_lock_directory(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return lock_error("open", path);
  FileLock lock(descriptor);
  if (lock_now(descriptor) != 0 && errno == EWOULDBLOCK) return std::optional<FileLock>();
  return std::optional(std::move(lock));
}

}  // namespace looplm
