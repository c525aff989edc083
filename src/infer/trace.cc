#include "looplm/trace.h"

#include "looplm/engine.h"

namespace looplm {

Result<Trace> trace(Model& model, std::span<const int32_t> ids, const TraceOptions& options) {
  if (ids.empty()) return invalid_argument("nothing to trace: no tokens given");
  Request request;
  request.prompt.assign(ids.begin(), ids.end());
  GenerateOptions& o = request.options;
  o.max_tokens = 0;
  o.exit.max_loops = options.loops;
  o.prompt_chunk = options.prompt_chunk;
  o.plan.prompt = ReadLoops::kEvery;
  o.plan.top = options.top;
  if (options.on_logits) {
    o.plan.on_logits = [&](int64_t position, int64_t loop, std::span<const float> logits) {
      return options.on_logits(loop - 1, position, logits);
    };
  }
  LOOPLM_ASSIGN_OR_RETURN(Generation read, generate(model, std::move(request)));

  Trace result;
  result.loops = options.loops == 0 ? model.config().loops : options.loops;
  result.ids.assign(ids.begin(), ids.end());
  result.cells.resize(static_cast<size_t>(result.loops) * ids.size());
  for (PositionReading& position : read.prompt) {
    for (LoopReading& loop : position.loops) {
      const auto row = static_cast<size_t>(loop.loop - 1) * ids.size();
      result.cells[row + static_cast<size_t>(position.position)] = std::move(loop);
    }
  }
  return result;
}

}  // namespace looplm
