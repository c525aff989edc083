#include "experiments/scaling/scaling_settings.h"

#include <algorithm>

#include <fmt/format.h>

namespace looplm {
namespace {

void read_sizes(TomlReader& reader, ScalingSettings& s) {
  reader.require("sizes");
  s.sizes.clear();
  for (TomlReader& size : reader.tables("sizes")) {
    ScalingSize one;
    for (const char* key : {"hidden", "layers", "heads", "intermediate"}) size.require(key);
    size.read("hidden", one.hidden, 1, 1 << 16);
    size.read("layers", one.layers, 1, 1000);
    size.read("heads", one.heads, 1, 1000);
    size.read("intermediate", one.intermediate, 1, 1 << 18);
    size.finish();
    if (one.heads > 0 && (one.hidden % one.heads != 0 || one.hidden / one.heads % 2 != 0)) {
      size.fail(
          fmt::format("{} is {}; expected a divisor of hidden, {}, that leaves an even "
                      "number per head",
                      size.full_name("heads"), one.heads, one.hidden));
    }
    s.sizes.push_back(one);
  }
  if (s.sizes.size() == 1) {
    reader.fail("sizes has one entry; expected at least two, to fit a law of the parameters");
  }
}

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

void read_scaling_settings(TomlReader& reader, ScalingSettings& s) {
  reader.require("text");
  reader.read("text", s.text);
  reader.read("vocab_size", s.vocab_size, 257, 1 << 20);
  reader.read("hold_out_every", s.hold_out_every, 2, 1 << 30);
  read_sizes(reader, s);
  reader.read("loops", s.loops, 1, 64);
  reader.read("dense", s.dense, 2, 64);
  reader.read("seeds", s.seeds);
  reader.read("points", s.points, 3, 1000);
  if (s.loops.size() < 2) reader.fail("loops has one entry; expected at least two");

  TomlReader training = reader.child("training");
  training.read("beta", s.beta, 0, 10);
  training.read("steps", s.steps, s.points, int64_t{1} << 40);
  training.read("sequence_length", s.sequence_length, 2, 1 << 20);
  training.read("sequences", s.sequences, 1, 1 << 20);
  training.read("learning_rate", s.learning_rate, 0, 10);
  training.read("weight_decay", s.weight_decay, 0, 10);
  training.read("warmup", s.warmup, 0, 1 << 30);
  training.read("initializer_range", s.initializer_range, 0, 10);
  training.read("embedding_initializer_range", s.embedding_initializer_range, 0, 10);
  training.read("dtype", s.dtype);
  training.finish();
  if (s.steps % s.points != 0) {
    reader.fail(fmt::format("{} is {}; expected a multiple of points, {}",
                            training.full_name("steps"), s.steps, s.points));
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
  fit.finish();
  reader.finish();
  if (!s.sizes.empty()) check_fits(reader, s);
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
  return static_cast<double>(settings.steps) * settings.tokens_per_step() *
         (block * size.layers * layers_times * loops + head * loops);
}

std::vector<ScalingRun> scaling_runs(const ScalingSettings& settings) {
  std::vector<ScalingRun> runs;
  for (uint64_t seed : settings.seeds) {
    for (const ScalingSize& size : settings.sizes) {
      for (int loops : settings.loops) runs.push_back({size, loops, 1, seed});
      for (int times : settings.dense) runs.push_back({size, 1, times, seed});
    }
  }
  return runs;
}

std::string scaling_run_file(const ScalingSettings& s, const ScalingRun& run,
                             const std::string& data) {
  return fmt::format(
      R"([model]
vocab_size = {}
hidden_size = {}
layers = {}
heads = {}
intermediate_size = {}
loops = {}
max_positions = {}
initializer_range = {}
embedding_initializer_range = {}
seed = {}

[data]
train = "{}/train.tokens"
validation = "{}/validation.tokens"
sequence_length = {}

[batch]
sequences = {}

[objective]
kind = "stage1"
beta = {}

[optimizer]
learning_rate = {}
weight_decay = {}

[schedule]
kind = "constant"
warmup = {}

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
)",
      s.vocab_size, run.size.hidden, run.size.layers * run.layers_times, run.size.heads,
      run.size.intermediate, run.loops, s.sequence_length, s.initializer_range,
      s.embedding_initializer_range, run.seed, data, data, s.sequence_length, s.sequences, s.beta,
      s.learning_rate, s.weight_decay, std::min(s.warmup, s.steps), s.steps, run.seed,
      std::max<int64_t>(1, s.steps / 20), s.steps / s.points, std::max<int64_t>(1, s.steps / 4),
      s.dtype);
}

}  // namespace looplm
