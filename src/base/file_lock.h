// Locks between processes.
#ifndef LOOPLM_BASE_FILE_LOCK_H_
#define LOOPLM_BASE_FILE_LOCK_H_

#include <optional>
#include <string>

#include "looplm/status.h"

namespace looplm {

// An exclusive lock of a file or a directory, which other processes and Python respect. Released on
// destruction, and by the system when the process dies.
class FileLock {
 public:
  FileLock(FileLock&& other) noexcept;
  FileLock& operator=(FileLock&&) = delete;
  ~FileLock();

  // Creates the file if it is missing. None if someone else holds the lock.
  static Result<std::optional<FileLock>> try_lock(const std::string& path);
  // Locks an existing directory and writes nothing into it. On file systems without such locks,
  // everyone gets one.
  static Result<std::optional<FileLock>> try_lock_directory(const std::string& path);

 private:
  explicit FileLock(int descriptor) : descriptor_(descriptor) {}
  int descriptor_;
};

}  // namespace looplm

#endif  // LOOPLM_BASE_FILE_LOCK_H_
