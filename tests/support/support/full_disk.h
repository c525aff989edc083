// Files that may not grow beyond a size, as on a disk that is full.
#ifndef LOOPLM_TESTS_SUPPORT_FULL_DISK_H_
#define LOOPLM_TESTS_SUPPORT_FULL_DISK_H_

#include <csignal>

#include <sys/resource.h>

namespace looplm {

class FullDisk {
 public:
  explicit FullDisk(rlim_t bytes) : before_(std::signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &limit_);
    const rlimit small = {bytes, limit_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
  }
  ~FullDisk() {
    setrlimit(RLIMIT_FSIZE, &limit_);
    std::signal(SIGXFSZ, before_);
  }
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;

 private:
  rlimit limit_{};
  void (*before_)(int);
};

}  // namespace looplm

#endif  // LOOPLM_TESTS_SUPPORT_FULL_DISK_H_
