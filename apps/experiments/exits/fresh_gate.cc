#include <algorithm>

#include <fmt/format.h>

#include "base/thread_pool.h"
#include "experiments/exits/exits_study.h"
#include "model/checkpoint.h"
#include "model/parameters.h"

namespace looplm {

Status copy_with_fresh_gate(const std::string& from, const std::string& to) {
  LOOPLM_ASSIGN_OR_RETURN(const Checkpoint checkpoint, open_checkpoint(from));
  if (!checkpoint.config.exit_gate) {
    return invalid_argument(fmt::format("model '{}' has no exit gate", from));
  }
  const ParameterFill stored = checkpoint_fill(checkpoint);
  const ParameterFill fill = [&](int64_t parameter, int64_t first, std::span<float> out) {
    const std::string& name = checkpoint.specs[static_cast<size_t>(parameter)].name;
    if (name == kGateWeightName || name == kGateBiasName) {
      std::fill(out.begin(), out.end(), 0.0f);
    } else {
      stored(parameter, first, out);
    }
  };
  SaveOptions options;
  options.dtype = DType::kF32;
  options.companions_from = from;
  ThreadPool pool(1);
  return save_checkpoint(to, checkpoint.config, fill, options, pool);
}

}  // namespace looplm
