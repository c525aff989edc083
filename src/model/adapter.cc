#include "model/adapter.h"

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

#include "base/bf16.h"
#include "base/check.h"
#include "base/rng.h"
#include "model/tensor_read.h"

namespace looplm {
namespace {

constexpr std::array<AdapterTarget, 7> kTargets = {{{"q_proj", kQueryName},
                                                    {"k_proj", kKeyName},
                                                    {"v_proj", kValueName},
                                                    {"o_proj", kOutputName},
                                                    {"gate_proj", kGateProjectionName},
                                                    {"up_proj", kUpProjectionName},
                                                    {"down_proj", kDownProjectionName}}};
constexpr const char* kDown = ".lora_A";
constexpr const char* kUp = ".lora_B";
// A thread's share of a matrix that takes an adapter.
constexpr int64_t kTask = int64_t{1} << 15;

std::string adapter_name(const std::string& parameter, const char* part,
                         std::optional<int64_t> loop) {
  const std::string module = parameter.substr(0, parameter.rfind(".weight"));
  const std::string of_loop = loop ? fmt::format(".loop{}", *loop + 1) : "";
  return "base_model.model." + module + part + of_loop + ".weight";
}

}  // namespace

std::span<const AdapterTarget> adapter_targets() { return kTargets; }

Status check_targets(const std::vector<std::string>& targets) {
  for (auto at = targets.begin(); at != targets.end(); ++at) {
    const bool known = std::any_of(kTargets.begin(), kTargets.end(),
                                   [&](const AdapterTarget& target) { return *at == target.name; });
    if (!known) {
      std::string names;
      for (const AdapterTarget& t : kTargets)
        names += (names.empty() ? "" : ", ") + std::string(t.name);
      return invalid_argument(
          fmt::format("'{}' is not a matrix of a block; expected some of {}", *at, names));
    }
    if (std::find(targets.begin(), at, *at) != at) {
      return invalid_argument(fmt::format("'{}' is there twice", *at));
    }
  }
  return {};
}

bool has_target(const AdapterSettings& settings, const AdapterTarget& target) {
  const std::vector<std::string>& names = settings.targets;
  return names.empty() || std::find(names.begin(), names.end(), target.name) != names.end();
}

std::string adapter_down_name(const std::string& parameter, std::optional<int64_t> loop) {
  return adapter_name(parameter, kDown, loop);
}
std::string adapter_up_name(const std::string& parameter, std::optional<int64_t> loop) {
  return adapter_name(parameter, kUp, loop);
}

std::vector<ParameterSpec> adapter_specs(const ModelConfig& config,
                                         const AdapterSettings& settings) {
  std::vector<ParameterSpec> matrices = parameter_specs(config);
  std::erase_if(matrices, [&](const ParameterSpec& matrix) {
    const auto of = std::find_if(kTargets.begin(), kTargets.end(), [&](const AdapterTarget& t) {
      return matrix.name.ends_with(std::string(".") + t.parameter);
    });
    return of == kTargets.end() || !has_target(settings, *of);
  });
  std::vector<ParameterSpec> specs;
  for (int64_t copy = 0; copy < settings.copies(config); ++copy) {
    const std::optional<int64_t> loop = settings.per_loop ? std::optional(copy) : std::nullopt;
    for (const ParameterSpec& m : matrices) {
      specs.push_back(
          {adapter_down_name(m.name, loop), {settings.rank, m.shape[1]}, ParameterRole::kLinear});
      specs.push_back(
          {adapter_up_name(m.name, loop), {m.shape[0], settings.rank}, ParameterRole::kLinear});
    }
  }
  return specs;
}

void initialize_adapter(uint64_t seed, ParameterSet& values) {
  for (size_t i = 0; i < values.specs().size(); ++i) {
    const ParameterSpec& spec = values.specs()[i];
    float* to = values.data() + values.offset(i);
    std::fill_n(to, spec.count(), 0.0f);
    if (spec.name.find(kDown) == std::string::npos) continue;
    Rng rng(seed, i);
    const float bound = 1.0f / std::sqrt(static_cast<float>(spec.shape[1]));
    for (int64_t at = 0; at < spec.count(); ++at) to[at] = bound * (2 * rng.uniform() - 1);
  }
}

void add_adapter(const Adapter& adapter, const std::string& parameter, int64_t first,
                 std::span<float> out) {
  const std::string down_name = adapter_down_name(parameter);
  if (!adapter.values.contains(down_name)) return;
  const float* down = adapter.values.find(down_name);
  const float* up = adapter.values.find(adapter_up_name(parameter));
  const int64_t rank = adapter.settings.rank;
  const TensorView view = adapter.values.source()(down_name).value();
  const int64_t width = view.shape[1];
  const auto scale = static_cast<float>(adapter.settings.scale());
  const int64_t end = first + static_cast<int64_t>(out.size());
  std::vector<float> sum;
  for (int64_t at = first; at < end;) {
    const int64_t row = at / width, column = at % width;
    const int64_t count = std::min(width - column, end - at);
    sum.assign(static_cast<size_t>(count), 0.0f);
    for (int64_t r = 0; r < rank; ++r) {
      const float factor = up[row * rank + r];
      const float* from = down + r * width + column;
      for (int64_t i = 0; i < count; ++i) sum[static_cast<size_t>(i)] += factor * from[i];
    }
    for (int64_t i = 0; i < count; ++i) {
      out[static_cast<size_t>(at - first + i)] += scale * sum[static_cast<size_t>(i)];
    }
    at += count;
  }
}

bool Adapter::is_mergeable(const Checkpoint& base) const {
  if (settings.per_loop) return false;
  for (size_t i = 0; i < base.specs.size(); ++i) {
    if (base.tensors[i].dtype != DType::kU8) continue;
    if (values.contains(adapter_down_name(base.specs[i].name))) return false;
  }
  return true;
}

Result<AdaptedTensors> AdaptedTensors::create(const Checkpoint& checkpoint, const Adapter& adapter,
                                              ThreadPool& pool) {
  if (adapter.settings.per_loop) {
    return unsupported(fmt::format(
        "each of {} loops has an adapter of its own, and all loops of '{}' share their matrices: "
        "such adapters cannot be merged; --lora runs them beside the model",
        adapter.settings.loops, checkpoint.directory));
  }
  AdaptedTensors adapted;
  adapted.base_ = checkpoint_source(checkpoint);
  for (size_t i = 0; i < checkpoint.specs.size(); ++i) {
    const ParameterSpec& spec = checkpoint.specs[i];
    const TensorView& from = checkpoint.tensors[i];
    // Norms and the gate say nothing: some files hold those of a bf16 model in fp32.
    const bool matrix = spec.role == ParameterRole::kLinear || spec.role == ParameterRole::kHead ||
                        spec.role == ParameterRole::kEmbedding;
    if (matrix && from.dtype != DType::kBf16) adapted.matrix_dtype_ = DType::kF32;
    if (!adapter.values.contains(adapter_down_name(spec.name))) continue;
    if (from.dtype == DType::kU8) {
      return unsupported(fmt::format(
          "'{}' holds '{}' in small integers, which cannot take an adapter; merge it into the "
          "model that this was quantised from, and quantise afterwards, or run it beside with "
          "--lora",
          checkpoint.directory, spec.name));
    }
    const DType dtype = from.dtype == DType::kBf16 ? DType::kBf16 : DType::kF32;
    Changed& changed = adapted.changed_[spec.name];
    changed.bytes = Buffer<std::byte>(static_cast<size_t>(spec.count()) * dtype_size(dtype));
    changed.view = {dtype, spec.shape, changed.bytes.data()};
    pool.parallel_for((spec.count() + kTask - 1) / kTask, [&](int64_t task, int /*thread*/) {
      const int64_t first = task * kTask;
      std::vector<float> floats(static_cast<size_t>(std::min(kTask, spec.count() - first)));
      read_as_float(from, first, floats);
      add_adapter(adapter, spec.name, first, floats);
      if (dtype == DType::kF32) {
        std::copy(floats.begin(), floats.end(),
                  reinterpret_cast<float*>(changed.bytes.data()) + first);
      } else {
        std::transform(floats.begin(), floats.end(),
                       reinterpret_cast<Bf16*>(changed.bytes.data()) + first, to_bf16);
      }
    });
  }
  return adapted;
}

TensorSource AdaptedTensors::source() const {
  return [this](const std::string& name) -> Result<TensorView> {
    const auto found = changed_.find(name);
    return found == changed_.end() ? base_(name) : Result<TensorView>(found->second.view);
  };
}

}  // namespace looplm
