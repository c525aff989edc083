// Many requests at once on one model. The unit of work is a pass: one trip through the stack with
// lanes of any requests, positions and loops. A pass reads each weight once. A request gets the
// same tokens as if it ran alone, whatever else runs, waits or is preempted.
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
  // Limits speculation: it starts a position only while the pass has fewer lanes than this, and
  // counts these lanes as free. 0: the engine learns from its passes what lanes and read-outs cost.
  // CommitKind::kAuto then starts a position only if the passes that it will probably save cost
  // more than its lanes, and stops while that gains no time. The other kinds start positions while
  // a pass costs little more than one lane. Tokens do not depend on any of this.
  int64_t lane_budget = 0;
  int64_t prompt_lanes = 256;  // prompt positions per pass, of all requests together
  // Maximum bytes of keys and values. Requests wait for room. A running one makes way for an
  // earlier or more urgent one, and is computed again when there is room. 0: no limit.
  uint64_t kv_bytes = 0;
  // Keep the keys and values of prompts and answers for requests that begin alike, and compute the
  // common beginning of requests that come together once.
  bool share_prefixes = true;
  uint64_t prefix_bytes = uint64_t{1} << 30;  // maximum for these; evicts the least recently used
};

struct Request {
  std::vector<int32_t> prompt;
  GenerateOptions options;
  GenerateCallbacks callbacks;
  // Called exactly once, from step() or the engine's destructor, with everything generated up to
  // the end, a stop, cancel() or an error.
  std::function<void(Generation)> done;
  // For measurement: returns the token to use instead of the one that loop `loop` (from 1) ranked
  // `rank` (0: chose) at `index` of the output. A token outside the vocabulary ends the request
  // with an error.
  std::function<int32_t(int64_t index, int64_t loop, int64_t rank, int32_t token)> replay{};

  // Which tokens may come. Must be new: it has accepted no token and serves no other request.
  std::shared_ptr<TokenConstraint> constraint{};
  // One of the model's (Model::add_adapter). Requests of different adapters share passes, and never
  // keys and values. Empty: that with which the model was loaded, if any.
  std::string adapter{};
  // Only requests of the same tenant share keys and values.
  std::string tenant{};
  int64_t priority = 0;  // higher ones go first; of equals, the one submitted earlier
  std::optional<std::chrono::steady_clock::time_point> deadline{};  // ends with kDeadline
};

struct EngineStatistics {
  int64_t passes = 0;
  int64_t lanes = 0;
  int64_t read_outs = 0;  // products with the output head, of any number of rows
  int64_t running = 0;    // requests that have lanes in the passes
  int64_t waiting = 0;    // requests that wait for room
  uint64_t kv_bytes = 0;
  uint64_t prefix_bytes = 0;         // of these, those that no request uses now
  int64_t prompt_tokens = 0;         // of all requests that began
  int64_t cached_prompt_tokens = 0;  // of these, found in kept prefixes
  int64_t shared_prompt_tokens = 0;  // of these, computed by another request at the same time
  int64_t preemptions = 0;
};

// Not for use by several threads at once; to end a request from another thread, let its token
// callback return false. The model must outlive the engine.
//
// Callbacks (token, screen, replay, done, on_logits, and a constraint's functions) come from step()
// only; the destructor may also call done(). A callback may submit() and cancel() any request, its
// own too, and read statistics(). It may not call step() or destroy the engine. When a callback
// throws, its request ends with kError and the exception's text, and the others go on. When done()
// throws, its request has ended already: step() rethrows after the pass, and the engine stays
// usable.
//
// The model's weights may change between two steps. The engine then drops kept prefixes. Running
// requests read their prompt and their reported tokens again under the new weights and go on from
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
  int64_t lane_budget();  // as learnt so far
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
