// looplm bench decode, prefill, lanes, batch: the engine on a whole model, against the machine.
#include <algorithm>
#include <memory>

#include <fmt/format.h>

#include "base/timer.h"
#include "cli/bench.h"
#include "cli/bench_model.h"
#include "infer/run_request.h"

namespace looplm::cli {
namespace {

constexpr int64_t kPromptChunk = 512;  // positions of a prompt in a pass

GenerateOptions request_of(const ModelBenchOptions& o, int64_t tokens) {
  GenerateOptions g;
  g.max_tokens = tokens;
  g.ignore_eos = true;
  g.exit.max_loops = o.loops;
  return g;
}

int64_t loops_of(const Model& model, const ModelBenchOptions& o) {
  return o.loops == 0 ? model.config().loops : o.loops;
}

// Weights of matrices, one trip through the stack.
double block_weights(const ModelConfig& c) {
  return static_cast<double>(c.layers) *
         static_cast<double>(c.hidden_size * (2 * c.query_size() + 2 * c.kv_size()) +
                             3 * c.hidden_size * c.intermediate_size);
}

double kv_bytes_per_position(Model& model, int64_t loops) {
  const PagePool& pages = model.parts().pages;
  return static_cast<double>(pages.page_bytes()) / static_cast<double>(kPagePositions) *
         static_cast<double>(loops * model.config().layers);
}

// Generates from the same prompt again and again. Only the first time reads all of it.
class DecodeBench {
 public:
  DecodeBench(Model& model, const ModelBenchOptions& o)
      : o_(o), model_(model), engine_(model, own_) {}

  Result<Generation> run() {
    Request request;
    request.prompt = bench_ids(o_.context, model_.config().vocab_size, 1);
    request.options = request_of(o_, o_.tokens + 1);
    return run_request(engine_, std::move(request));
  }

 private:
  const ModelBenchOptions& o_;
  const EngineOptions own_{.prompt_lanes = kPromptChunk, .prefix_bytes = UINT64_MAX};
  Model& model_;
  Engine engine_;
};

Status bench_decode(const ModelBenchOptions& o) {
  LOOPLM_ASSIGN_OR_RETURN(const std::vector<BenchedModel> models, load_benched(o));
  BenchTable table(o.output);
  table.title(bench_title(models.front(), o));
  PeakMeter meter(*models.front().model->parts().device);
  std::vector<std::unique_ptr<DecodeBench>> benches;
  for (const BenchedModel& benched : models) {
    benches.push_back(std::make_unique<DecodeBench>(*benched.model, o));
  }
  std::vector<std::vector<double>> times(models.size()), reads(models.size());
  for (int64_t round = 0; round < o.rounds; ++round) {
    for (size_t i = 0; i < models.size(); ++i) {
      LOOPLM_ASSIGN_OR_RETURN(const Generation g, benches[i]->run());
      times[i].push_back(g.statistics.decode_seconds / static_cast<double>(o.tokens));
      reads[i].push_back(meter.measure_read(0));
    }
  }
  for (size_t i = 0; i < models.size(); ++i) {
    Model& model = *models[i].model;
    const int64_t loops = loops_of(model, o);
    const ModelWeights& weights = model.parts().weights;
    const double bytes =
        static_cast<double>(loops) * static_cast<double>(weights.block_bytes()) +
        static_cast<double>(weights.head_bytes()) +
        kv_bytes_per_position(model, loops) * static_cast<double>(o.context + o.tokens / 2);
    const double seconds = median_of(times[i]);
    table.add({{"format", models[i].format},
               {"context", o.context},
               {"ms/token", seconds * 1e3},
               {"tok/s", 1 / seconds},
               {"GB/token", bytes / 1e9},
               {"GB/s", bytes / seconds / 1e9},
               {"read peak GB/s", median_of(reads[i]) / 1e9},
               {"% of peak", 100 * bytes / seconds / median_of(reads[i])}});
  }
  table.print();
  return {};
}

Status bench_prefill(const ModelBenchOptions& o) {
  LOOPLM_ASSIGN_OR_RETURN(const std::vector<BenchedModel> models, load_benched(o));
  BenchTable table(o.output);
  table.title(bench_title(models.front(), o));
  PeakMeter meter(*models.front().model->parts().device);
  std::vector<std::vector<double>> times(models.size()), dots(models.size());
  for (int64_t round = 0; round < o.rounds; ++round) {
    for (size_t i = 0; i < models.size(); ++i) {
      Model& model = *models[i].model;
      GenerateOptions g = request_of(o, 1);
      g.prompt_chunk = kPromptChunk;
      LOOPLM_ASSIGN_OR_RETURN(
          const Generation result,
          generate(model, bench_ids(o.context, model.config().vocab_size, 1), g));
      times[i].push_back(result.statistics.prompt_seconds);
      dots[i].push_back(meter.measure_dots(arithmetic_of(models[i].format), 0.05));
    }
  }
  for (size_t i = 0; i < models.size(); ++i) {
    const ModelConfig& c = models[i].model->config();
    const auto n = static_cast<double>(o.context);
    // Projections, and scores and outputs of causal attention.
    const double flops = static_cast<double>(loops_of(*models[i].model, o)) *
                         (2 * block_weights(c) * n +
                          4 * n * (n + 1) / 2 * static_cast<double>(c.query_size() * c.layers));
    const double seconds = median_of(times[i]);
    table.add({{"format", models[i].format},
               {"prompt", o.context},
               {"seconds", seconds},
               {"tok/s", n / seconds},
               {"GFLOP/s", flops / seconds / 1e9},
               {"dot peak", median_of(dots[i]) / 1e9},
               {"% of peak", 100 * flops / seconds / median_of(dots[i])}});
  }
  table.print();
  return {};
}

// Times passes with the last lanes of sequences of `context` positions each.
class LaneBench {
 public:
  LaneBench(Model& model, int64_t sequences, int64_t context)
      : runner_(*model.parts().runner),
        context_(context),
        ids_(bench_ids(sequences, model.config().vocab_size, 2)),
        arena_(model.config()) {
    const ModelConfig& c = model.config();
    for (int64_t s = 0; s < sequences; ++s) {
      caches_.push_back(std::make_unique<SequenceCache>(model.parts().pages, c.layers, 1));
      const std::vector<float> kv(static_cast<size_t>(c.kv_size()), 0.5f);
      for (int64_t layer = 0; layer < c.layers; ++layer) {
        for (int64_t i = 0; i < context; ++i) {
          caches_.back()->store(0, layer, i, kv.data(), kv.data());
        }
      }
    }
  }

  double time(int64_t lanes) {
    arena_.resize(lanes);
    runner_.embed({ids_.data(), static_cast<size_t>(lanes)}, arena_.state(0));
    std::vector<Lane> pass;
    for (int64_t i = 0; i < lanes; ++i) {
      pass.push_back({caches_[static_cast<size_t>(i)].get(), context_, 0});
    }
    const Timer timer;
    runner_.run(arena_, pass);
    return timer.seconds();
  }

 private:
  PassRunner& runner_;
  const int64_t context_;
  const std::vector<int32_t> ids_;
  LaneArena arena_;
  std::vector<std::unique_ptr<SequenceCache>> caches_;
};

Status bench_lanes(const ModelBenchOptions& o) {
  LOOPLM_ASSIGN_OR_RETURN(const std::vector<BenchedModel> models, load_benched(o));
  BenchTable table(o.output);
  table.title(bench_title(models.front(), o));
  PeakMeter meter(*models.front().model->parts().device);
  const std::vector<int64_t> counts = {1, 2, 4, 8, 16, 32};
  for (const BenchedModel& benched : models) {
    Model& model = *benched.model;
    LaneBench bench(model, counts.back(), o.context);
    // Each count stands between two passes of one lane and a reading of the peaks: a shared
    // machine's bandwidth wanders more in a second than the counts differ.
    std::vector<std::vector<double>> times(counts.size()), ratios(counts.size()),
        bounds(counts.size()), shares(counts.size());
    const auto bytes = static_cast<double>(model.parts().weights.block_bytes());
    const double operations = 2 * block_weights(model.config());
    bench.time(counts.back());
    for (int64_t round = 0; round < o.rounds; ++round) {
      double before = bench.time(1);
      for (size_t i = 0; i < counts.size(); ++i) {
        const double seconds = bench.time(counts[i]);
        const double read = bytes / meter.measure_read(0);
        const double dot = operations * static_cast<double>(counts[i]) /
                           meter.measure_dots(arithmetic_of(benched.format), 0);
        const double after = bench.time(1);
        const double one = (before + after) / 2;
        before = after;
        times[i].push_back(seconds);
        ratios[i].push_back(seconds / one);
        bounds[i].push_back(std::max(1.0, dot / one));
        shares[i].push_back(std::max(read, dot) / seconds);
      }
    }
    for (size_t i = 0; i < counts.size(); ++i) {
      const double seconds = median_of(times[i]);
      table.add({{"format", benched.format},
                 {"lanes", counts[i]},
                 {"ms/pass", seconds * 1e3},
                 {"over one", median_of(ratios[i])},
                 {"arithmetic bound", median_of(bounds[i])},
                 {"GB/s", bytes / seconds / 1e9},
                 {"% of roofline", 100 * median_of(shares[i])}});
    }
  }
  table.print();
  return {};
}

// Tokens per second of `sequences` requests at once, after their first tokens.
Result<double> time_batch(Model& model, int64_t sequences, const ModelBenchOptions& o) {
  EngineOptions options;
  options.share_prefixes = false;
  Engine engine(model, options);
  double started = -1, ended = 0;
  int64_t first_tokens = 0, late_tokens = 0;
  const Timer timer;
  for (int64_t s = 0; s < sequences; ++s) {
    Request r;
    r.prompt = bench_ids(o.context, model.config().vocab_size, static_cast<uint64_t>(s));
    r.options = request_of(o, o.tokens + 1);
    bool first = true;
    r.callbacks.token = [&, first](const GeneratedToken&) mutable {
      if (first && ++first_tokens == sequences) started = timer.seconds();
      if (!first && started >= 0) ++late_tokens;
      first = false;
      ended = timer.seconds();
      return true;
    };
    LOOPLM_RETURN_IF_ERROR(engine.submit(std::move(r)).status());
  }
  engine.run();
  return static_cast<double>(late_tokens) / (ended - started);
}

Status bench_batch(const ModelBenchOptions& o) {
  LOOPLM_ASSIGN_OR_RETURN(const std::vector<BenchedModel> models, load_benched(o));
  BenchTable table(o.output);
  table.title(bench_title(models.front(), o));
  const std::vector<int64_t> counts = {1, 4, 16, 32};
  for (const BenchedModel& benched : models) {
    Model& model = *benched.model;
    const ModelWeights& weights = model.parts().weights;
    LaneBench lanes(model, counts.back(), o.context);
    std::vector<std::vector<double>> rates(counts.size()), passes(counts.size());
    for (int64_t round = 0; round < o.rounds; ++round) {
      for (size_t i = 0; i < counts.size(); ++i) {
        LOOPLM_ASSIGN_OR_RETURN(const double rate, time_batch(model, counts[i], o));
        rates[i].push_back(rate);
        passes[i].push_back(lanes.time(counts[i]));
      }
    }
    const double one = median_of(rates[0]);
    for (size_t i = 0; i < counts.size(); ++i) {
      // The head takes as long as its share of the weights.
      const double head =
          static_cast<double>(weights.head_bytes()) / static_cast<double>(weights.block_bytes());
      const double seconds =
          median_of(passes[i]) * (static_cast<double>(loops_of(model, o)) + head);
      const double predicted = static_cast<double>(counts[i]) / seconds;
      table.add({{"format", benched.format},
                 {"sequences", counts[i]},
                 {"tok/s", median_of(rates[i])},
                 {"over one", median_of(rates[i]) / one},
                 {"lane roofline tok/s", predicted},
                 {"% of it", 100 * median_of(rates[i]) / predicted}});
    }
  }
  table.print();
  return {};
}

}  // namespace

void add_bench_decode(Program& program, Command& bench) {
  const auto add = [&](const char* name, const char* help, int64_t context, auto run) {
    auto own = std::make_shared<ModelBenchOptions>();
    own->context = context;
    Command* command = bench.add_subcommand(name, help);
    add_model_bench_options(*command, *own);
    command->add_option("--context", own->context, "Prompt tokens of each sequence")
        ->check(range(int64_t{1}, int64_t{1} << 20))
        ->capture_default_str();
    if (run == bench_decode || run == bench_batch) {
      command->add_option("--tokens", own->tokens, "Tokens timed per sequence")
          ->check(range(int64_t{1}, int64_t{1} << 20))
          ->capture_default_str();
    }
    program.on(command, [own, run] { return run(*own); });
  };
  add("decode", "Tokens per second of one sequence, all loops", 16, bench_decode);
  add("prefill", "Speed of reading a prompt", 512, bench_prefill);
  add("lanes", "Time of a pass of several lanes, relative to one lane", 16, bench_lanes);
  add("batch", "Speed of several sequences at once, relative to one", 16, bench_batch);
}

}  // namespace looplm::cli
