#include "experiments/core/training.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include <fmt/format.h>

#include "base/file.h"
#include "base/json.h"
#include "experiments/core/estimates.h"
#include "text/lines.h"

namespace looplm {
namespace {

// Passes the run's progress on to the cell's.
class Reporter : public TrainObserver {
 public:
  Reporter(const CellContext& context, const CellTraining& training)
      : context_(context), training_(training) {}

  void on_start(const TrainStart& start) override { parameters = start.parameters; }
  void on_step(const StepReport& r) override {
    if (!context_.progress) return;
    const double done = static_cast<double>(r.step) / static_cast<double>(r.steps);
    context_.progress(
        training_.progress_from + done * (training_.progress_to - training_.progress_from),
        fmt::format("{}: step {}/{}, loss {:.3f}, nll {:.3f}, {:.0f} tok/s", training_.note, r.step,
                    r.steps, r.loss, r.nll.back(), r.tokens_per_second));
  }

  int64_t parameters = 0;

 private:
  const CellContext& context_;
  const CellTraining& training_;
};

// The validations of a run's log.
Result<std::vector<ValidationReport>> read_validations(const std::string& path) {
  LOOPLM_ASSIGN_OR_RETURN(const std::string text, read_text_file(path));
  std::vector<ValidationReport> reports;
  for (std::string_view rest = text; !rest.empty();) {
    LOOPLM_ASSIGN_OR_RETURN(const Json line, parse_json(take_line(rest), path));
    if (line.contains("validation")) reports.push_back(nulls_as_nan(line));
  }
  return reports;
}

}  // namespace

RunConfig study_run(ObjectiveKind kind) {
  RunConfig c;
  c.model.config.exit_gate = kind != ObjectiveKind::kLastLoop;
  c.data.split_documents = false;
  c.objective.kind = kind;
  c.schedule.kind = Schedule::Kind::kCosine;
  c.run.keep = 1;
  c.compute.memory = MemoryPolicy::kKeepAll;
  c.compute.attention = AttentionProducts::kF32;  // as the results in docs/results were made
  return c;
}

void set_steps(RunConfig& c, int64_t steps, int64_t measurements) {
  c.run.steps = steps;
  c.run.log_every = std::max<int64_t>(1, steps / 20);
  c.run.validate_every = std::max<int64_t>(1, steps / measurements);
  c.schedule.warmup_steps = std::min(c.schedule.warmup_steps, steps / 2);
}

Result<TrainedModel> train_in_cell(const CellContext& context, const CellTraining& training) {
  const std::string out = context.directory + "/" + training.name;
  LOOPLM_RETURN_IF_ERROR(make_directories(out));
  const std::string finished = out + "/finished.json";
  TrainedModel model;
  model.directory = out + "/model";
  if (!file_exists(finished)) {
    TrainOptions options;
    options.run_file = out + "/run.toml";
    options.resume = true;
    options.threads = context.threads;
    options.streams = training.streams;
    options.stop = context.stop;
    RunConfig run = training.run;
    run.run.out = out;
    run.compute.save_dtype = DType::kF32;
    LOOPLM_RETURN_IF_ERROR(write_text_file(options.run_file, write_run_config(run)));
    Reporter reporter(context, training);
    LOOPLM_RETURN_IF_ERROR(train(options, reporter).with_context(options.run_file));
    OrderedJson json;
    json["parameters"] = reporter.parameters;
    LOOPLM_RETURN_IF_ERROR(write_text_file(finished, dump_json(json)));
  }
  std::error_code ignored;  // checkpoints that cannot be removed do no harm
  std::filesystem::remove_all(out + "/checkpoints", ignored);
  LOOPLM_ASSIGN_OR_RETURN(const Json json, read_json_file(finished));
  LOOPLM_ASSIGN_OR_RETURN(model.parameters, json_int(json, "parameters", 0, 0, int64_t{1} << 50));
  LOOPLM_ASSIGN_OR_RETURN(model.validations, read_validations(out + "/log.jsonl"));
  return model;
}

OrderedJson trained_model_json(const TrainedModel& model, const CellContext& context) {
  OrderedJson json;
  json["parameters"] = model.parameters;
  json["model"] = std::filesystem::relative(model.directory, context.directory).string();
  return json;
}

std::string trained_model_of(const CellContext& context, const std::string& cell) {
  return context.needed_directories.at(cell) + "/" +
         context.needed.at(cell).at("model").get<std::string>();
}

}  // namespace looplm
