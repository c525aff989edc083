// looplm init: a fresh model with random weights.
#include <memory>

#include <fmt/format.h>

#include "looplm/config.h"

#include "base/cpu.h"
#include "base/file.h"
#include "base/timer.h"
#include "cli/commands.h"
#include "model/initialize.h"
#include "model/memory_report.h"
#include "model/safetensors_index.h"
#include "tensor/memory_plan.h"
#include "train/run_config_keys.h"

namespace looplm::cli {
namespace {

struct InitOptions {
  std::string preset;
  std::string config_from;
  std::string out;
  DType dtype = DType::kBf16;
  uint64_t seed = 1;
  int threads = 0;
};

Status init(const InitOptions& options) {
  if (options.preset.empty() == options.config_from.empty()) {
    return invalid_argument("init needs a shape: expected either --preset or --config");
  }
  Result<ModelConfig> config = options.preset.empty() ? read_model_config(options.config_from)
                                                      : model_preset(options.preset);
  LOOPLM_RETURN_IF_ERROR(config.status());
  for (const char* weights : {kWeightsFile, kWeightsIndexFile}) {
    const std::string file = fmt::format("{}/{}", options.out, weights);
    if (file_exists(file)) {
      return invalid_argument(fmt::format(
          "--out: '{}' is there already, and random weights would replace it; remove it, or name "
          "another directory",
          file));
    }
  }
  LOOPLM_ASSIGN_OR_RETURN(const int threads, choose_thread_count(options.threads));
  ThreadPool pool(threads);
  const Timer timer;
  LOOPLM_RETURN_IF_ERROR(
      write_random_checkpoint(*config, options.seed, options.dtype, options.out, pool));
  fmt::print("{}: {} parameters, {} in {}, {:.1f} s\n", options.out, config->parameter_count(),
             bytes_text(weight_bytes(*config, options.dtype)),
             name_of(kComputeTypeNames, options.dtype), timer.seconds());
  return {};
}

}  // namespace

void add_init_command(Program& program) {
  auto options = std::make_shared<InitOptions>();
  Command* command = program.app().add_subcommand(
      "init", "Write a model with random weights, for tests and training");
  std::string presets;
  for (const std::string& name : model_preset_names()) presets += " " + name;
  command->add_option("--preset", options->preset, "A named shape:" + presets);
  command->add_option("--config", options->config_from,
                      "Take the shape from the config.json in this directory");
  command->add_option("--seed", options->seed, "Seed of the weights")->capture_default_str();
  command->add_choice("--dtype", options->dtype, kComputeTypeNames, "Type of the stored weights");
  command->add_option("--out", options->out, "Directory to write")->required();
  command->add_threads(options->threads);
  program.on(command, [options] { return init(*options); });
}

}  // namespace looplm::cli
