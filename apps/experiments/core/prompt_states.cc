#include "experiments/core/prompt_states.h"

#include <fmt/format.h>

#include "looplm/engine.h"

namespace looplm {

Result<std::vector<float>> last_states(Model& model, std::span<const int32_t> prompt,
                                       int64_t loops) {
  if (prompt.empty()) return invalid_argument("a prompt of 0 tokens; expected 1 or more");
  if (loops < 1) return invalid_argument(fmt::format("loops is {}; expected 1 or more", loops));
  Request request;
  request.prompt.assign(prompt.begin(), prompt.end());
  GenerateOptions& o = request.options;
  o.max_tokens = 0;
  o.exit.max_loops = loops;
  o.plan.prompt = ReadLoops::kEvery;
  o.plan.first = static_cast<int64_t>(prompt.size()) - 1;
  o.plan.states = true;
  LOOPLM_ASSIGN_OR_RETURN(const Generation read, generate(model, std::move(request)));
  std::vector<float> states;
  for (const LoopReading& loop : read.prompt.front().loops) {
    states.insert(states.end(), loop.state.begin(), loop.state.end());
  }
  return states;
}

}  // namespace looplm
