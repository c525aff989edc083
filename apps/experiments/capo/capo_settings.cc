#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "experiments/capo/biography.h"
#include "experiments/capo/capo_study.h"

namespace looplm {

CapoSettings::CapoSettings() : run(study_run(ObjectiveKind::kLastLoop)) {
  run.model.config.vocab_size = BiographyWriter().vocab_size();
  run.model.config.norm_placement = NormPlacement::kPre;
  run.model.config.tie_embeddings = true;
  run.model.config.initializer_range = 0.08;
  run.batch.sequences = 4;
  run.optimizer.beta2 = 0.98;
  run.optimizer.epsilon = 1e-6;
  run.optimizer.weight_decay = 0.02;
  run.schedule.peak = 1e-2;
  run.schedule.warmup_steps = 100;
}

Status read_capo_settings(TomlReader& reader, CapoSettings& s) {
  reader.read("people", s.people, 1, static_cast<int64_t>(kPossibleNames));
  reader.read("loops", s.loops, 1, 64);
  reader.read("seeds", s.seeds);
  reader.read("world", s.world);
  reader.read("exposures", s.exposures, 1, 1000000);
  reader.read("curve_points", s.curve_points, 1, 1000);
  reader.require("sizes");
  for (TomlReader& size : reader.tables("sizes")) {
    CapoSize one;
    one.read(size);
    one.people = s.people;
    size.read("people", one.people, 1, static_cast<int64_t>(kPossibleNames));
    s.sizes.push_back(one);
  }
  TomlReader model = reader.child("model");
  read_run_keys(model, s.run,
                {"model.norm_placement", "model.tie_embeddings", "model.initializer_range"});
  s.run.model.config.embedding_initializer_range = s.run.model.config.initializer_range;
  read_run_keys(model, s.run, {"model.embedding_initializer_range"});
  TomlReader training = reader.child("training");
  read_run_keys(
      training, s.run,
      {"data.sequence_length", "batch.sequences", "optimizer.learning_rate", "optimizer.beta2",
       "optimizer.epsilon", "optimizer.weight_decay", "schedule.warmup", "compute.dtype"});
  training.read("final_share", s.final_share, 0, 1);
  return {};
}

std::string CapoRun::id() const {
  return fmt::format("people={}.hidden={}.layers={}.loops={}.seed={}", people, size.hidden,
                     size.layers, loops, seed);
}

double CapoRun::cost(const CapoSettings& settings) const {
  // Small models are bound by the number of operations rather than by their size: measured, width
  // 16 takes about as long as 32, and four loops 3.3 times as long as one.
  const double blocks = size.layers * loops * (32.0 + size.hidden);
  return static_cast<double>(people) * settings.exposures * (blocks + 40);
}

std::vector<CapoRun> capo_runs(const CapoSettings& settings) {
  std::vector<CapoRun> runs;
  for (uint64_t seed : settings.seeds) {
    for (const CapoSize& size : settings.sizes) {
      for (int64_t people : size.people) {
        for (int loops : settings.loops) runs.push_back({people, size, loops, seed});
      }
    }
  }
  std::stable_sort(runs.begin(), runs.end(), [&](const CapoRun& a, const CapoRun& b) {
    return a.cost(settings) < b.cost(settings);
  });
  return runs;
}

int64_t capo_steps(const CapoSettings& settings, int64_t people) {
  const BiographyStream stream(settings.world, static_cast<uint64_t>(people));
  const int64_t documents = std::max(people, int64_t{10000});
  int64_t rows = 1;
  int64_t room = settings.run.data.sequence_length;
  std::vector<int32_t> ids;
  std::vector<bool> learnt;
  for (int64_t i = 0; i < documents; ++i) {
    stream.document(static_cast<uint64_t>(i), ids, learnt);
    // The last token is only a target; whole biographies stay together.
    const auto length = static_cast<int64_t>(ids.size()) - 1;
    if (length > room) {
      ++rows;
      room = settings.run.data.sequence_length;
    }
    room -= length;
  }
  const double rows_needed = static_cast<double>(rows) / static_cast<double>(documents) *
                             static_cast<double>(people) * settings.exposures;
  return static_cast<int64_t>(
      std::ceil(rows_needed / static_cast<double>(settings.run.batch.sequences)));
}

RunConfig capo_run_config(const CapoSettings& s, const CapoRun& run, int64_t steps,
                          const std::string& validation) {
  RunConfig c = s.run;
  run.size.apply(c.model.config);
  c.model.config.loops = run.loops;
  c.model.config.max_positions = c.data.sequence_length;
  c.model.seed = c.run.seed = run.seed;
  c.data.validation = {validation};
  c.schedule.final = c.schedule.peak * s.final_share;
  set_steps(c, steps, s.curve_points);
  c.run.checkpoint_every = std::max<int64_t>(1, steps / 4);
  return c;
}

}  // namespace looplm
