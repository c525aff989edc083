// Many requests at once on one model. The unit of work is a pass: one trip through the stack with
// lanes of any requests, positions and loops, which reads each weight once. Each request gets the
// tokens that it gets alone, whatever runs beside it, waits or is preempted.
#ifndef LOOPLM_ENGINE_H_
#define LOOPLM_ENGINE_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "looplm/constraint.h"
#include "looplm/generate.h"

namespace looplm {

struct EngineOptions {
  // Speculation starts new positions only while a pass has fewer lanes than this; results do not
  // depend on it. 0: the most lanes that a pass of this model runs at little more than the time of
  // one, measured when the first request that speculates is submitted.
  int64_t lane_budget = 0;
  int64_t prompt_lanes = 256;  // prompt positions per pass, of all requests together
  // Keys and values at most. Requests wait for room; one that runs makes way for an earlier or more
  // urgent one, and is computed again when there is room. 0: no limit.
  uint64_t kv_bytes = 0;
  // Keep the keys and values of prompts and answers for requests that begin alike, and compute the
  // common beginning of requests that come together once.
  bool share_prefixes = true;
  uint64_t prefix_bytes = uint64_t{1} << 30;  // of them at most; the least recently used go first
};

struct Request {
  std::vector<int32_t> prompt;
  GenerateOptions options;
  GenerateCallbacks callbacks;
  // Called exactly once, from step() or the engine's destructor, with what was generated until the
  // end, a stop, cancel() or an error.
  std::function<void(Generation)> done;
  // For measurement: puts another token in place of the one that loop `loop` (from 1) chose for
  // `index` of the output.
  std::function<int32_t(int64_t index, int64_t loop, int32_t token)> replay{};

  // Which tokens may come. It has accepted none, and serves no other request.
  std::shared_ptr<TokenConstraint> constraint{};
  // Keys and values are shared among the requests of a tenant alone.
  std::string tenant{};
  int64_t priority = 0;  // higher ones go first; of equals, the one submitted earlier
  std::optional<std::chrono::steady_clock::time_point> deadline{};  // ends with kDeadline
};

struct EngineStatistics {
  int64_t passes = 0;
  int64_t lanes = 0;
  int64_t running = 0;  // requests in the passes
  int64_t waiting = 0;  // requests that wait for room
  uint64_t kv_bytes = 0;
  uint64_t prefix_bytes = 0;         // of them, those that no request runs on
  int64_t prompt_tokens = 0;         // of all requests that began
  int64_t cached_prompt_tokens = 0;  // of those, positions that kept prefixes had
  int64_t shared_prompt_tokens = 0;  // and positions that another request computed meanwhile
  int64_t preemptions = 0;
};

// Not for use by several threads at once. The model must outlive the engine.
//
// Callbacks (token, screen, replay, done, on_logits, and a constraint's functions) come from step()
// alone, and done() from the destructor too. They may submit() and cancel() any request, their own
// too, and read statistics(). They may not call step() or destroy the engine. When one of them
// throws, its request ends with kError and the exception's text; the others go on. An exception of
// done() has no request left to end: step() throws it on when the pass is over, and the engine
// remains as good as before.
//
// The model's weights may change between two steps. Kept prefixes are dropped then, and requests
// that run read their text again, prompt and reported tokens, under the new weights, and go on from
// there.
class Engine {
 public:
  explicit Engine(Model& model, const EngineOptions& options = {});
  // Ends all requests with kCancelled.
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // The request's number. Fails on a request that generate() would refuse, and on one whose keys
  // and values would not fit even alone.
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
  // Forgets what is kept of earlier requests.
  void drop_prefixes();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// One request alone. Its done() is not called.
Result<Generation> generate(Model& model, Request request);

}  // namespace looplm

#endif  // LOOPLM_ENGINE_H_
