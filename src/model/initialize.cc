#include "model/initialize.h"

#include <algorithm>
#include <vector>

#include "model/normal_fill.h"

namespace looplm {
namespace {

// Keeps these numbers apart from those that sampling and data order draw with the same seed.
constexpr uint64_t kInitializeStream = uint64_t{0x494e4954} << 32;  // "INIT"

}  // namespace

void fill_initial(const ModelConfig& config, const ParameterSpec& spec, int64_t index,
                  uint64_t seed, int64_t first, std::span<float> out) {
  switch (spec.role) {
    case ParameterRole::kNorm:
      std::fill(out.begin(), out.end(), 1.0f);
      return;
    case ParameterRole::kGateBias:
      std::fill(out.begin(), out.end(), 0.0f);
      return;
    case ParameterRole::kEmbedding:
    case ParameterRole::kHead:
    case ParameterRole::kLinear:
    case ParameterRole::kGateWeight:
      fill_normal(seed, kInitializeStream + static_cast<uint64_t>(index), first, out);
      const bool own =
          spec.role == ParameterRole::kEmbedding && config.embedding_initializer_range > 0;
      const auto deviation =
          static_cast<float>(own ? config.embedding_initializer_range : config.initializer_range);
      for (float& value : out) value *= deviation;
      return;
  }
}

ParameterFill initial_fill(const ModelConfig& config, uint64_t seed) {
  return [config, seed, specs = parameter_specs(config)](int64_t parameter, int64_t first,
                                                         std::span<float> out) {
    fill_initial(config, specs[static_cast<size_t>(parameter)], parameter, seed, first, out);
  };
}

Status write_random_checkpoint(const ModelConfig& config, uint64_t seed, DType dtype,
                               const std::string& directory, ThreadPool& pool) {
  SaveOptions options;
  options.dtype = dtype;
  return save_checkpoint(directory, config, initial_fill(config, seed), options, pool);
}

}  // namespace looplm
