#include "train/run_config.h"

#include <cmath>

#include <fmt/format.h>

#include "base/file.h"
#include "train/toml_reader.h"

namespace looplm {
namespace {

constexpr int64_t kMany = int64_t{1} << 40;
constexpr double kHuge = 1e30;

// Reads a name and turns it into a value by `convert`, whose error gets the key in front.
template <typename T, typename Convert>
void read_name(TomlReader& table, const char* key, T& value, Convert convert) {
  std::string name;
  if (!table.has(key)) {
    table.node(key);
    return;
  }
  table.read(key, name);
  const Result<T> converted = convert(name);
  if (converted.ok()) {
    value = converted.value();
  } else {
    table.fail(fmt::format("{}: {}", table.full_name(key), converted.status().message()));
  }
}

Result<DType> compute_dtype(const std::string& name) {
  if (name == "f32") return DType::kF32;
  if (name == "bf16") return DType::kBf16;
  return invalid_argument(fmt::format("'{}'; expected f32 or bf16", name));
}

Result<MemoryPolicy> memory_policy(const std::string& name) {
  if (const auto policy = memory_policy_from_name(name)) return *policy;
  return invalid_argument(
      fmt::format("'{}'; expected keep_all, block_inputs or loop_inputs", name));
}

Result<NormPlacement> norm_placement(const std::string& name) {
  if (name == "sandwich") return NormPlacement::kSandwich;
  if (name == "pre") return NormPlacement::kPre;
  return invalid_argument(fmt::format("'{}'; expected sandwich or pre", name));
}

void read_model(TomlReader model, RunConfig& run) {
  model.read("from", run.from);
  model.read("tokenizer", run.tokenizer);
  model.read("seed", run.model_seed);
  std::string preset;
  model.read("preset", preset);
  if (!run.from.empty()) {
    if (!preset.empty()) {
      model.fail("model.from and model.preset are both given; expected one of them");
    }
    return model.finish();  // the checkpoint's config says the rest
  }
  if (!preset.empty()) {
    Result<ModelConfig> config = model_preset(preset);
    if (config.ok()) {
      run.config = std::move(config).value();
    } else {
      model.fail("model.preset: " + config.status().message());
    }
  }
  // Sizes: of a fresh model without a preset, or changes to one.
  ModelConfig& c = run.config;
  if (preset.empty()) {
    c.dtype = "float32";
    for (const char* key : {"vocab_size", "hidden_size", "layers", "heads", "intermediate_size"}) {
      model.require(key);
    }
  }
  const bool kv_given = model.has("kv_heads"), dim_given = model.has("head_dim");
  const bool heads_given = model.has("heads") || model.has("hidden_size");
  model.read("vocab_size", c.vocab_size, 1, kMaxVocabSize);
  model.read("hidden_size", c.hidden_size, 1, kMaxHiddenSize);
  model.read("layers", c.layers, 1, kMaxLayers);
  model.read("heads", c.heads, 1, kMaxHeads);
  if (heads_given && !kv_given) c.kv_heads = c.heads;
  if (heads_given && !dim_given && c.heads > 0) c.head_dim = c.hidden_size / c.heads;
  model.read("kv_heads", c.kv_heads, 1, kMaxHeads);
  model.read("head_dim", c.head_dim, 2, kMaxHeadDim);
  model.read("intermediate_size", c.intermediate_size, 1, kMaxIntermediateSize);
  if (c.max_positions == 0) c.max_positions = 2048;
  model.read("max_positions", c.max_positions, 1, kMaxPositions);
  model.read("rope_theta", c.rope_theta, 1, kHuge);
  model.read("rms_norm_eps", c.rms_norm_eps, 0, 1);
  model.read("initializer_range", c.initializer_range, 0, 10);
  model.read("embedding_initializer_range", c.embedding_initializer_range, 0, 10);
  model.read("tie_embeddings", c.tie_embeddings);
  model.read("loops", c.loops, 1, kMaxLoops);
  read_name(model, "norm_placement", c.norm_placement, norm_placement);
  model.read("norm_between_loops", c.norm_between_loops);
  model.read("exit_gate", c.exit_gate);
  model.read("early_exit_threshold", c.early_exit_threshold, 0, 1);
  int64_t eos = -1;
  model.read("eos_token_id", eos, 0, kMaxVocabSize);
  if (eos >= 0) {
    c.eos_token_ids = {eos};
    c.bos_token_id = c.pad_token_id = eos;
  }
  model.finish();
}

void read_data(TomlReader data, RunConfig& run) {
  if (const toml::node* train = data.node("train")) {
    const toml::array* list = train->as_array();
    const auto expected = "data.train must be a path, or a list of paths or { path, weight }";
    if (const auto* only = train->as_string()) {
      run.data.push_back({only->get(), 1});
    } else if (list == nullptr || list->empty()) {
      data.fail(expected);
    } else {
      for (const toml::node& item : *list) {
        RunConfig::DataSource source;
        if (const auto* path = item.as_string()) {
          source.path = path->get();
        } else if (const auto* table = item.as_table()) {
          Status status;
          TomlReader entry(table, "data.train", status);
          entry.require("path");
          entry.read("path", source.path);
          entry.read("weight", source.weight, 1e-9, 1e9);
          entry.finish();
          if (!status.ok()) data.fail(status.message());
        } else {
          data.fail(expected);
        }
        run.data.push_back(source);
      }
    }
  }
  data.read("validation", run.validation);
  data.read("sequence_length", run.sequence_length, 1, kMaxPositions);
  data.read("split_documents", run.split_documents);
  data.finish();
}

void read_objective(TomlReader objective, RunConfig& run) {
  objective.read("kind", run.objective);
  if (run.objective != "stage1" && run.objective != "stage2" && run.objective != "last_loop") {
    objective.fail(
        fmt::format("objective.kind is '{}'; expected stage1, stage2 or last_loop", run.objective));
  }
  objective.read("loops", run.loops, 1, kMaxLoops);
  objective.read("beta", run.beta, 0, kHuge);
  read_name(objective, "prior", run.prior.kind, exit_prior_kind);
  objective.read("geometric_parameter", run.prior.parameter, 1e-6, 1 - 1e-6);
  objective.read("poisson_mean", run.prior.mean, 1e-6, 1e6);
  objective.read("poisson_sigma", run.prior.sigma, 0, 10);
  objective.read("k", run.stage_two.k, 0, kHuge);
  objective.read("gamma", run.stage_two.gamma, 0, kHuge);
  objective.read("forward_looking", run.stage_two.forward_looking);
  objective.finish();
}

void read_optimizer(TomlReader optimizer, RunConfig& run) {
  optimizer.read("learning_rate", run.schedule.peak, 1e-12, 1e3);
  optimizer.read("beta1", run.optimizer.beta1, 0, 1 - 1e-9);
  optimizer.read("beta2", run.optimizer.beta2, 0, 1 - 1e-9);
  optimizer.read("epsilon", run.optimizer.epsilon, 1e-30, 1);
  optimizer.read("weight_decay", run.optimizer.weight_decay, 0, 1e3);
  optimizer.read("clip", run.optimizer.clip, 0, kHuge);
  optimizer.finish();
}

void read_schedule(TomlReader schedule, RunConfig& run) {
  read_name(schedule, "kind", run.schedule.kind, schedule_kind);
  schedule.read("warmup", run.schedule.warmup_steps, 0, kMany);
  schedule.read("decay", run.schedule.decay_steps, 0, kMany);
  schedule.read("final_learning_rate", run.schedule.final, 0, 1e3);
  run.schedule.total_steps = run.steps;
  if (run.schedule.final > run.schedule.peak) {
    schedule.fail(
        fmt::format("schedule.final_learning_rate is {}; expected at most "
                    "optimizer.learning_rate, {}",
                    run.schedule.final, run.schedule.peak));
  }
  if (run.schedule.warmup_steps + run.schedule.decay_steps > run.steps) {
    schedule.fail(fmt::format("schedule.warmup and schedule.decay take {} steps; run.steps is {}",
                              run.schedule.warmup_steps + run.schedule.decay_steps, run.steps));
  }
  schedule.finish();
}

void read_run(TomlReader table, RunConfig& run) {
  table.require("out");
  table.require("steps");
  table.read("out", run.out);
  table.read("steps", run.steps, 1, kMany);
  table.read("seed", run.seed);
  table.read("log_every", run.log_every, 1, kMany);
  table.read("validate_every", run.validate_every, 0, kMany);
  table.read("validate_batches", run.validate_batches, 0, kMany);
  table.read("checkpoint_every", run.checkpoint_every, 0, kMany);
  table.read("keep", run.keep, 1, 1000000);
  table.finish();
}

void read_compute(TomlReader compute, RunConfig& run) {
  read_name(compute, "dtype", run.dtype, compute_dtype);
  read_name(compute, "memory", run.memory, memory_policy);
  compute.read("threads", run.threads, 0, 1024);
  read_name(compute, "save_dtype", run.save_dtype, compute_dtype);
  compute.finish();
}

}  // namespace

Result<RunConfig> parse_run_config(const std::string& toml_text, const std::string& what,
                                   const std::vector<std::string>& overrides) {
  LOOPLM_ASSIGN_OR_RETURN(toml::table root, parse_toml(toml_text, what));
  for (const std::string& text : overrides) {
    LOOPLM_RETURN_IF_ERROR(apply_toml_override(root, text));
  }
  RunConfig run;
  Status status;
  TomlReader top(&root, "", status);
  read_model(top.child("model"), run);
  read_data(top.child("data"), run);
  TomlReader batch = top.child("batch");
  batch.read("sequences", run.sequences, 1, kMany);
  batch.read("accumulate", run.accumulate, 1, kMany);
  batch.finish();
  read_objective(top.child("objective"), run);
  read_optimizer(top.child("optimizer"), run);
  read_run(top.child("run"), run);
  read_schedule(top.child("schedule"), run);
  read_compute(top.child("compute"), run);
  top.finish();
  if (!status.ok()) return status.with_context(what);
  if (run.sequences > kMany / run.sequence_length) {
    return invalid_argument(
        fmt::format("{}: batch.sequences is {}; with sequences of {} that is too much", what,
                    run.sequences, run.sequence_length));
  }
  if (run.from.empty()) {
    const Status valid = validate(run.config);
    if (!valid.ok()) return valid.with_context(what + ": model");
  }
  return run;
}

Result<RunConfig> read_run_config(const std::string& path,
                                  const std::vector<std::string>& overrides) {
  LOOPLM_ASSIGN_OR_RETURN(const std::string text, read_text_file(path));
  return parse_run_config(text, path, overrides);
}

std::string run_fingerprint(const RunConfig& r) {
  std::string data;
  for (const RunConfig::DataSource& source : r.data) {
    data += fmt::format("{}*{} ", source.path, source.weight);
  }
  return fmt::format(
      "model {} seed {} from '{}'; data {}length {} split {}; batch {} x {}; objective {} loops {} "
      "beta {} prior {} {} {} {} k {} gamma {} forward {}; adamw {} {} {} {} clip {}; schedule {} "
      "{} "
      "{} {} {}; steps {} seed {}; dtype {}",
      model_config_json(r.config), r.model_seed, r.from, data, r.sequence_length, r.split_documents,
      r.sequences, r.accumulate, r.objective, r.loops, r.beta, static_cast<int>(r.prior.kind),
      r.prior.parameter, r.prior.mean, r.prior.sigma, r.stage_two.k, r.stage_two.gamma,
      r.stage_two.forward_looking, r.optimizer.beta1, r.optimizer.beta2, r.optimizer.epsilon,
      r.optimizer.weight_decay, r.optimizer.clip, static_cast<int>(r.schedule.kind),
      r.schedule.peak, r.schedule.final, r.schedule.warmup_steps, r.schedule.decay_steps, r.steps,
      r.seed, dtype_name(r.dtype));
}

}  // namespace looplm
