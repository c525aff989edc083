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
#include "hub/hub_cache.h"

namespace looplm {

FileLock::FileLock(FileLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

FileLock::~FileLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Result<std::optional<FileLock>> FileLock::try_lock(const std::string& path) {
  LOOPLM_RETURN_IF_ERROR(make_directories(std::filesystem::path(path).parent_path().string()));
  const auto failed = [&](const char* step) {
    return io_error(fmt::format("cannot {} '{}': {}", step, path, std::strerror(errno)));
  };
  for (;;) {
    const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0664);
    if (descriptor < 0) return failed("open");
    FileLock lock(descriptor);
    if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
      if (errno == EINTR) continue;
      if (errno == EWOULDBLOCK) return std::optional<FileLock>();
      return failed("lock");
    }
    // Who had the lock may have removed the file meanwhile: then this one is nobody's.
    struct stat held {};
    struct stat now {};
    if (::fstat(descriptor, &held) != 0) return failed("look at");
    if (::stat(path.c_str(), &now) == 0 && held.st_dev == now.st_dev && held.st_ino == now.st_ino) {
      return std::optional(std::move(lock));
    }
  }
}

}  // namespace looplm
