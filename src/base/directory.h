// What is in a directory, with errors as Status.
#ifndef LOOPLM_BASE_DIRECTORY_H_
#define LOOPLM_BASE_DIRECTORY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "looplm/status.h"

namespace looplm {

// The names in a directory, in the order of their bytes.
Result<std::vector<std::string>> list_directory(const std::string& path);
Result<uint64_t> file_size(const std::string& path);
// Whether anything has this name. A link that leads nowhere counts: its file is not missing, it
// cannot be read.
bool name_exists(const std::string& path);

}  // namespace looplm

#endif  // LOOPLM_BASE_DIRECTORY_H_
