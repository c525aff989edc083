// looplm bench speculate: passes and tokens per second of exact exits and of speculation.
#include <fstream>
#include <memory>

#include <fmt/format.h>

#include "base/check.h"
#include "cli/bench.h"
#include "cli/bench_model.h"
#include "cli/model_choice.h"
#include "cli/token_text.h"
#include "experiments/arithmetic.h"

namespace looplm::cli {
namespace {

struct SpeculateBenchOptions : ModelBenchOptions {
  std::string prompts;
  int64_t prompt_count = 32;
  std::string replay_on;
  bool ignore_eos = false;
};

// A way of decoding: an exit rule, a speculation over it, or neither.
struct Mode {
  std::string name;
  ExitOptions exit;
  SpeculateOptions speculate;
};

std::vector<Mode> modes(const ModelConfig& config) {
  std::vector<Mode> all = {{"plain", {}, {}}};
  for (double loop = 1; loop < static_cast<double>(config.loops); ++loop) {
    all.push_back({fmt::format("speculate loop:{:.0f}", loop), {}, {CommitKind::kLoop, loop}});
  }
  for (double q : {0.2, 0.4}) {
    if (config.exit_gate) {
      all.push_back({fmt::format("speculate q:{}", q), {}, {CommitKind::kGate, q}});
    }
  }
  for (double margin : {0.3, 0.6}) {
    all.push_back({fmt::format("speculate margin:{}", margin), {}, {CommitKind::kMargin, margin}});
  }
  for (double q : {0.3, 0.5, 0.7}) {
    if (config.exit_gate) {
      all.push_back({fmt::format("exit q:{}", q), {ExitKind::kGate, q, 1, 0}, {}});
    }
  }
  return all;
}

Result<std::vector<std::vector<int32_t>>> read_prompts(const SpeculateBenchOptions& o,
                                                       Model& model) {
  std::vector<std::vector<int32_t>> prompts;
  const auto full = [&] { return static_cast<int64_t>(prompts.size()) == o.prompt_count; };
  if (o.prompts.empty()) {
    ArithmeticOptions sums;
    sums.split = ArithmeticSplit::kHeldOut;
    for (uint64_t i = 0; !full(); ++i) {
      LOOPLM_ASSIGN_OR_RETURN(auto ids, encode_prompt(model, arithmetic_example(sums, i).prompt));
      prompts.push_back(std::move(ids));
    }
    return prompts;
  }
  std::ifstream file(o.prompts);
  if (!file) return io_error(fmt::format("cannot read '{}'", o.prompts));
  std::string line;
  while (!full() && std::getline(file, line)) {
    if (line.empty()) continue;
    LOOPLM_ASSIGN_OR_RETURN(auto ids, encode_prompt(model, line));
    prompts.push_back(std::move(ids));
  }
  if (prompts.empty()) return invalid_argument(fmt::format("'{}' has no prompts", o.prompts));
  return prompts;
}

// Which loops chose the final token, per prompt and token.
using Agreement = std::vector<std::vector<std::vector<bool>>>;

struct ModeResult {
  std::vector<double> rates;
  double passes = 0;
  double tokens = 0;
  double loops = 0;
  int64_t revised = 0;
  std::vector<int64_t> reads, agreements;
  std::vector<std::vector<int32_t>> ids;
  Agreement agreement;
};

// One round of all prompts, one by one.
Status run_mode(Model& model, const std::vector<std::vector<int32_t>>& prompts, const Mode& mode,
                const SpeculateBenchOptions& o, ModeResult& result) {
  const bool first = result.rates.empty();
  double seconds = 0, tokens = 0;
  for (const std::vector<int32_t>& prompt : prompts) {
    GenerateOptions g;
    g.max_tokens = o.tokens;
    g.ignore_eos = o.ignore_eos;
    g.prompt_chunk = 4096;
    g.exit = mode.exit;
    if (g.exit.kind == ExitKind::kFixed) g.exit.max_loops = o.loops;
    g.speculate = mode.speculate;
    LOOPLM_ASSIGN_OR_RETURN(const Generation got, generate(model, prompt, g));
    seconds += got.statistics.prompt_seconds + got.statistics.decode_seconds;
    tokens += static_cast<double>(got.tokens.size());
    if (!first) continue;
    result.passes += static_cast<double>(got.statistics.passes);
    result.revised += got.statistics.revised_tokens;
    result.reads.resize(got.statistics.loop_reads.size());
    result.agreements.resize(result.reads.size());
    for (size_t t = 0; t < result.reads.size(); ++t) {
      result.reads[t] += got.statistics.loop_reads[t];
      result.agreements[t] += got.statistics.loop_agreements[t];
    }
    result.ids.emplace_back();
    result.agreement.emplace_back();
    for (const GeneratedToken& token : got.tokens) {
      result.ids.back().push_back(token.id);
      result.loops += static_cast<double>(token.loops);
      std::vector<bool> agrees;
      for (int32_t proposal : token.proposals) agrees.push_back(proposal == token.id);
      result.agreement.back().push_back(std::move(agrees));
    }
  }
  if (first) result.tokens = tokens;
  result.rates.push_back(tokens / seconds);
  return {};
}

// Another model whose loops agree as recorded: its weights set the time, the record the tokens.
Status replay(const SpeculateBenchOptions& o, const Agreement& agreement, int64_t loops,
              BenchTable& table) {
  ModelBenchOptions other = o;
  other.directory = o.replay_on;
  LOOPLM_ASSIGN_OR_RETURN(const std::vector<BenchedModel> models, load_benched(other));
  for (const BenchedModel& benched : models) {
    Model& model = *benched.model;
    const auto vocabulary = static_cast<int32_t>(model.config().vocab_size);
    std::vector<double> plain, fast;
    double passes = 0, tokens = 0;
    for (size_t p = 0; p < static_cast<size_t>(o.rounds); ++p) {
      // Several requests' tokens in a row, as one request.
      std::vector<std::vector<bool>> record;
      for (size_t i = p; i < agreement.size() && record.size() < static_cast<size_t>(o.tokens);
           i += static_cast<size_t>(o.rounds)) {
        record.insert(record.end(), agreement[i].begin(), agreement[i].end());
      }
      if (record.empty()) break;
      for (bool speculate : {false, true}) {
        EngineOptions alone;
        alone.share_prefixes = false;
        alone.lane_budget = kMaxLoops;
        Engine engine(model, alone);
        Generation got;
        Request r;
        r.prompt = bench_ids(1, vocabulary, p);
        r.options.max_tokens = static_cast<int64_t>(record.size());
        r.options.ignore_eos = true;
        r.options.exit.max_loops = loops;
        if (speculate) r.options.speculate = {CommitKind::kLoop, 1};
        r.replay = [&](int64_t index, int64_t loop, int32_t) {
          const auto base = static_cast<int32_t>(index * 7 % (vocabulary - kMaxLoops));
          const std::vector<bool>& agrees = record[static_cast<size_t>(index)];
          return agrees[static_cast<size_t>(loop - 1)] ? base : base + static_cast<int32_t>(loop);
        };
        r.done = [&](Generation g) { got = std::move(g); };
        LOOPLM_RETURN_IF_ERROR(engine.submit(std::move(r)).status());
        engine.run();
        (speculate ? fast : plain)
            .push_back(static_cast<double>(record.size()) /
                       (got.statistics.prompt_seconds + got.statistics.decode_seconds));
        if (speculate) {
          passes += static_cast<double>(got.statistics.passes);
          tokens += static_cast<double>(record.size());
        }
      }
    }
    table.add({{"mode", fmt::format("replayed on {} parameters, {}",
                                    model.config().parameter_count(), benched.format)},
               {"tok/s", median_of(fast)},
               {"over plain", median_of(fast) / median_of(plain)},
               {"passes/token", passes / tokens}});
  }
  return {};
}

Status bench_speculate(const SpeculateBenchOptions& o) {
  LOOPLM_ASSIGN_OR_RETURN(const std::string directory, locate_model(o.directory));
  ModelBenchOptions here = o;
  if (!o.replay_on.empty()) here.formats = {"bf16"};
  LOOPLM_ASSIGN_OR_RETURN(const std::vector<BenchedModel> models, load_benched(here));
  Model& model = *models.front().model;
  LOOPLM_ASSIGN_OR_RETURN(const auto prompts, read_prompts(o, model));
  BenchTable table(o.output);
  table.title(bench_title(models.front(), here));
  const std::vector<Mode> all = modes(model.config());
  std::vector<ModeResult> results(all.size());
  for (int64_t round = 0; round < o.rounds; ++round) {
    for (size_t i = 0; i < all.size(); ++i) {
      LOOPLM_RETURN_IF_ERROR(run_mode(model, prompts, all[i], o, results[i]));
    }
  }
  const double plain = median_of(results[0].rates);
  const Agreement* recorded = nullptr;
  for (size_t i = 0; i < all.size(); ++i) {
    const ModeResult& r = results[i];
    const bool speculates = all[i].speculate.kind != CommitKind::kNever;
    if (recorded == nullptr && speculates) recorded = &r.agreement;
    std::string agreement;
    for (size_t t = 0; t < r.reads.size() && speculates; ++t) {
      agreement += r.reads[t] == 0
                       ? "- "
                       : fmt::format("{:.0f}% ", 100.0 * static_cast<double>(r.agreements[t]) /
                                                     static_cast<double>(r.reads[t]));
    }
    if (!agreement.empty()) agreement.pop_back();
    table.add({{"mode", all[i].name},
               {"tok/s", median_of(r.rates)},
               {"over plain", median_of(r.rates) / plain},
               {"passes/token", r.passes / r.tokens},
               {"mean loops", r.loops / r.tokens},
               {"tokens taken back", r.revised},
               {"tokens as plain", r.ids == results[0].ids ? "all"
                                   : speculates            ? "NO"
                                                           : "no"},
               {"agreement by loop", agreement}});
  }
  if (!o.replay_on.empty()) {
    const int64_t loops = o.loops == 0 ? model.config().loops : o.loops;
    LOOPLM_CHECK(recorded != nullptr);
    LOOPLM_RETURN_IF_ERROR(replay(o, *recorded, loops, table));
  }
  table.print();
  return {};
}

}  // namespace

void add_bench_speculate(Program& program, CLI::App& bench) {
  auto options = std::make_shared<SpeculateBenchOptions>();
  options->tokens = 32;
  CLI::App* command = bench.add_subcommand(
      "speculate", "Exact exits and lossless speculation: passes, agreement, tokens per second");
  add_model_bench_options(*command, *options);
  command->add_option("--prompts", options->prompts,
                      "A prompt per line (default: sums that no training has seen)");
  command->add_option("--prompt-count", options->prompt_count, "Prompts to run")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
      ->capture_default_str();
  command->add_option("--tokens", options->tokens, "Tokens per prompt at most")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
      ->capture_default_str();
  command->add_flag("--ignore-eos", options->ignore_eos, "Go on past the model's end of text");
  command->add_option("--replay-on", options->replay_on,
                      "Also time this model with the agreement of DIR's loops in place of its own");
  program.on(command, [options] { return bench_speculate(*options); });
}

}  // namespace looplm::cli
