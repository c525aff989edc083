// Many requests at once on one model. The unit of work is a pass: one trip through the stack with
// lanes of any requests, positions and loops, which reads each weight once. Each request gets the
// tokens that it gets alone, whatever runs beside it.
#ifndef LOOPLM_ENGINE_H_
#define LOOPLM_ENGINE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "looplm/generate.h"

namespace looplm {

struct EngineOptions {
  // Speculation starts new positions only while a pass has fewer lanes than this; results do not
  // depend on it. 0: the most lanes that a pass of this model runs at little more than the time of
  // one, measured when first needed.
  int64_t lane_budget = 0;
  int64_t prompt_lanes = 256;  // prompt positions per pass, of all requests together
  uint64_t kv_bytes = 0;       // keys and values at most; requests wait for room. 0: no limit
  bool share_prefixes = true;  // keep prompts' keys and values for requests that begin alike
  uint64_t prefix_bytes = uint64_t{1} << 30;  // of them at most; the least recently used go first
};

struct Request {
  std::vector<int32_t> prompt;
  GenerateOptions options;
  GenerateCallbacks callbacks;
  // Called once, with what was generated until the end, a stop or cancel().
  std::function<void(Generation)> done;
  // For measurement: puts another token in place of the one that loop `loop` (from 1) chose for
  // `index` of the output.
  std::function<int32_t(int64_t index, int64_t loop, int32_t token)> replay{};
};

struct EngineStatistics {
  int64_t passes = 0;
  int64_t lanes = 0;
  int64_t running = 0;  // requests in the passes
  int64_t waiting = 0;  // requests that wait for room
  uint64_t kv_bytes = 0;
  int64_t cached_prompt_tokens = 0;  // prompt positions that needed no lane
};

// Not for use by several threads at once. The model must outlive the engine.
class Engine {
 public:
  explicit Engine(Model& model, const EngineOptions& options = {});
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // The request's number. Fails on a request that generate() would refuse, and on one whose keys
  // and values would not fit even alone. Callbacks come from step().
  Result<int64_t> submit(Request request);
  // Ends a request after the current pass; its done() says kCancelled. Unknown numbers are ignored.
  void cancel(int64_t request);

  // Runs one pass. False when there was nothing to do.
  bool step();
  void run() {
    while (step()) {
    }
  }

  EngineStatistics statistics() const;
  int64_t lane_budget();  // measures it if need be

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace looplm

#endif  // LOOPLM_ENGINE_H_
