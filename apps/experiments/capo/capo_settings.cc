#include "experiments/capo/capo_settings.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "experiments/capo/biography_stream.h"

namespace looplm {

void read_capo_settings(TomlReader& reader, CapoSettings& s) {
  reader.read("people", s.people, 1, static_cast<int64_t>(kPossibleNames));
  reader.read("loops", s.loops, 1, 64);
  reader.read("seeds", s.seeds);
  reader.read("world", s.world);
  reader.read("exposures", s.exposures, 1, 1000000);
  reader.read("curve_points", s.curve_points, 1, 1000);
  reader.require("sizes");
  s.sizes.clear();
  for (TomlReader& size : reader.tables("sizes")) {
    CapoSize one;
    for (const char* key : {"hidden", "layers", "heads", "intermediate"}) size.require(key);
    size.read("hidden", one.hidden, 1, 1 << 16);
    size.read("layers", one.layers, 1, 1000);
    size.read("heads", one.heads, 1, 1000);
    size.read("intermediate", one.intermediate, 1, 1 << 18);
    one.people = s.people;
    size.read("people", one.people, 1, static_cast<int64_t>(kPossibleNames));
    size.finish();
    if (one.heads > 0 && (one.hidden % one.heads != 0 || one.hidden / one.heads % 2 != 0)) {
      size.fail(
          fmt::format("{} is {}; expected a divisor of hidden, {}, that leaves an even "
                      "number per head",
                      size.full_name("heads"), one.heads, one.hidden));
    }
    s.sizes.push_back(one);
  }

  TomlReader model = reader.child("model");
  model.read("norm_placement", s.norm_placement);
  model.read("tie_embeddings", s.tie_embeddings);
  model.read("initializer_range", s.initializer_range, 0, 10);
  s.embedding_initializer_range = s.initializer_range;
  model.read("embedding_initializer_range", s.embedding_initializer_range, 0, 10);
  model.finish();

  TomlReader training = reader.child("training");
  training.read("sequence_length", s.sequence_length, 128, 1 << 20);
  training.read("sequences", s.sequences, 1, 1 << 20);
  training.read("learning_rate", s.learning_rate, 0, 10);
  training.read("final_share", s.final_share, 0, 1);
  training.read("beta2", s.beta2, 0, 1);
  training.read("epsilon", s.epsilon, 0, 1);
  training.read("weight_decay", s.weight_decay, 0, 10);
  training.read("warmup", s.warmup, 0, 1 << 30);
  training.read("dtype", s.dtype);
  training.finish();
  reader.finish();
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
  int64_t room = settings.sequence_length;
  std::vector<int32_t> ids;
  std::vector<bool> learnt;
  for (int64_t i = 0; i < documents; ++i) {
    stream.document(static_cast<uint64_t>(i), ids, learnt);
    // The last token is only a target; whole biographies stay together.
    const auto length = static_cast<int64_t>(ids.size()) - 1;
    if (length > room) {
      ++rows;
      room = settings.sequence_length;
    }
    room -= length;
  }
  const double rows_needed = static_cast<double>(rows) / static_cast<double>(documents) *
                             static_cast<double>(people) * settings.exposures;
  return static_cast<int64_t>(std::ceil(rows_needed / static_cast<double>(settings.sequences)));
}

std::string capo_run_file(const CapoSettings& s, const CapoRun& run, int64_t steps,
                          const std::string& validation) {
  return fmt::format(
      R"([model]
vocab_size = {}
hidden_size = {}
layers = {}
heads = {}
intermediate_size = {}
loops = {}
max_positions = {}
exit_gate = false
norm_placement = "{}"
tie_embeddings = {}
initializer_range = {}
embedding_initializer_range = {}
seed = {}

[data]
validation = "{}"
sequence_length = {}
split_documents = false

[batch]
sequences = {}

[objective]
kind = "last_loop"

[optimizer]
learning_rate = {}
beta2 = {}
epsilon = {}
weight_decay = {}

[schedule]
kind = "cosine"
warmup = {}
final_learning_rate = {}

[run]
steps = {}
seed = {}
log_every = {}
validate_every = {}
checkpoint_every = {}
keep = 1

[compute]
dtype = "{}"
memory = "keep_all"
save_dtype = "f32"
)",
      BiographyWriter().vocab_size(), run.size.hidden, run.size.layers, run.size.heads,
      run.size.intermediate, run.loops, s.sequence_length, s.norm_placement, s.tie_embeddings,
      s.initializer_range, s.embedding_initializer_range, run.seed, validation, s.sequence_length,
      s.sequences, s.learning_rate, s.beta2, s.epsilon, s.weight_decay, std::min(s.warmup, steps),
      s.learning_rate * s.final_share, steps, run.seed, std::max<int64_t>(1, steps / 20),
      std::max<int64_t>(1, steps / s.curve_points), std::max<int64_t>(1, steps / 4), s.dtype);
}

}  // namespace looplm
