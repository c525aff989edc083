#include "looplm/generate.h"

#include <cmath>

#include "looplm/engine.h"

#include "base/check.h"
#include "infer/run_request.h"

namespace looplm {

const char* finish_reason_name(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kCancelled:
      return "cancelled";
    case FinishReason::kDeadline:
      return "deadline";
    case FinishReason::kError:
      return "error";
  }
  return "unknown";
}

double Generation::mean_loops() const {
  double sum = 0;
  for (const GeneratedToken& token : tokens) sum += static_cast<double>(token.loops);
  return tokens.empty() ? std::nan("") : sum / static_cast<double>(tokens.size());
}

Result<Generation> run_request(Engine& engine, Request request) {
  Generation generation;
  bool done = false;
  request.done = [&](Generation g) {
    generation = std::move(g);
    done = true;
  };
  LOOPLM_RETURN_IF_ERROR(engine.submit(std::move(request)).status());
  engine.run();
  LOOPLM_CHECK(done);
  if (!generation.status.ok()) return generation.status;
  return generation;
}

namespace {

Result<Generation> generate_alone(Model& model, Request request, int64_t lane_budget) {
  EngineOptions alone;
  alone.share_prefixes = false;
  alone.prompt_lanes = request.options.prompt_chunk;
  alone.lane_budget = lane_budget;
  Engine engine(model, alone);
  return run_request(engine, std::move(request));
}

}  // namespace

Result<Generation> generate_on_free_lanes(Model& model, Request request) {
  return generate_alone(model, std::move(request), kMaxLoops);
}

Result<Generation> generate(Model& model, Request request) {
  // A rule that was named is followed, whatever its lanes cost.
  const bool counts = request.options.speculate.kind == CommitKind::kAuto;
  return generate_alone(model, std::move(request), counts ? 0 : kMaxLoops);
}

Result<Generation> generate(Model& model, std::span<const int32_t> prompt,
                            const GenerateOptions& options, const GenerateCallbacks& callbacks) {
  Request request;
  request.prompt.assign(prompt.begin(), prompt.end());
  request.options = options;
  request.callbacks = callbacks;
  return generate(model, std::move(request));
}

Result<Generation> generate(Model& model, std::span<const int32_t> prompt,
                            const GenerateOptions& options, const TokenCallback& callback) {
  return generate(model, prompt, options, GenerateCallbacks{callback, {}});
}

}  // namespace looplm
