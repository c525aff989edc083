// LOOPLM_CHECK: invariants of looplm's own code, always on. A failure throws; it never stands in
// for input validation.
#ifndef LOOPLM_BASE_CHECK_H_
#define LOOPLM_BASE_CHECK_H_

#include <stdexcept>
#include <string>

#include <fmt/format.h>

namespace looplm {

class CheckError : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

[[noreturn]] void check_failed(const char* file, int line, const char* condition,
                               const std::string& details);

}  // namespace looplm

// LOOPLM_CHECK(condition) or LOOPLM_CHECK(condition, "format {}", value...).
#define LOOPLM_CHECK(condition, ...)                                                       \
  do {                                                                                     \
    if (!(condition)) [[unlikely]] {                                                       \
      ::looplm::check_failed(__FILE__, __LINE__, #condition, fmt::format("" __VA_ARGS__)); \
    }                                                                                      \
  } while (false)

#endif  // LOOPLM_BASE_CHECK_H_
