// looplm bench speculate: passes and tokens per second of exact exits and of speculation.
#include <memory>

#include <fmt/format.h>

#include "cli/bench.h"
#include "cli/bench_model.h"
#include "cli/model_choice.h"
#include "cli/token_text.h"
#include "eval/arithmetic.h"
#include "eval/decoding.h"
#include "text/lines.h"

namespace looplm::cli {
namespace {

struct SpeculateBenchOptions : ModelBenchOptions {
  std::string prompts;
  int64_t prompt_count = 32;
  std::string replay_on;
  bool ignore_eos = false;
};

// All loops but the last.
std::vector<double> early_loops(int64_t loops) {
  std::vector<double> early;
  for (int64_t loop = 1; loop < loops; ++loop) early.push_back(static_cast<double>(loop));
  return early;
}

std::vector<DecodeMode> benched_modes(const ModelConfig& config) {
  DecodeModeLists lists;
  lists.commit_loops = early_loops(config.loops);
  lists.commit_gates = {0.2, 0.4};
  lists.commit_margins = {0.3, 0.6};
  lists.exit_gates = {0.3, 0.5, 0.7};
  std::vector<DecodeMode> all = decode_modes(config, lists);
  all.push_back({"speculate auto", {}, {CommitKind::kAuto}});
  all.push_back({"auto, lanes free", {}, {CommitKind::kAuto}, true});
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
  LOOPLM_ASSIGN_OR_RETURN(const std::vector<std::string> lines, read_lines(o.prompts));
  for (const std::string& line : lines) {
    if (full()) break;
    LOOPLM_ASSIGN_OR_RETURN(auto ids, encode_prompt(model, line));
    prompts.push_back(std::move(ids));
  }
  if (prompts.empty()) return invalid_argument(fmt::format("'{}' has no prompts", o.prompts));
  return prompts;
}

// Another model whose loops rank as recorded.
Status replay(const SpeculateBenchOptions& o, const LoopRanking& ranking, int64_t loops,
              BenchTable& table) {
  ModelBenchOptions other = o;
  other.directory = o.replay_on;
  LOOPLM_ASSIGN_OR_RETURN(const std::vector<BenchedModel> models, load_benched(other));
  std::vector<std::string> names = {"plain"};
  std::vector<SpeculateOptions> modes = {{}};
  for (const double loop : early_loops(loops)) {
    names.push_back(fmt::format("loop:{}", loop));
    modes.push_back({CommitKind::kLoop, loop});
  }
  names.emplace_back("auto");
  modes.push_back({CommitKind::kAuto});
  for (const BenchedModel& benched : models) {
    Model& model = *benched.model;
    LOOPLM_ASSIGN_OR_RETURN(const std::vector<ReplayMeasure> measures,
                            replay_ranking(model, ranking, {o.tokens, loops, o.rounds}, modes));
    for (size_t i = 0; i < modes.size(); ++i) {
      table.add({{"mode", fmt::format("{} replayed on {} parameters, {}", names[i],
                                      model.config().parameter_count(), benched.format)},
                 {"tok/s", median_of(measures[i].rates)},
                 {"over plain", median_ratio(measures[i].rates, measures[0].rates)},
                 {"passes/token", measures[i].passes_per_token}});
    }
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
  const std::vector<DecodeMode> all = benched_modes(model.config());
  const DecodeOptions decoding = {o.tokens, o.loops, o.ignore_eos};
  std::vector<DecodeMeasure> results(all.size());
  for (int64_t round = 0; round < o.rounds; ++round) {
    LOOPLM_RETURN_IF_ERROR(measure_decoding(model, prompts, all, decoding, results));
  }
  for (size_t i = 0; i < all.size(); ++i) {
    const DecodeMeasure& r = results[i];
    const bool speculates = all[i].speculates();
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
               {"over plain", median_ratio(r.rates, results[0].rates)},
               {"passes/token", r.per_token(r.passes)},
               {"mean loops", r.per_token(r.loops)},
               {"lanes/token", r.per_token(r.decode_lanes)},
               {"tokens taken back", r.revised},
               {"others tried", r.alternatives},
               {"chosen", r.promoted},
               {"tokens as plain", r.ids == results[0].ids ? "all"
                                   : speculates            ? "NO"
                                                           : "no"},
               {"agreement by loop", agreement}});
  }
  if (!o.replay_on.empty()) {
    const int64_t loops = o.loops == 0 ? model.config().loops : o.loops;
    LOOPLM_ASSIGN_OR_RETURN(const LoopRanking ranking, record_ranking(model, prompts, decoding));
    LOOPLM_RETURN_IF_ERROR(replay(o, ranking, loops, table));
  }
  table.print();
  return {};
}

}  // namespace

void add_bench_speculate(Program& program, Command& bench) {
  auto options = std::make_shared<SpeculateBenchOptions>();
  options->tokens = 32;
  Command* command = bench.add_subcommand(
      "speculate", "Exact exits and lossless speculation: passes, agreement, tokens per second");
  add_model_bench_options(*command, *options);
  command->add_option("--prompts", options->prompts,
                      "A prompt per line (default: sums that no training has seen)");
  command->add_option("--prompt-count", options->prompt_count, "Prompts to run")
      ->check(range(int64_t{1}, int64_t{1} << 20))
      ->capture_default_str();
  command->add_option("--tokens", options->tokens, "Maximum number of tokens per prompt")
      ->check(range(int64_t{1}, int64_t{1} << 20))
      ->capture_default_str();
  command->add_flag("--ignore-eos", options->ignore_eos, "Continue past the model's end of text");
  command->add_option(
      "--replay-on", options->replay_on,
      "Also time this model, with the guesses of DIR: its loops agree where DIR's agree");
  program.on(command, [options] { return bench_speculate(*options); });
}

}  // namespace looplm::cli
