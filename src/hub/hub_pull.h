// Fetching a model from the hub into the cache: what is needed, whether it fits, then each file,
// which goes on where it was cut off and is checked before it gets its name.
#ifndef LOOPLM_HUB_HUB_PULL_H_
#define LOOPLM_HUB_HUB_PULL_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "looplm/status.h"

#include "hub/hub_client.h"
#include "hub/hub_reference.h"

namespace looplm {

struct PullPlan {
  HubReference reference;
  std::string commit;
  std::vector<HubFile> files;
  std::string gguf{};    // ModelFiles::gguf
  uint64_t bytes = 0;    // of all files
  uint64_t missing = 0;  // of them, what is not here yet
};

// Asks the hub; fetches nothing but an index of weights.
Result<PullPlan> plan_pull(const HubSettings& settings, const HubReference& reference,
                           const std::atomic<bool>* stop);

struct PullProgress {
  const HubFile& file;
  uint64_t file_bytes;  // of it that are here
  uint64_t bytes;       // of the plan that are here
  bool waiting;         // another process fetches this file
};

struct PullOptions {
  const std::atomic<bool>* stop = nullptr;
  std::function<void(const PullProgress&)> on_progress{};
  // In a row that bring no data, before it gives up; each waits twice as long as the one before.
  int attempts = 6;
  std::chrono::milliseconds first_wait{1000};
};

// Returns where the model can be loaded from. What has come stays when this fails, and the next
// pull goes on from there. kResourceExhausted where the disk is too small, before anything is
// fetched if that can be known; kCancelled when stopped.
Result<std::string> pull(const HubSettings& settings, const PullPlan& plan,
                         const PullOptions& options);

}  // namespace looplm

#endif  // LOOPLM_HUB_HUB_PULL_H_
