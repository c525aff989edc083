#include "experiments/capo/capo_study.h"

#include <memory>

#include "looplm/model.h"

#include "experiments/capo/biography.h"
#include "experiments/capo/knowledge.h"
#include "experiments/core/study_model.h"
#include "experiments/core/training.h"

namespace looplm {
namespace {

// Share of a cell's time that is training; the rest is measuring.
constexpr double kTrainingShare = 0.97;

Result<OrderedJson> train_capo(const CapoSettings& settings, const CapoRun& run,
                               const CellContext& context) {
  const auto people = static_cast<uint64_t>(run.people);
  const int64_t steps = capo_steps(settings, run.people);
  KnowledgeMeasurement measurement;
  measurement.world = settings.world;
  measurement.people = run.people;
  // Training goes little past `exposures`; twice as many is a rendering that it has not shown.
  measurement.exposure = 2 * static_cast<uint64_t>(settings.exposures) + 1;
  measurement.loops = run.loops;
  const std::string validation = context.directory + "/knowledge.tokens";
  LOOPLM_RETURN_IF_ERROR(write_knowledge_shard(measurement, validation));

  CellTraining training;
  training.run = capo_run_config(settings, run, steps, validation);
  training.streams = {std::make_shared<BiographyStream>(settings.world, people)};
  training.progress_to = kTrainingShare;
  LOOPLM_ASSIGN_OR_RETURN(const TrainedModel trained, train_in_cell(context, training));

  LOOPLM_ASSIGN_OR_RETURN(const std::unique_ptr<Model> model,
                          Model::load(trained.directory, study_model_options(context.threads)));
  measurement.progress = context.reporter("measuring", kTrainingShare, 1);
  LOOPLM_ASSIGN_OR_RETURN(const KnowledgeLoss loss, measure_knowledge(*model, measurement));

  OrderedJson json;
  json["people"] = run.people;
  json["hidden"] = run.size.hidden;
  json["layers"] = run.size.layers;
  json["loops"] = run.loops;
  json["seed"] = run.seed;
  json["parameters"] = trained.parameters;
  json["steps"] = steps;
  json["name_nats"] = loss.name_nats;
  json["attribute_nats"] = loss.attribute_nats;
  json["known_bits"] = known_bits(loss);
  json["knowable_bits"] = knowable_bits(run.people);
  json["bits_per_parameter"] = known_bits(loss) / static_cast<double>(trained.parameters);
  // Only the sum of names and attributes is seen along the run.
  OrderedJson curve = OrderedJson::array();
  for (const ValidationReport& v : trained.validations) {
    OrderedJson point;
    point["exposures"] = static_cast<double>(v.step) / static_cast<double>(steps) *
                         static_cast<double>(settings.exposures);
    point["known_bits"] = known_bits({run.people, v.nll.back() * kKnowledgeTokens, 0});
    curve.push_back(std::move(point));
  }
  json["curve"] = std::move(curve);
  return json;
}

std::vector<Cell> capo_cells(const CapoSettings& s) {
  std::vector<Cell> cells;
  for (const CapoRun& run : capo_runs(s)) {
    cells.push_back(make_cell(run.id(), run.cost(s), {}, train_capo, s, run));
  }
  return cells;
}

}  // namespace

std::unique_ptr<Study> make_capo_study() {
  return std::make_unique<StudyOf<CapoSettings>>(
      "capo", "Do loops add room for knowledge, or is it the parameters that hold it?",
      read_capo_settings, capo_cells, capo_report);
}

}  // namespace looplm
