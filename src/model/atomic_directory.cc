#include "model/atomic_directory.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/file_lock.h"

namespace looplm {
namespace {

namespace fs = std::filesystem;

void remove_quietly(const std::string& path) {
  std::error_code ignored;
  fs::remove_all(path, ignored);
}

// The target without trailing slashes and symbolic links, so that a link to a directory stays a
// link.
Result<std::string> resolved(const std::string& target) {
  std::error_code error;
  fs::path path = fs::absolute(target, error);
  if (error || target.empty()) {
    return invalid_argument(fmt::format("'{}' is not a path to write a directory at", target));
  }
  path = path.lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  LOOPLM_ASSIGN_OR_RETURN(path, follow_links(path.string()));
  if (!path.has_filename()) path = path.parent_path();
  if (fs::exists(path, error)) path = fs::canonical(path, error);
  if (error || !path.has_filename()) {
    return invalid_argument(fmt::format("'{}' is not a path to write a directory at", target));
  }
  return path.string();
}

Status check_replaceable(const std::string& target, const AtomicDirectory::NameRule& may_replace) {
  std::error_code error;
  const fs::file_status status = fs::symlink_status(target, error);
  if (status.type() == fs::file_type::not_found) return {};
  if (status.type() != fs::file_type::directory) {
    return invalid_argument(fmt::format("'{}' exists and is not a directory", target));
  }
  fs::directory_iterator entries(target, error);
  for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
    const std::string name = entries->path().filename().string();
    if (!entries->is_regular_file(error) || !may_replace(name)) {
      return invalid_argument(
          fmt::format("'{}' exists and holds '{}', which does not belong to what would replace it; "
                      "choose another directory or remove it first",
                      target, name));
    }
  }
  if (error) return io_error(fmt::format("cannot list '{}': {}", target, error.message()));
  return {};
}

// Puts `temporary` at `target` and what was there, if anything, at `temporary`.
int swap_into_place(const std::string& temporary, const std::string& target) {
  if (::renameat2(AT_FDCWD, temporary.c_str(), AT_FDCWD, target.c_str(), RENAME_EXCHANGE) == 0) {
    return 0;
  }
  if (errno == ENOENT) return ::rename(temporary.c_str(), target.c_str());
  if (errno != EINVAL && errno != ENOSYS) return -1;
  const std::string old = temporary + ".old";
  if (::rename(target.c_str(), old.c_str()) != 0) return -1;
  if (::rename(temporary.c_str(), target.c_str()) != 0) {
    const int error = errno;
    ::rename(old.c_str(), target.c_str());
    errno = error;
    return -1;
  }
  ::rename(old.c_str(), temporary.c_str());
  return 0;
}

}  // namespace

Result<AtomicDirectory> AtomicDirectory::create(const std::string& target, NameRule may_replace) {
  LOOPLM_ASSIGN_OR_RETURN(std::string path, resolved(target));
  LOOPLM_RETURN_IF_ERROR(check_replaceable(path, may_replace));
  const std::string parent = fs::path(path).parent_path().string();
  LOOPLM_RETURN_IF_ERROR(make_directories(parent));
  LOOPLM_ASSIGN_OR_RETURN(Temporary temporary, make_temporary(path, TemporaryKind::kDirectory));
  return AtomicDirectory(std::move(path), std::move(temporary), std::move(may_replace));
}

Status AtomicDirectory::check(const std::string& target, const NameRule& may_replace) {
  LOOPLM_ASSIGN_OR_RETURN(const std::string path, resolved(target));
  return check_replaceable(path, may_replace);
}

AtomicDirectory::AtomicDirectory(AtomicDirectory&& other) noexcept
    : target_(std::move(other.target_)),
      temporary_(std::exchange(other.temporary_, {})),
      may_replace_(std::move(other.may_replace_)) {}

AtomicDirectory::~AtomicDirectory() {
  if (temporary_.descriptor < 0) return;
  remove_quietly(temporary_.path);
  ::close(temporary_.descriptor);
}

Status AtomicDirectory::commit() {
  // Again, since writing may have taken minutes.
  LOOPLM_RETURN_IF_ERROR(check_replaceable(target_, may_replace_));
  LOOPLM_RETURN_IF_ERROR(sync_directory(temporary_.path));
  // The old one gets the temporary name, under which others tidy up what nobody has locked.
  const Result<std::optional<FileLock>> old = FileLock::try_lock_directory(target_);
  if (swap_into_place(temporary_.path, target_) != 0) {
    return io_error(fmt::format("cannot move '{}' to '{}': {}", temporary_.path, target_,
                                std::strerror(errno)));
  }
  ::close(std::exchange(temporary_.descriptor, -1));
  remove_quietly(temporary_.path);  // the old directory
  return sync_directory(fs::path(target_).parent_path().string());
}

}  // namespace looplm
