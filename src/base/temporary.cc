#include "base/temporary.h"

#include <cerrno>
#include <charconv>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/system_error.h"

namespace looplm {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSuffix = ".tmp";

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

enum class Held { kByUs, kByOthers, kUnknown };

// Takes the lock where it is free. Some network file systems have none.
Held take_lock(int descriptor) {
  int result = 0;
  do {
    result = ::flock(descriptor, LOCK_EX | LOCK_NB);
  } while (result != 0 && errno == EINTR);
  return result == 0 ? Held::kByUs : errno == EWOULDBLOCK ? Held::kByOthers : Held::kUnknown;
}

// Whether the open file is still the one of that name.
bool is_there(int descriptor, const std::string& path) {
  struct stat open {};
  struct stat named {};
  return ::fstat(descriptor, &open) == 0 && ::lstat(path.c_str(), &named) == 0 &&
         open.st_dev == named.st_dev && open.st_ino == named.st_ino;
}

// Temporary directories hold plain files; whatever holds more is somebody else's.
bool holds_plain_files(const std::string& path) {
  std::error_code error;
  fs::directory_iterator entries(path, error);
  for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
    if (!entries->is_regular_file(error)) return false;
  }
  return !error;
}

// Nothing is removed whose lock cannot be asked for: its writer may run on another machine.
void remove_if_abandoned(const std::string& path) {
  constexpr int kFlags = O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
  // Files over a network are only locked where they may be written.
  int descriptor = ::open(path.c_str(), O_RDWR | kFlags);
  if (descriptor < 0 && errno == EISDIR) descriptor = ::open(path.c_str(), O_RDONLY | kFlags);
  if (descriptor < 0) return;
  struct stat info {};
  if (take_lock(descriptor) == Held::kByUs && is_there(descriptor, path) &&
      ::fstat(descriptor, &info) == 0) {
    std::error_code ignored;
    if (S_ISREG(info.st_mode)) ::unlink(path.c_str());
    if (S_ISDIR(info.st_mode) && holds_plain_files(path)) fs::remove_all(path, ignored);
  }
  ::close(descriptor);
}

// Of all names in the directory that are a temporary of a target that fits.
void remove_where(const std::string& directory,
                  const std::function<bool(std::string_view target)>& fits) {
  std::error_code error;
  std::vector<std::string> found;
  fs::directory_iterator entries(directory.empty() ? "." : directory, error);
  for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
    const std::string entry = entries->path().filename().string();
    std::string_view name = entry;
    if (!name.ends_with(kSuffix)) continue;
    name.remove_suffix(kSuffix.size());
    const int64_t number = take_number(name), pid = take_number(name);
    if (number < 0 || pid <= 0 || !fits(name)) continue;
    found.push_back(entries->path().string());
  }
  for (const std::string& path : found) remove_if_abandoned(path);
}

// -1, and errno, where it cannot be made; EEXIST where the name was taken.
int make_and_open(const std::string& path, TemporaryKind kind) {
  constexpr int kFileFlags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
  if (kind == TemporaryKind::kFile) return ::open(path.c_str(), kFileFlags, 0644);
  if (::mkdir(path.c_str(), 0777) != 0) return -1;
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor >= 0) return descriptor;
  const int error = errno;
  // Somebody who tidied it up at once left its name to others.
  if (error != ENOENT) ::rmdir(path.c_str());
  errno = error == ENOENT ? EEXIST : error;
  return -1;
}

}  // namespace

Result<Temporary> make_temporary(const std::string& target, TemporaryKind kind) {
  const fs::path place(target);
  const std::string name = place.filename().string();
  remove_where(place.parent_path().string(), [&](std::string_view of) { return of == name; });
  constexpr int kAttempts = 1000;
  for (int attempt = 1; attempt <= kAttempts; ++attempt) {
    std::string path = fmt::format("{}.{}.{}{}", target, ::getpid(), attempt, kSuffix);
    const int descriptor = make_and_open(path, kind);
    if (descriptor < 0 && errno != EEXIST) break;
    if (descriptor < 0) continue;
    // Somebody who tidies up may have come between the making and the lock.
    if (take_lock(descriptor) != Held::kByOthers && is_there(descriptor, path)) {
      return Temporary{std::move(path), descriptor};
    }
    ::close(descriptor);
    errno = EEXIST;
  }
  return system_error(kind == TemporaryKind::kFile ? "create" : "create directory", target);
}

void remove_abandoned(const std::string& directory, std::string_view prefix) {
  remove_where(directory, [&](std::string_view of) { return of.starts_with(prefix); });
}

}  // namespace looplm
