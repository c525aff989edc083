#include <algorithm>

#include <fmt/format.h>

#include "base/check.h"
#include "eval/joined.h"
#include "experiments/reachability/reachability_study.h"

namespace looplm {
double TrainedPathsRun::steps_to(double share) const {
  size_t first = curve.size();
  while (first > 0 && curve[first - 1] >= share * curve.back()) --first;
  return curve_steps.at(std::min(first, curve.size() - 1));
}

SeedSummary TrainedPaths::at(int loops, size_t distance) const {
  std::vector<double> values;
  for (const TrainedPathsRun& run : runs) {
    values.push_back(run.accuracy.at(static_cast<size_t>(loops - 1)).at(distance - 1));
  }
  return summarize_seeds(values);
}

SeedSummary TrainedPaths::mean_over(int loops, size_t first_distance, size_t last_distance) const {
  LOOPLM_CHECK(first_distance >= 1 && first_distance <= last_distance);
  std::vector<double> values;
  for (const TrainedPathsRun& run : runs) {
    double sum = 0;
    const std::vector<double>& row = run.accuracy.at(static_cast<size_t>(loops - 1));
    for (size_t d = first_distance; d <= last_distance; ++d) sum += row.at(d - 1);
    values.push_back(sum / static_cast<double>(last_distance - first_distance + 1));
  }
  return summarize_seeds(values);
}

std::vector<TrainedPaths> by_shape(const std::vector<TrainedPathsRun>& runs) {
  std::vector<TrainedPaths> shapes;
  for (const TrainedPathsRun& run : runs) {
    const auto same = [&](const TrainedPaths& s) { return s.shape == run.shape; };
    auto found = std::ranges::find_if(shapes, same);
    if (found == shapes.end()) found = shapes.insert(found, {run.shape, {}});
    found->runs.push_back(run);
  }
  return shapes;
}

namespace {

// Accuracy from which a distance counts as learnt, and a difference that counts.
constexpr double kLearnt = 0.9;
constexpr double kDifference = 0.05;

constexpr const char* kDistance = "edges to the end of the path";

constexpr const char* kConjecture =
    "(conjecture, appendix B.5: tied layers learn a repeated step from fewer examples; ours, "
    "trained) at equal arithmetic and after as many steps, tied layers reach farther than layers "
    "of their own";

// What this cannot say, whatever the numbers: accuracy after equal steps, with one learning rate
// for all, is not the number of examples that each would need.
constexpr const char* kConjectureLimit =
    "; after equal steps with one learning rate, so how many examples each needs was not measured";

Figure distance_figure(const std::vector<TrainedPaths>& shapes, int paths, size_t trained) {
  Figure figure = figure_of("accuracy-by-distance", "Trained models: which end can be reached",
                            kDistance, "accuracy (best and worst seed)", {{0, 1.02}});
  const size_t length = shapes.front().runs.front().trained().size();
  for (const TrainedPaths& shape : shapes) {
    Series& s = figure.add(shape.shape.name());
    for (size_t d = 1; d <= length; ++d) {
      add_point(s, static_cast<double>(d), shape.at(shape.shape.loops, d));
    }
  }
  if (trained < length) {
    figure.markers.push_back({static_cast<double>(trained) + 0.5, "farthest in training"});
  }
  figure.add(series_of("a guess among the ends", {1, static_cast<double>(length)},
                       {1.0 / paths, 1.0 / paths}, Series::Style::kDashed));
  return figure;
}

Figure loops_figure(const TrainedPaths& shape) {
  Figure figure = figure_of("loops-" + shape.shape.name(),
                            fmt::format("{} (trained with {} loops): accuracy by loops run",
                                        shape.shape.name(), shape.shape.loops),
                            kDistance, "loops");
  figure.cell_range = {0, 1};
  const auto& first = shape.runs.front().accuracy;
  for (size_t t = 0; t < first.size(); ++t) {
    figure.row_names.push_back(fmt::format("{}", t + 1));
    std::vector<double> row;
    for (size_t d = 1; d <= first[t].size(); ++d) {
      row.push_back(shape.at(static_cast<int>(t) + 1, d).mean);
    }
    figure.cells.push_back(std::move(row));
  }
  for (size_t d = 1; d <= first[0].size(); ++d) {
    figure.column_names.push_back(fmt::format("{}", d));
  }
  return figure;
}

Figure curve_figure(const std::vector<TrainedPaths>& shapes) {
  Figure figure = figure_of("learning-curves", "Trained models: learning curves", "steps",
                            "accuracy, distances trained (best and worst seed)", {{0, 1.02}});
  for (const TrainedPaths& shape : shapes) {
    Series& s = figure.add(shape.shape.name());
    const std::vector<double>& steps = shape.runs.front().curve_steps;
    for (size_t i = 0; i < steps.size(); ++i) {
      std::vector<double> values;
      for (const TrainedPathsRun& run : shape.runs) values.push_back(run.curve.at(i));
      add_point(s, steps[i], summarize_seeds(values));
    }
  }
  return figure;
}

// The farthest distance up to which all are learnt, mean over seeds, after some loops; 0: none.
size_t reach(const TrainedPaths& shape, int loops) {
  const size_t length = shape.runs.front().trained().size();
  size_t d = 0;
  while (d < length && shape.at(loops, d + 1).mean >= kLearnt) ++d;
  return d;
}

size_t reach(const TrainedPaths& shape) { return reach(shape, shape.shape.loops); }

Table trained_table(const std::vector<TrainedPaths>& shapes, size_t trained) {
  Table table;
  const size_t far = trained / 2 + 1;
  table.columns = {"layers x loops",
                   "parameters",
                   "depth",
                   "seeds",
                   fmt::format("distances 1 to {}", trained),
                   fmt::format("{} to {}", far, trained),
                   "learnt up to",
                   "steps to 95% of its last"};
  for (const TrainedPaths& shape : shapes) {
    std::vector<std::string> steps;
    for (const TrainedPathsRun& run : shape.runs) {
      steps.push_back(fmt::format("{:.0f}", run.steps_to(0.95)));
    }
    table.rows.push_back(
        {shape.shape.name(), fmt::format("{}", shape.runs.front().parameters),
         fmt::format("{}", shape.shape.depth()), fmt::format("{}", shape.runs.size()),
         percent_text(shape.mean_over(1, trained)), percent_text(shape.mean_over(far, trained)),
         fmt::format("{}", reach(shape)), joined(steps)});
  }
  table.caption = fmt::format(
      "Accuracy after the trained loops, mean over seeds with the worst and the best; a distance "
      "counts as learnt from {:.0f}% on.",
      100 * kLearnt);
  return table;
}

Table reach_table(const std::vector<TrainedPaths>& shapes) {
  Table table = {.columns = {"layers x loops"},
                 .caption =
                     "Edges up to which answers are right (as above), by the loops that a trained "
                     "model runs."};
  size_t most = 0;
  for (const TrainedPaths& shape : shapes) {
    most = std::max(most, shape.runs.front().accuracy.size());
  }
  for (size_t t = 1; t <= most; ++t) table.columns.push_back(fmt::format("after {}", t));
  for (const TrainedPaths& shape : shapes) {
    if (shape.shape.loops == 1) continue;
    std::vector<std::string> row = {shape.shape.name()};
    for (size_t t = 1; t <= most; ++t) {
      row.push_back(t <= shape.runs.front().accuracy.size()
                        ? fmt::format("{}", reach(shape, static_cast<int>(t)))
                        : "");
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

// "71, 91, 75%"
std::string each_seed(const SeedSummary& summary) {
  std::vector<std::string> values;
  for (double value : summary.values) values.push_back(fmt::format("{:.0f}", 100 * value));
  return joined(values) + "%";
}

// A looped shape against a plain one in the far half of the trained distances. Models that only
// guess among the ends have not learnt the task, and say nothing.
Claim compare(const std::string& claim, const TrainedPaths& looped, const TrainedPaths& plain,
              size_t trained, double guess) {
  const size_t far = trained / 2 + 1;
  const SeedSummary a = looped.mean_over(far, trained), b = plain.mean_over(far, trained);
  Claim c;
  c.claim = claim;
  const bool far_learnt = a.mean > guess + kDifference;
  c.verdict = graded(far_learnt && a.low >= b.high + kDifference,
                     far_learnt && a.mean > b.mean + kDifference);
  c.finding = fmt::format(
      "distances {} to {}: {} {}, {} {}; at {} edges the seeds of {} have {}; learnt up to {} and "
      "{}{}",
      far, trained, looped.shape.name(), percent_text(a), plain.shape.name(), percent_text(b), far,
      plain.shape.name(), each_seed(plain.at(plain.shape.loops, far)), reach(looped), reach(plain),
      far_learnt ? "" : "; the looped model does no better than a guess");
  return c;
}

// The paper's conjecture is about examples; equal steps can bear it out in part only.
Claim conjecture(const TrainedPaths& looped, const TrainedPaths& plain, size_t trained,
                 double guess) {
  Claim c = compare(kConjecture, looped, plain, trained, guess);
  if (c.verdict == Verdict::kReproduced) c.verdict = Verdict::kPartly;
  c.finding += kConjectureLimit;
  return c;
}

// Context alone needs ceil(log2 D) loops of the construction: 2^t edges after t loops.
Claim doubling(const TrainedPaths& looped, size_t trained) {
  Claim c = {"(ours, trained) a loop doubles the reach, as in the construction"};
  bool doubles = true;
  std::vector<std::string> reached;
  for (int t = 1; t <= looped.shape.loops; ++t) {
    const size_t edges = reach(looped, t);
    doubles = doubles && (t >= 30 || edges >= std::min(trained, size_t{1} << t));
    reached.push_back(fmt::format("{}", edges));
  }
  c.verdict = graded(doubles, false);
  c.finding = fmt::format("{}: {} edges after loops 1 to {}", looped.shape.name(), joined(reached),
                          looped.shape.loops);
  return c;
}

// Distances that training has not shown, each after as many loops as it has edges: what one edge
// per loop would take, fixed before looking.
Claim beyond(const TrainedPaths& looped, size_t trained) {
  const size_t length =
      std::min(looped.runs.front().trained().size(), looped.runs.front().accuracy.size());
  Claim c = {
      "(ours, trained) as many loops as edges reach farther than trained, in loops and distance"};
  c.finding = fmt::format("{}, trained up to {} edges with {} loops:", looped.shape.name(), trained,
                          looped.shape.loops);
  bool all = true;
  double with_more = 0, before = 0;
  size_t distances = 0;
  for (size_t d = trained + 1; d <= length; ++d) {
    const SeedSummary at = looped.at(static_cast<int>(d), d);
    const SeedSummary as_trained = looped.at(looped.shape.loops, d);
    all = all && at.low >= kLearnt;
    with_more += at.mean;
    before += as_trained.mean;
    c.finding +=
        fmt::format("{} {} edges {} after {} loops ({} after {})", d > trained + 1 ? "," : "", d,
                    percent_text(at), d, percent_text(as_trained), looped.shape.loops);
    ++distances;
  }
  if (distances == 0) {
    c.finding = "no run of as many loops as a distance beyond those trained";
    return c;
  }
  const double gained = (with_more - before) / static_cast<double>(distances);
  c.verdict = graded(all, gained > kDifference);
  return c;
}

}  // namespace

void add_trained(const ReachabilityResults& results, StudyReport& report) {
  if (results.runs.empty()) {
    report.claims.push_back(
        {kConjecture, Verdict::kNotTested, "no models were trained in this run"});
    return;
  }
  const std::vector<TrainedPaths> shapes = by_shape(results.runs);
  const size_t length = shapes.front().runs.front().trained().size();
  const size_t trained =
      results.trained_distance > 0 ? static_cast<size_t>(results.trained_distance) : length;
  Document& d = report.document;
  d.heading("Trained models");
  d.paragraph(results.training);
  d.table(trained_table(shapes, trained));
  d.figure(distance_figure(shapes, results.paths, trained));
  const bool any_looped =
      std::ranges::any_of(shapes, [](const TrainedPaths& shape) { return shape.shape.loops > 1; });
  if (any_looped) d.table(reach_table(shapes));
  for (const TrainedPaths& shape : shapes) {
    if (shape.shape.loops > 1) d.figure(loops_figure(shape));
  }
  d.figure(curve_figure(shapes));
  for (const TrainedPaths& looped : shapes) {
    if (looped.shape.loops == 1) continue;
    for (const TrainedPaths& plain : shapes) {
      if (plain.shape.loops > 1) continue;
      if (plain.shape.layers == looped.shape.layers) {
        report.claims.push_back(compare(
            "(ours, trained) at equal parameters, loops reach farther than one reading of the "
            "same layers",
            looped, plain, trained, 1.0 / results.paths));
      } else if (plain.shape.layers == looped.shape.depth()) {
        report.claims.push_back(conjecture(looped, plain, trained, 1.0 / results.paths));
      }
    }
    report.claims.push_back(doubling(looped, trained));
    // A model that has not learnt what it was shown says nothing about what it was not.
    if (trained < length && reach(looped) >= trained) {
      report.claims.push_back(beyond(looped, trained));
    }
  }
}

}  // namespace looplm
