#include "experiments/core/prompt_states.h"

#include <algorithm>

#include <fmt/format.h>

#include "infer/parts.h"
#include "infer/sequence.h"

namespace looplm {

Result<std::vector<float>> last_states(Model& model, std::span<const int32_t> prompt,
                                       int64_t loops) {
  const ModelConfig& config = model.config();
  const auto size = static_cast<int64_t>(prompt.size());
  if (size < 1 || size > config.max_positions) {
    return invalid_argument(
        fmt::format("a prompt of {} tokens; expected 1 to {}", size, config.max_positions));
  }
  for (int32_t id : prompt) {
    if (id < 0 || id >= config.vocab_size) {
      return invalid_argument(
          fmt::format("token id {} is out of range; expected 0 to {}", id, config.vocab_size - 1));
    }
  }
  if (loops < 1 || loops > kMaxLoops) {
    return invalid_argument(fmt::format("loops is {}; expected 1 to {}", loops, kMaxLoops));
  }
  Sequence sequence(*model.parts().runner, model.parts().pages, loops, KvPolicy::kFull);
  const int64_t width = config.hidden_size;
  std::vector<float> states(static_cast<size_t>(loops * width));
  const auto observe = [&](const Sequence::ChunkLoop& c) -> Status {
    if (c.first + c.count == size) {
      const float* last = c.normed + (c.count - 1) * width;
      std::copy(last, last + width, states.begin() + c.loop * width);
    }
    return {};
  };
  LOOPLM_RETURN_IF_ERROR(sequence.read_prompt(prompt, 256, observe));
  return states;
}

}  // namespace looplm
