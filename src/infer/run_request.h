// Requests that run alone.
#ifndef LOOPLM_INFER_RUN_REQUEST_H_
#define LOOPLM_INFER_RUN_REQUEST_H_

#include "looplm/engine.h"

namespace looplm {

// Submits the request, runs the engine until it has nothing to do, and returns the outcome.
// Replaces the request's `done`.
Result<Generation> run_request(Engine& engine, Request request);

// generate() with an engine whose speculation may take any lane that may help.
Result<Generation> generate_on_free_lanes(Model& model, Request request);

}  // namespace looplm

#endif  // LOOPLM_INFER_RUN_REQUEST_H_
