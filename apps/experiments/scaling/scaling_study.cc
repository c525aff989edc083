#include "experiments/scaling/scaling_study.h"

#include <memory>

#include <fmt/format.h>

#include "looplm/tokenizer.h"
#include "looplm/tokenizer_trainer.h"

#include "base/file.h"
#include "base/thread_pool.h"
#include "experiments/core/training.h"
#include "train/corpus.h"
#include "train/shard_builder.h"

namespace looplm {
namespace {

constexpr const char* kDataCell = "data";

// Learns a vocabulary from the text and writes the shards of training and held-out documents.
Result<OrderedJson> make_data(const ScalingSettings& settings, const CellContext& context) {
  TokenizerTrainerOptions options;
  options.vocab_size = settings.vocab_size;
  LOOPLM_ASSIGN_OR_RETURN(TokenizerTrainer trainer, TokenizerTrainer::create(options));
  int64_t documents = 0;
  for (const std::string& file : settings.text) {
    if (!file_exists(file)) {
      return not_found(fmt::format(
          "text '{}' is missing; models/recipe/glosses makes the one of the laptop scale", file));
    }
    LOOPLM_RETURN_IF_ERROR(
        read_corpus(file, {.split = TextSplit::kLine}, [&](CorpusDocument document, int64_t) {
          for (const CorpusSegment& segment : document) trainer.add(segment.text);
          ++documents;
          return context.stopped()
                     ? Status(StatusCode::kCancelled, "stopped while reading the text")
                     : Status();
        }));
  }
  if (documents == 0) {
    return invalid_argument(fmt::format("no text in '{}'", settings.text.front()));
  }
  LOOPLM_ASSIGN_OR_RETURN(const std::string json, trainer.train());
  LOOPLM_ASSIGN_OR_RETURN(const std::unique_ptr<Tokenizer> tokenizer,
                          Tokenizer::parse(json, "the study's tokenizer"));
  ThreadPool pool(context.threads);
  ShardBuildOptions build;
  build.split = TextSplit::kLine;
  build.end_token = 0;  // the trainer's end of text
  build.hold_out_every = settings.hold_out_every;
  LOOPLM_ASSIGN_OR_RETURN(
      const ShardBuildSummary summary,
      build_shards(settings.text, *tokenizer, build, context.directory + "/train.tokens",
                   context.directory + "/validation.tokens", pool));
  OrderedJson result;
  result["vocab_size"] = settings.vocab_size;
  result["bytes"] = summary.bytes;
  result["train_tokens"] = summary.tokens;
  result["held_out_tokens"] = summary.held_out_tokens;
  return result;
}

Result<OrderedJson> train_one(const ScalingSettings& settings, const ScalingRun& run,
                              const CellContext& context) {
  CellTraining training;
  training.run = scaling_run_config(settings, run, context.needed_directories.at(kDataCell));
  LOOPLM_ASSIGN_OR_RETURN(const TrainedModel trained, train_in_cell(context, training));
  OrderedJson json;
  json["hidden"] = run.size.hidden;
  json["layers"] = run.size.layers * run.layers_times;
  json["loops"] = run.loops;
  json["seed"] = run.seed;
  json["parameters"] = trained.parameters;
  json["tokens_per_step"] = settings.tokens_per_step();
  json["validations"] = Json(trained.validations);
  return json;
}

std::vector<Cell> scaling_cells(const ScalingSettings& s) {
  const std::vector<ScalingRun> runs = scaling_runs(s);
  std::vector<Cell> cells = {make_cell(kDataCell, 1, {}, make_data, s)};
  double costs = 0;
  for (const ScalingRun& run : runs) costs += run.cost(s);
  for (const ScalingRun& run : runs) {
    // The data are as much as a hundredth of the training.
    cells.push_back(make_cell(run.id(), 100 * run.cost(s) / costs, {kDataCell}, train_one, s, run));
  }
  return cells;
}

}  // namespace

std::unique_ptr<Study> make_scaling_study() {
  return std::make_unique<StudyOf<ScalingSettings>>(
      "scaling", "How does the loss fall with parameters, tokens and loops?", read_scaling_settings,
      scaling_cells, scaling_report);
}

}  // namespace looplm
