#include <algorithm>

#include <fmt/format.h>

#include "base/count_text.h"
#include "experiments/mano/mano_study.h"

namespace looplm {
namespace {

std::string shown(const LoopedShape& shape) {
  return fmt::format("{} {}", shape.loops == 1 ? "plain" : "looped", shape.name());
}

constexpr std::pair<double, double> kPercents = {0, 105};
constexpr const char* kMeanAccuracy = "accuracy, %, mean of the seeds";

// Percents at each of the steps.
std::vector<double> mean_over_seeds(const ManoGroup& group, int length) {
  std::vector<double> mean(group.front().steps.size(), 0.0);
  for (const ManoRun& run : group) {
    for (size_t i = 0; i < mean.size(); ++i) {
      mean[i] += 100 * run.accuracy_by_length[i][static_cast<size_t>(length - 1)] /
                 static_cast<double>(group.size());
    }
  }
  return mean;
}

// Plain models are dashed.
Series mano_series(const ManoGroup& group, Series::Style looped, std::vector<double> x,
                   std::vector<double> y) {
  const LoopedShape shape = group.front().shape;
  return series_of(shown(shape), std::move(x), std::move(y),
                   shape.loops == 1 ? Series::Style::kDashed : looped);
}

std::vector<double> steps_of(const ManoGroup& group) {
  return {group.front().steps.begin(), group.front().steps.end()};
}

Table accuracy_table(const ManoTable& table, double chance) {
  Table out = {
      .columns = {"model", "layers read", "parameters", "accuracy", "best run", "gain over k x 1"}};
  for (const ManoGroup& group : table.groups) {
    const LoopedShape shape = group.front().shape;
    const SeedSummary accuracy = final_accuracy(group);
    const ManoGroup* plain = table.find({shape.layers, 1});
    const bool compared = shape.loops > 1 && plain != nullptr;
    out.rows.push_back(
        {shown(shape), std::to_string(shape.depth()), std::to_string(group.front().parameters),
         percent_text(accuracy), fmt::format("{:.1f}%", 100 * accuracy.high),
         compared ? fmt::format("{:+.1f}", 100 * (accuracy.mean - final_accuracy(*plain).mean))
                  : ""});
  }
  out.caption = fmt::format(
      "Exact match on held-out expressions of {} operators; mean of the seeds [worst, best]. The "
      "most common answer alone has {:.1f}%.",
      table.max_length, 100 * chance);
  return out;
}

Table loop_table(const ManoTable& table) {
  Table out;
  size_t loops = 0;
  for (const ManoGroup& group : table.groups) {
    loops = std::max(loops, group.front().loop_accuracy.size());
  }
  out.columns = {"model"};
  for (size_t t = 1; t <= loops; ++t) out.columns.push_back(fmt::format("loop {}", t));
  for (const ManoGroup& group : table.groups) {
    if (group.front().shape.loops == 1) continue;
    std::vector<std::string> row = {shown(group.front().shape)};
    for (size_t t = 0; t < loops; ++t) {
      if (t >= group.front().loop_accuracy.size()) {
        row.emplace_back();
        continue;
      }
      double mean = 0;
      for (const ManoRun& run : group) mean += run.loop_accuracy[t];
      row.push_back(fmt::format("{:.1f}%", 100 * mean / static_cast<double>(group.size())));
    }
    out.rows.push_back(std::move(row));
  }
  out.caption =
      "Accuracy of each loop's own read-out on the longest expressions, at the end; only "
      "the last loop was trained to answer.";
  return out;
}

// As the paper's table: layers k across, plain k x 1 against looped k x (depth / k).
Figure layers_figure(const ManoTable& table) {
  Figure figure =
      figure_of(fmt::format("accuracy-{}", table.max_length),
                fmt::format("Expressions of {} operators: accuracy by layers", table.max_length),
                "layers (parameters)", "accuracy, %", kPercents);
  const int deepest = table.groups.back().front().shape.depth();
  figure.x_range = {0, deepest + 1.0};
  Series plain = series_of("plain, k layers", {}, {});
  Series looped = series_of(fmt::format("looped, {} layers read", deepest), {}, {});
  for (const ManoGroup& group : table.groups) {
    const LoopedShape shape = group.front().shape;
    if (shape.loops > 1 && shape.depth() != deepest) continue;
    add_point(shape.loops == 1 ? plain : looped, shape.layers, final_accuracy(group), 100);
  }
  for (Series* series : {&looped, &plain}) {
    if (!series->x.empty()) figure.add(std::move(*series));
  }
  return figure;
}

Figure curves_figure(const ManoTable& table) {
  Figure figure =
      figure_of(fmt::format("curves-{}", table.max_length),
                fmt::format("Learning curves on expressions of {} operators", table.max_length),
                "step", kMeanAccuracy, kPercents);
  for (const ManoGroup& group : table.groups) {
    figure.add(mano_series(group, Series::Style::kLine, steps_of(group),
                           mean_over_seeds(group, table.max_length)));
  }
  return figure;
}

Figure lengths_figure(const ManoTable& table) {
  Figure figure = figure_of(fmt::format("lengths-{}", table.max_length),
                            "Accuracy by length of the expression, at the end", "operators",
                            kMeanAccuracy, kPercents);
  for (const ManoGroup& group : table.groups) {
    Series& series = figure.add(mano_series(group, Series::Style::kLinePoints, {}, {}));
    for (int length = 1; length <= table.max_length; ++length) {
      series.add(length, mean_over_seeds(group, length).back());
    }
  }
  return figure;
}

// Learning curves of one model, a line per length.
Figure length_curves_figure(const ManoTable& table, const ManoGroup& group) {
  const LoopedShape shape = group.front().shape;
  Figure figure = figure_of(fmt::format("curves-{}-{}", table.max_length, shape.name()),
                            fmt::format("Learning curves by length: {}", shown(shape)), "step",
                            kMeanAccuracy, kPercents);
  for (int length = 1; length <= table.max_length; ++length) {
    figure.add(series_of(count_text(length, "operator"), steps_of(group),
                         mean_over_seeds(group, length), Series::Style::kLine));
  }
  return figure;
}

// The pair whose looped model is the best.
const ManoComparison& best_pair(const std::vector<ManoComparison>& pairs) {
  return *std::max_element(pairs.begin(), pairs.end(), [](const auto& a, const auto& b) {
    return a.looped_accuracy.mean < b.looped_accuracy.mean;
  });
}

Verdict verdict_of(const std::vector<ManoComparison>& comparisons) {
  std::vector<bool> ahead;
  for (const ManoComparison& c : comparisons) {
    ahead.push_back(is_ahead(c.looped_accuracy, c.plain_accuracy));
  }
  return graded_all(ahead);
}

std::string finding_of(const ManoTable& table, const std::vector<ManoComparison>& comparisons) {
  if (comparisons.empty()) return "no such pair of models was trained";
  std::string text = fmt::format("at {} operators: ", table.max_length);
  for (size_t i = 0; i < comparisons.size(); ++i) {
    const ManoComparison& c = comparisons[i];
    text += fmt::format("{}{} {} against {} {}: {} points", i == 0 ? "" : "; ", c.looped.name(),
                        percent_text(c.looped_accuracy), c.plain.name(),
                        percent_text(c.plain_accuracy), points_text(c.gain()));
  }
  return text;
}

// Does the gain over plain models of equal arithmetic grow with the length? Within the hardest
// table, of the best looped model.
Claim length_claim(const ManoTable& table) {
  Claim claim = {
      "The longer the expressions, the more looping gains over a plain model of the same "
      "arithmetic (12x1 against 3x4: 93.6 and 97.9% at L = 10, 34.8 and 92.2% at L = 24)"};
  const std::vector<ManoComparison> comparisons = compare_arithmetic(table);
  if (comparisons.empty() || table.max_length < 2) return claim;
  const ManoComparison& best = best_pair(comparisons);
  const int middle = (table.max_length + 1) / 2;
  const auto gain_at = [&](int length) {
    return difference(accuracy_at(*table.find(best.looped), length),
                      accuracy_at(*table.find(best.plain), length));
  };
  const SeedSummary at_middle = gain_at(middle), at_end = gain_at(table.max_length);
  claim.finding = fmt::format(
      "{} over {}: {} points at {} operators, and {} more at {} (one L = {}, by length of the "
      "expression)",
      best.looped.name(), best.plain.name(), points_text(mean_of(at_middle.values)), middle,
      points_text(paired_gain(at_end, at_middle)), table.max_length, table.max_length);
  claim.verdict = graded(is_ahead(at_end, at_middle), false);
  return claim;
}

}  // namespace

StudyReport mano_report(const std::vector<ManoTable>& tables, const std::string& description,
                        const std::map<int, double>& constant_guess) {
  StudyReport report;
  const ManoTable& hardest = tables.back();
  const std::vector<ManoComparison> parameters = compare_parameters(hardest);
  const std::vector<ManoComparison> arithmetic = compare_arithmetic(hardest);
  report.claims.push_back(
      {"With the parameters of k layers, looping to 12 layers' arithmetic answers far more than "
       "the k layers alone (L = 24: 2x6 78.0 against 2x1 7.5%, 3x4 92.2 against 3x1 11.0%, 6x2 "
       "35.1 against 6x1 20.0%)",
       verdict_of(parameters), finding_of(hardest, parameters)});
  report.claims.push_back(
      {"With the same arithmetic, looped models answer more than the plain deep one (L = 24: 12x1 "
       "34.8%; 2x6 78.0, 3x4 92.2, 6x2 35.1%)",
       verdict_of(arithmetic), finding_of(hardest, arithmetic)});
  report.claims.push_back(length_claim(hardest));

  Document& document = report.document;
  document.title = "Mano: arithmetic on prefix expressions, looped and plain";
  document.paragraph(description);
  for (const ManoTable& table : tables) {
    document.heading(fmt::format("Expressions of up to {} operators", table.max_length));
    document.table(accuracy_table(table, constant_guess.at(table.max_length)));
    document.figure(layers_figure(table));
    document.figure(curves_figure(table));
    document.figure(lengths_figure(table));
    const std::vector<ManoComparison> pairs = compare_arithmetic(table);
    if (pairs.empty()) continue;
    const ManoComparison& best = best_pair(pairs);
    document.figure(length_curves_figure(table, *table.find(best.looped)));
    document.figure(length_curves_figure(table, *table.find(best.plain)));
    document.table(loop_table(table));
  }
  return report;
}

}  // namespace looplm
