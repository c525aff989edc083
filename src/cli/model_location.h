// Which model a command runs when none is named.
#ifndef LOOPLM_CLI_MODEL_LOCATION_H_
#define LOOPLM_CLI_MODEL_LOCATION_H_

#include <string>

#include "looplm/status.h"

namespace looplm::cli {

// `given` if not empty, else $LOOPLM_MODEL, else the bundled model: models/nested beside the build
// directory that holds this program, in the working directory, or in the installed share directory.
Result<std::string> locate_model(const std::string& given);

}  // namespace looplm::cli

#endif  // LOOPLM_CLI_MODEL_LOCATION_H_
