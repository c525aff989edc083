#include <algorithm>

#include <fmt/format.h>

#include "experiments/scaling/scaling_study.h"

namespace looplm {
namespace {

// Every fit that the report makes must have measurements enough; known before anything is trained.
void check_fits(TomlReader& reader, const ScalingSettings& s) {
  const auto sizes = static_cast<int>(s.sizes.size());
  const auto depths = static_cast<int>(s.loops.size());
  const auto check = [&](int measurements, const std::string& what) {
    if (measurements >= kScalingConstants) return;
    reader.fail(
        fmt::format("{}, which leaves {} measurements to fit; expected at least {}, the "
                    "constants of a law",
                    what, measurements, kScalingConstants));
  };
  const int runs = sizes * depths * static_cast<int>(s.seeds.size());
  for (double share : s.kept_tokens) {
    const int places = static_cast<int>(share * s.points);
    check(places < 2 ? 0 : runs * places, fmt::format("fit.kept_tokens has {}", share));
  }
  check(runs / sizes * s.kept_sizes * s.points, fmt::format("fit.kept_sizes is {}", s.kept_sizes));
  check(runs / depths * s.kept_loops * s.points, fmt::format("fit.kept_loops is {}", s.kept_loops));
}

}  // namespace

ScalingSettings::ScalingSettings() : run(study_run(ObjectiveKind::kStageOne)) {
  run.model.config.initializer_range = 0.08;
  run.model.config.embedding_initializer_range = 1;
  run.data.sequence_length = 256;
  run.data.split_documents = true;
  run.objective.beta = 0.05;
  run.schedule.kind = Schedule::Kind::kConstant;
  run.schedule.peak = 2e-3;
  run.schedule.warmup_steps = 100;
  run.run.steps = 1000;
}

Status read_scaling_settings(TomlReader& reader, ScalingSettings& s) {
  reader.require("text");
  reader.read("text", s.text);
  reader.read("vocab_size", s.vocab_size, 257, 1 << 20);
  reader.read("hold_out_every", s.hold_out_every, 2, 1 << 30);
  reader.require("sizes");
  for (TomlReader& size : reader.tables("sizes")) {
    s.sizes.emplace_back().read(size);
  }
  if (s.sizes.size() == 1) {
    reader.fail("sizes has one entry; expected at least two, to fit a law of the parameters");
  }
  reader.read("loops", s.loops, 1, 64);
  reader.read("dense", s.dense, 2, 64);
  reader.read("seeds", s.seeds);
  reader.read("points", s.points, 3, 1000);
  if (s.loops.size() < 2) reader.fail("loops has one entry; expected at least two");

  TomlReader training = reader.child("training");
  read_run_keys(training, s.run,
                {"objective.beta", "run.steps", "data.sequence_length", "batch.sequences",
                 "optimizer.learning_rate", "optimizer.weight_decay", "schedule.warmup",
                 "model.initializer_range", "model.embedding_initializer_range", "compute.dtype"});
  if (s.run.run.steps < s.points || s.run.run.steps % s.points != 0) {
    reader.fail(fmt::format("{} is {}; expected a multiple of points, {}",
                            training.full_name("steps"), s.run.run.steps, s.points));
  }

  const int sizes = std::max(1, static_cast<int>(s.sizes.size()));
  const int depths = std::max(1, static_cast<int>(s.loops.size()));
  // One is left out where two remain.
  s.kept_sizes = std::min(s.kept_sizes, std::max(2, sizes - 1));
  s.kept_loops = std::min(s.kept_loops, std::max(2, depths - 1));
  TomlReader fit = reader.child("fit");
  fit.read("starts", s.fit.starts, 1, 100000);
  fit.read("seed", s.fit.seed);
  fit.read("huber", s.fit.huber, 0, 100);
  fit.read("rise", s.rise, 0, 100);
  fit.read("kept_sizes", s.kept_sizes, 2, sizes);
  fit.read("kept_loops", s.kept_loops, 2, depths);
  fit.read("kept_tokens", s.kept_tokens, 0.01, 1);
  if (!s.sizes.empty()) check_fits(reader, s);
  return {};
}

std::string ScalingRun::id() const {
  return layers_times == 1 ? fmt::format("hidden={}.layers={}.loops={}.seed={}", size.hidden,
                                         size.layers, loops, seed)
                           : fmt::format("dense.hidden={}.layers={}.seed={}", size.hidden,
                                         size.layers * layers_times, seed);
}

double ScalingRun::cost(const ScalingSettings& settings) const {
  const double hidden = size.hidden;
  // Multiply-adds per token, and a constant for what small products cost besides.
  const double block = hidden * (4 * hidden + 3.0 * size.intermediate) + 3000;
  const double head = hidden * static_cast<double>(settings.vocab_size);
  return static_cast<double>(settings.run.run.steps) * settings.tokens_per_step() *
         (block * size.layers * layers_times * loops + head * loops);
}

std::vector<ScalingRun> scaling_runs(const ScalingSettings& settings) {
  std::vector<ScalingRun> runs;
  for (uint64_t seed : settings.seeds) {
    for (const ModelSize& size : settings.sizes) {
      for (int loops : settings.loops) runs.push_back({size, loops, 1, seed});
      for (int times : settings.dense) runs.push_back({size, 1, times, seed});
    }
  }
  return runs;
}

RunConfig scaling_run_config(const ScalingSettings& s, const ScalingRun& run,
                             const std::string& data) {
  RunConfig c = s.run;
  run.size.apply(c.model.config);
  c.model.config.vocab_size = s.vocab_size;
  c.model.config.layers *= run.layers_times;
  c.model.config.loops = run.loops;
  c.model.config.max_positions = c.data.sequence_length;
  c.model.seed = c.run.seed = run.seed;
  c.data.train = {{data + "/train.tokens"}};
  c.data.validation = {data + "/validation.tokens"};
  set_steps(c, c.run.steps, s.points);
  c.run.checkpoint_every = std::max<int64_t>(1, c.run.steps / 4);
  return c;
}

}  // namespace looplm
