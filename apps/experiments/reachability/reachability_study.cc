#include "experiments/reachability/reachability_study.h"

#include <algorithm>

#include <fmt/format.h>

#include "experiments/core/study_model.h"
#include "experiments/core/training.h"
#include "experiments/reachability/path_scores.h"
#include "experiments/reachability/path_task.h"
#include "experiments/reachability/reachability_report.h"
#include "train/token_shard.h"

namespace looplm {
namespace {

constexpr const char* kAblation = "ablation";

struct TrainedSettings {
  PathOptions task;
  std::vector<LoopedShape> shapes;
  std::vector<uint64_t> seeds = {1};
  int64_t steps = 1000;
  double learning_rate = 3e-3;
  LoopedRecipe recipe;
  int validation_examples = 1000;
  int examples = 500;  // per distance
  int loops = 8;       // looped models are run with, up to
};

PathOptions held_out(const TrainedSettings& s, uint64_t seed) {
  PathOptions options = s.task;
  options.split = PathSplit::kHeldOut;
  options.queries = 1;
  options.documents_per_length = 0;
  options.seed = seed;
  return options;
}

Status write_validation(const TrainedSettings& s, const std::string& path) {
  const PathOptions options = held_out(s, 1);
  TokenShardWriter writer(options.vocab_size());
  for (int i = 0; i < s.validation_examples; ++i) {
    const std::vector<int32_t> ids = path_document(options, static_cast<uint64_t>(i)).ids(options);
    writer.add(ids, static_cast<int64_t>(ids.size()) - 1);
  }
  return writer.write(path);
}

Result<OrderedJson> run_training(const TrainedSettings& s, const LoopedShape& shape, uint64_t seed,
                                 const CellContext& context) {
  PathOptions task = s.task;
  task.seed = seed;
  LoopedRun run;
  run.shape = shape;
  run.vocab_size = task.vocab_size();
  run.learning_rate = s.learning_rate;
  run.steps = s.steps;
  run.seed = seed;
  run.validations = {context.directory + "/held-out.tokens"};
  LOOPLM_RETURN_IF_ERROR(write_validation(s, run.validations.front()));
  CellTraining training;
  training.streams = {std::make_shared<PathStream>(task)};
  training.run_toml = looped_run_toml(s.recipe, run);
  training.progress_to = 0.95;
  training.note = shape.name();
  LOOPLM_ASSIGN_OR_RETURN(const TrainedModel trained, train_in_cell(context, training));

  TrainedPathsRun result;
  result.shape = shape;
  result.seed = seed;
  result.parameters = trained.parameters;
  for (const ValidationReport& v : trained.validations) {
    result.curve_steps.push_back(static_cast<double>(v.step));
    result.curve.push_back(v.accuracy.back());
  }
  const ModelOptions options = study_model_options(context.threads);
  LOOPLM_ASSIGN_OR_RETURN(const auto model, Model::load(trained.directory, options));
  const int loops = shape.loops > 1 ? std::max(shape.loops, s.loops) : 1;
  LOOPLM_ASSIGN_OR_RETURN(result.accuracy,
                          score_distances(*model, held_out(s, 2), s.examples, loops));
  return trained_paths_json(result);
}

OrderedJson ablation_json(const std::vector<AblationRow>& rows) {
  OrderedJson list = OrderedJson::array();
  for (const AblationRow& row : rows) {
    OrderedJson json;
    json["what"] = row.what;
    json["graphs"] = row.graphs;
    json["right"] = row.right;
    json["pairs_right"] = row.pairs_right;
    list.push_back(std::move(json));
  }
  return list;
}

class ReachabilityStudy : public Study {
 public:
  std::string name() const override { return "reachability"; }
  std::string question() const override {
    return "Can a looped transformer decide reachability in a graph in log2 of its diameter loops?";
  }
  Status configure(TomlReader& settings) override;
  std::vector<Cell> cells() const override;
  Result<StudyReport> report(const CellResults& results) const override;

 private:
  std::vector<Cell> theorem_cells() const;
  std::vector<Cell> training_cells() const;
  std::string training_text() const;

  TheoremSettings theorem_;
  TrainedSettings trained_;
};

Status ReachabilityStudy::configure(TomlReader& settings) {
  constexpr int kMost = 1000000;
  TheoremSettings& t = theorem_;
  TomlReader theorem = settings.child("theorem");
  theorem.read("nodes", t.nodes, 2, 4096);
  theorem.read("graphs", t.graphs, 1, kMost);
  theorem.read("all_diameters_up_to", t.all_diameters_up_to, 1, 4096);
  theorem.read("random_graphs", t.random_graphs, 0, kMost);
  theorem.read("degree", t.degree, 0, 100);
  theorem.read("hidden_shares", t.hidden_shares, 0, 1);
  theorem.read("beta", t.beta, 1e-6, 1e6);
  theorem.read("ablation_nodes", t.ablation_nodes, 2, 4096);
  theorem.read("ablation_graphs", t.ablation_graphs, 1, kMost);
  theorem.finish();

  TrainedSettings& s = trained_;
  TomlReader task = settings.child("task");
  task.read("paths", s.task.paths, 2, 1000);
  task.read("length", s.task.length, 1, 1000);
  task.read("queries", s.task.queries, 1, 1000);
  task.read("trained_distance", s.task.farthest, 0, 1000);
  task.read("documents_per_length", s.task.documents_per_length, 0, int64_t{1} << 40);
  task.finish();
  const bool trains = settings.has("model");
  TomlReader model = settings.child("model");
  if (trains) read_looped_shapes(model, s.shapes);
  TomlReader training = settings.child("training");
  training.read("steps", s.steps, 1, int64_t{1} << 40);
  training.read("learning_rate", s.learning_rate, 1e-9, 10);
  training.read("seeds", s.seeds);
  read_looped_recipe(model, training, s.recipe);
  model.finish();
  training.finish();
  TomlReader evaluation = settings.child("evaluation");
  evaluation.read("validation_examples", s.validation_examples, 1, kMost);
  evaluation.read("examples", s.examples, 1, kMost);
  evaluation.read("loops", s.loops, 1, 256);
  evaluation.finish();

  if (t.graphs.size() != t.nodes.size()) {
    return invalid_argument(
        fmt::format("theorem.graphs has {} numbers, theorem.nodes {}; expected one for each",
                    t.graphs.size(), t.nodes.size()));
  }
  LOOPLM_RETURN_IF_ERROR(check_different(t.nodes, "theorem.nodes"));
  LOOPLM_RETURN_IF_ERROR(check_different(t.hidden_shares, "theorem.hidden_shares"));
  LOOPLM_RETURN_IF_ERROR(check_different(s.seeds, "training.seeds"));
  LOOPLM_RETURN_IF_ERROR(check(s.task));
  const size_t longest = s.task.longest_document();
  if (longest > static_cast<size_t>(s.recipe.sequence_length)) {
    return invalid_argument(fmt::format("training.sequence_length is {}; a document takes {}",
                                        s.recipe.sequence_length, longest));
  }
  return {};
}

std::vector<Cell> ReachabilityStudy::theorem_cells() const {
  std::vector<Cell> cells;
  for (size_t i = 0; i < theorem_.nodes.size(); ++i) {
    const int nodes = theorem_.nodes[i], graphs = theorem_.graphs[i];
    Cell cell;
    cell.id = fmt::format("theorem-n{}", nodes);
    // Loops of products of (2n, 2n) and (2n, n), in units of a training step's arithmetic.
    const double each = 1e-10 * 20 * nodes * nodes * nodes;
    const double runs = static_cast<double>(
        graphs * static_cast<int>(theorem_diameters(nodes, theorem_.all_diameters_up_to).size()) +
        theorem_.random_graphs);
    cell.cost = 8 * each * runs * static_cast<double>(theorem_.hidden_shares.size());
    cell.run = [settings = theorem_, nodes,
                graphs](const CellContext& context) -> Result<OrderedJson> {
      const std::vector<TheoremRow> rows =
          measure_theorem(settings, nodes, graphs, [&](double share) {
            if (context.progress) context.progress(share, fmt::format("{} nodes", nodes));
            return !context.stopped();
          });
      if (context.stopped()) return Status(StatusCode::kCancelled, "stopped");
      return theorem_json(rows);
    };
    cells.push_back(std::move(cell));
  }
  Cell ablation;
  ablation.id = kAblation;
  ablation.cost = 1;
  ablation.run = [settings = theorem_](const CellContext&) -> Result<OrderedJson> {
    return ablation_json(measure_ablation(settings));
  };
  cells.push_back(std::move(ablation));
  return cells;
}

std::vector<Cell> ReachabilityStudy::training_cells() const {
  std::vector<Cell> cells;
  for (uint64_t seed : trained_.seeds) {
    for (const LoopedShape& shape : trained_.shapes) {
      Cell cell;
      cell.id = fmt::format("paths-{}-s{}", shape.name(), seed);
      // Seconds, at a hundred GFLOP/s.
      const double tokens = static_cast<double>(trained_.steps) * trained_.recipe.sequences *
                            trained_.recipe.sequence_length;
      const double width = trained_.recipe.hidden_size;
      cell.cost = 6e-11 * tokens * (shape.depth() + 0.5) *
                  (4 * width * width + 3 * width * trained_.recipe.intermediate_size);
      cell.run = [settings = trained_, shape, seed](const CellContext& context) {
        return run_training(settings, shape, seed, context);
      };
      cells.push_back(std::move(cell));
    }
  }
  return cells;
}

std::vector<Cell> ReachabilityStudy::cells() const {
  std::vector<Cell> cells = theorem_cells();
  std::ranges::move(training_cells(), std::back_inserter(cells));
  return cells;
}

std::string ReachabilityStudy::training_text() const {
  const TrainedSettings& s = trained_;
  return fmt::format(
      "The task is far narrower than reachability in any graph: the context graph is {} disjoint "
      "directed paths of {} edges, and a query asks in which of their ends a node's path ends. The "
      "prompt lists the edges, one token each, nodes renamed and edges shuffled in every document; "
      "a query is a node, its answer the only end that can be reached from it, {} queries per "
      "document of which every answer is learnt{}{}. `k x c` is k "
      "layers read c times (width {}, {} heads, feed-forward {}, {} norms, RoPE), trained on {} "
      "steps of {} tokens with the loss after the last loop, {} seed{}. What is scored is held out "
      "by a hash of the graph, one query per document.",
      s.task.paths, s.task.length, s.task.queries,
      s.task.documents_per_length == 0
          ? ""
          : fmt::format(", short paths first (they grow by an edge every {} documents)",
                        s.task.documents_per_length),
      s.task.farthest == 0 || s.task.farthest == s.task.length
          ? ""
          : fmt::format(", up to {} edges from the end", s.task.farthest),
      s.recipe.hidden_size, s.recipe.heads, s.recipe.intermediate_size, s.recipe.norm_placement,
      s.steps, s.recipe.sequences * s.recipe.sequence_length, s.seeds.size(),
      s.seeds.size() == 1 ? "" : "s");
}

Result<StudyReport> ReachabilityStudy::report(const CellResults& results) const {
  ReachabilityResults r;
  r.beta = theorem_.beta;
  r.paths = trained_.task.paths;
  r.trained_distance = trained_.task.farthest;
  r.training = training_text();
  for (int nodes : theorem_.nodes) {
    const auto rows = theorem_from_json(results.at(fmt::format("theorem-n{}", nodes)));
    r.theorem.insert(r.theorem.end(), rows.begin(), rows.end());
  }
  for (const Json& row : results.at(kAblation)) {
    r.ablation.push_back({row.at("what").get<std::string>(),
                          {},
                          row.at("graphs").get<int>(),
                          row.at("right").get<int>(),
                          row.at("pairs_right").get<double>()});
  }
  for (const Cell& cell : training_cells()) {
    r.runs.push_back(trained_paths_from_json(results.at(cell.id)));
  }
  return reachability_report(r);
}

}  // namespace

std::unique_ptr<Study> make_reachability_study() { return std::make_unique<ReachabilityStudy>(); }

}  // namespace looplm
