// Models from the Hugging Face hub, as the person at the terminal meets them.
#ifndef LOOPLM_CLI_HUB_MODELS_H_
#define LOOPLM_CLI_HUB_MODELS_H_

#include <string>

#include "looplm/status.h"

#include "hub/hub_reference.h"

namespace looplm::cli {

// Fetches it, telling how far it is, and returns where it lies.
Result<std::string> pull_from_hub(const HubReference& reference);

// Where it lies. What is not in the cache is fetched if there is a person to agree; without one it
// is an error, which says how.
Result<std::string> find_or_pull(const HubReference& reference);

}  // namespace looplm::cli

#endif  // LOOPLM_CLI_HUB_MODELS_H_
