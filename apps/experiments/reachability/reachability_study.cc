#include "experiments/reachability/reachability_study.h"

#include <algorithm>

#include <fmt/format.h>

#include "eval/depth_scores.h"
#include "experiments/core/looped_recipe.h"
#include "experiments/core/study_model.h"
#include "experiments/core/text_task.h"
#include "experiments/reachability/path_task.h"

namespace looplm {
namespace {

constexpr const char* kAblation = "ablation";

struct ReachabilitySettings {
  TheoremSettings theorem;
  PathOptions task;
  LoopedRecipe recipe;
  int validation_examples = 1000;
  int examples = 500;  // per distance
  int loops = 8;       // looped models are run with, up to

  ReachabilitySettings() { recipe.run.schedule.peak = 3e-3; }
};

PathOptions held_out_paths(const ReachabilitySettings& s, uint64_t seed) {
  PathOptions options = s.task;
  options.split = PathSplit::kHeldOut;
  options.queries = 1;
  options.documents_per_length = 0;
  options.seed = seed;
  return options;
}

Status write_path_validation(const ReachabilitySettings& s, const std::string& path) {
  const PathOptions options = held_out_paths(s, 1);
  return write_answer_shard(path, options.vocab_size(), s.validation_examples, [&](int64_t i) {
    return path_document(options, static_cast<uint64_t>(i)).ids(options);
  });
}

// Share of right answers: row t after t + 1 loops, column d at distance d + 1. Each distance has
// `examples` documents with one query.
Result<std::vector<std::vector<double>>> score_distances(Model& model, PathOptions asked,
                                                         int examples, int loops) {
  const auto length = static_cast<size_t>(asked.length);
  std::vector<std::vector<double>> right(static_cast<size_t>(loops), std::vector<double>(length));
  for (size_t d = 0; d < length; ++d) {
    asked.distance = static_cast<int>(d) + 1;
    std::vector<EvalExample> texts(static_cast<size_t>(examples));
    for (size_t i = 0; i < texts.size(); ++i) {
      // Other graphs for each distance.
      texts[i].ids = path_document(asked, d * texts.size() + i).ids(asked);
      texts[i].scored.assign(texts[i].ids.size(), false);
      texts[i].scored.back() = true;
    }
    LOOPLM_ASSIGN_OR_RETURN(const std::vector<DepthScores> scores,
                            score_depths(model, texts, loops));
    for (const DepthScores& score : scores) {
      for (size_t t = 0; t < right.size(); ++t) right[t][d] += score.right[t];
    }
    for (std::vector<double>& row : right) row[d] /= static_cast<double>(examples);
  }
  return right;
}

Result<OrderedJson> train_paths(const ReachabilitySettings& s, LoopedRun run,
                                const CellContext& context) {
  PathOptions task = s.task;
  task.seed = run.seed;
  run.validations = {context.directory + "/held-out.tokens"};
  LOOPLM_RETURN_IF_ERROR(write_path_validation(s, run.validations.front()));
  LOOPLM_ASSIGN_OR_RETURN(const TrainedModel trained,
                          train_looped(context, s.recipe, run, std::make_shared<PathStream>(task),
                                       run.shape.name(), 0.95));
  TrainedPathsRun result;
  result.shape = run.shape;
  result.seed = run.seed;
  result.parameters = trained.parameters;
  for (const ValidationReport& v : trained.validations) {
    result.curve_steps.push_back(static_cast<double>(v.step));
    result.curve.push_back(v.accuracy.back());
  }
  LOOPLM_ASSIGN_OR_RETURN(const auto model,
                          Model::load(trained.directory, study_model_options(context.threads)));
  const int loops = run.shape.loops > 1 ? std::max(run.shape.loops, s.loops) : 1;
  LOOPLM_ASSIGN_OR_RETURN(result.accuracy,
                          score_distances(*model, held_out_paths(s, 2), s.examples, loops));
  return OrderedJson(Json(result));
}

Status read_reachability_settings(TomlReader& settings, ReachabilitySettings& s) {
  constexpr int kMany = 1000000;
  TheoremSettings& t = s.theorem;
  TomlReader theorem = settings.child("theorem");
  theorem.read("nodes", t.nodes, 2, 4096);
  theorem.read("graphs", t.graphs, 1, kMany);
  theorem.read("all_diameters_up_to", t.all_diameters_up_to, 1, 4096);
  theorem.read("random_graphs", t.random_graphs, 0, kMany);
  theorem.read("degree", t.degree, 0, 100);
  theorem.read("hidden_shares", t.hidden_shares, 0, 1);
  theorem.read("beta", t.beta, 1e-6, 1e6);
  theorem.read("ablation_nodes", t.ablation_nodes, 2, 4096);
  theorem.read("ablation_graphs", t.ablation_graphs, 1, kMany);

  TomlReader task = settings.child("task");
  task.read("paths", s.task.paths, 2, 1000);
  task.read("length", s.task.length, 1, 1000);
  task.read("queries", s.task.queries, 1, 1000);
  task.read("trained_distance", s.task.farthest, 0, 1000);
  task.read("documents_per_length", s.task.documents_per_length, 0, int64_t{1} << 40);
  const bool trains = settings.has("model");
  TomlReader model = settings.child("model");
  TomlReader training = settings.child("training");
  read_run_keys(training, s.recipe.run, {"run.steps", "optimizer.learning_rate"});
  if (trains) read_looped_recipe(model, training, s.recipe);
  TomlReader evaluation = settings.child("evaluation");
  evaluation.read("validation_examples", s.validation_examples, 1, kMany);
  evaluation.read("examples", s.examples, 1, kMany);
  evaluation.read("loops", s.loops, 1, 256);

  if (t.graphs.size() != t.nodes.size()) {
    return invalid_argument(
        fmt::format("theorem.graphs has {} numbers, theorem.nodes {}; expected one for each",
                    t.graphs.size(), t.nodes.size()));
  }
  LOOPLM_RETURN_IF_ERROR(check_different(t.nodes, "theorem.nodes"));
  LOOPLM_RETURN_IF_ERROR(check_different(t.hidden_shares, "theorem.hidden_shares"));
  LOOPLM_RETURN_IF_ERROR(check(s.task));
  return check_recipe(s.recipe, static_cast<int64_t>(s.task.longest_document()), "a document");
}

std::vector<Cell> theorem_cells(const TheoremSettings& s) {
  std::vector<Cell> cells;
  for (size_t i = 0; i < s.nodes.size(); ++i) {
    const int nodes = s.nodes[i], graphs = s.graphs[i];
    // Loops of products of (2n, 2n) and (2n, n), in units of a training step's arithmetic.
    const double each = 1e-10 * 20 * nodes * nodes * nodes;
    const double runs = static_cast<double>(
        graphs * static_cast<int>(theorem_diameters(nodes, s.all_diameters_up_to).size()) +
        s.random_graphs);
    cells.push_back({fmt::format("theorem-n{}", nodes),
                     8 * each * runs * static_cast<double>(s.hidden_shares.size()),
                     {},
                     [&s, nodes, graphs](const CellContext& context) -> Result<OrderedJson> {
                       const Json rows = measure_theorem(
                           s, nodes, graphs, context.reporter(fmt::format("{} nodes", nodes)));
                       if (context.stopped()) return stopped_cell();
                       return OrderedJson(rows);
                     }});
  }
  cells.push_back({kAblation, 1, {}, [&s](const CellContext&) -> Result<OrderedJson> {
                     return OrderedJson(Json(measure_ablation(s)));
                   }});
  return cells;
}

std::vector<Cell> path_cells(const ReachabilitySettings& s) {
  std::vector<Cell> cells;
  // Seconds, at a hundred GFLOP/s.
  const ModelConfig& model = s.recipe.run.model.config;
  const auto width = static_cast<double>(model.hidden_size);
  const double layer =
      6e-11 * static_cast<double>(s.recipe.run.run.steps * s.recipe.tokens_per_step()) *
      (4 * width * width + 3 * width * static_cast<double>(model.intermediate_size));
  for (const uint64_t seed : s.recipe.seeds) {
    for (const LoopedShape& shape : s.recipe.shapes) {
      cells.push_back(make_cell(fmt::format("paths-{}-s{}", shape.name(), seed),
                                layer * (shape.depth() + 0.5), {}, train_paths, s,
                                looped_run(s.recipe, shape, seed)));
    }
  }
  return cells;
}

std::vector<Cell> reachability_cells(const ReachabilitySettings& s) {
  std::vector<Cell> cells = theorem_cells(s.theorem);
  std::ranges::move(path_cells(s), std::back_inserter(cells));
  return cells;
}

std::string paths_description(const ReachabilitySettings& s) {
  return fmt::format(
      "The task is far narrower than reachability in any graph: the context graph is {} disjoint "
      "directed paths of {} edges, and a query asks in which of their ends a node's path ends. The "
      "prompt lists the edges, one token each, nodes renamed and edges shuffled in every document; "
      "a query is a node, its answer the only end that can be reached from it, {} queries per "
      "document of which every answer is learnt{}{}. `k x c` is k layers read c times ({}, RoPE), "
      "trained on {} steps of {} tokens with the loss after the last loop, {}. What is scored is "
      "held out by a hash of the graph, one query per document.",
      s.task.paths, s.task.length, s.task.queries,
      s.task.documents_per_length == 0
          ? ""
          : fmt::format(", short paths first (they grow by an edge every {} documents)",
                        s.task.documents_per_length),
      s.task.farthest == 0 || s.task.farthest == s.task.length
          ? ""
          : fmt::format(", up to {} edges from the end", s.task.farthest),
      s.recipe.sizes_text("width"), s.recipe.run.run.steps, s.recipe.tokens_per_step(),
      s.recipe.seeds_text());
}

Result<StudyReport> report_reachability(const ReachabilitySettings& s, const CellResults& results) {
  ReachabilityResults r;
  r.beta = s.theorem.beta;
  r.paths = s.task.paths;
  r.trained_distance = s.task.farthest;
  r.training = paths_description(s);
  for (const int nodes : s.theorem.nodes) {
    const std::vector<TheoremRow> rows = results.at(fmt::format("theorem-n{}", nodes));
    r.theorem.insert(r.theorem.end(), rows.begin(), rows.end());
  }
  r.ablation = results.at(kAblation);
  for (const Cell& cell : path_cells(s)) r.runs.push_back(results.at(cell.id));
  return reachability_report(r);
}

}  // namespace

std::unique_ptr<Study> make_reachability_study() {
  return std::make_unique<StudyOf<ReachabilitySettings>>(
      "reachability",
      "Can a looped transformer decide reachability in a graph in log2 of its diameter loops?",
      read_reachability_settings, reachability_cells, report_reachability);
}

}  // namespace looplm
