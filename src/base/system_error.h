// What errno says, as a Status.
#ifndef LOOPLM_BASE_SYSTEM_ERROR_H_
#define LOOPLM_BASE_SYSTEM_ERROR_H_

#include <cerrno>
#include <cstring>
#include <string>

#include <fmt/format.h>

#include "looplm/status.h"

namespace looplm {

// "cannot open 'a.txt': No such file or directory"
inline Status system_error(const std::string& what, const std::string& path) {
  const int error = errno;
  const StatusCode code = error == ENOENT                      ? StatusCode::kNotFound
                          : error == ENOSPC || error == EDQUOT ? StatusCode::kResourceExhausted
                                                               : StatusCode::kIo;
  return {code, fmt::format("cannot {} '{}': {}", what, path, std::strerror(error))};
}

}  // namespace looplm

#endif  // LOOPLM_BASE_SYSTEM_ERROR_H_
