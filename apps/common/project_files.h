// Files that come with the program: models, studies.
#ifndef LOOPLM_COMMON_PROJECT_FILES_H_
#define LOOPLM_COMMON_PROJECT_FILES_H_

#include <string>
#include <vector>

#include "looplm/status.h"

namespace looplm::cli {

// The folder of the running program; empty where the system does not tell.
std::string program_directory();

// Where PATH ("models/small") may lie, best first: installed with the program in share/looplm, in
// the tree that the program was built in, or under the working directory.
std::vector<std::string> project_places(const std::string& path);

// The folder that holds studies/.
Result<std::string> project_root();

}  // namespace looplm::cli

#endif  // LOOPLM_COMMON_PROJECT_FILES_H_
