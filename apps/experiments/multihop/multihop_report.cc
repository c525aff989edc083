#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "base/count_text.h"
#include "eval/joined.h"
#include "experiments/multihop/multihop_study.h"

namespace looplm {
namespace {

std::string shown(const LoopedShape& shape) {
  return fmt::format("{} layers, {}", shape.layers,
                     shape.loops == 1 ? "plain" : fmt::format("{} loops", shape.loops));
}

// Without points yet. Plain models of another number of layers than the looped ones have are there
// to compare arithmetic, and dashed.
Series series_of_shape(const std::vector<MultihopCurve>& curves, const LoopedShape& shape) {
  const bool looped = std::any_of(curves.begin(), curves.end(), [&](const MultihopCurve& other) {
    return other.shape.layers == shape.layers && other.shape.loops > 1;
  });
  return series_of(shown(shape), {}, {},
                   looped ? Series::Style::kLinePoints : Series::Style::kDashed);
}

constexpr double kNever = std::numeric_limits<double>::infinity();

std::string needed_text(double count, const char* none = "not reached") {
  return count < kNever ? fmt::format("{:.0f}", count) : none;
}

Table accuracy_table(const std::vector<MultihopCurve>& curves) {
  Table table = {.columns = {"training questions"},
                 .caption =
                     "Exact match on held-out questions at the end of training: mean of the seeds "
                     "[worst, best]."};
  for (const MultihopCurve& curve : curves) table.columns.push_back(shown(curve.shape));
  const MultihopCurve& first = curves.front();
  for (size_t i = 0; i < first.questions.size(); ++i) {
    std::vector<std::string> row = {std::to_string(first.questions[i])};
    for (const MultihopCurve& curve : curves) row.push_back(percent_text(curve.accuracy[i]));
    table.rows.push_back(std::move(row));
  }
  return table;
}

Table needed_table(const std::vector<MultihopCurve>& curves) {
  Table table = {
      .columns = {"model", "parameters", "layers read", "questions for 50%", "questions for 90%"},
      .caption =
          "Unique training questions after which held-out ones are answered, between two "
          "counts by the straight line."};
  for (const MultihopCurve& curve : curves) {
    const auto needed = [&](double accuracy) {
      return needed_text(questions_needed(curve, accuracy).value_or(kNever));
    };
    table.rows.push_back({shown(curve.shape), std::to_string(curve.parameters),
                          std::to_string(curve.shape.depth()), needed(0.5), needed(0.9)});
  }
  return table;
}

Table sets_table(const std::vector<MultihopCurve>& curves) {
  Table table = {
      .columns = {"model", "training questions", "held-out", "trained", "facts"},
      .caption =
          "What is learnt by heart beside what is worked out: training questions and atomic "
          "facts, with the fewest and the most training questions."};
  for (const MultihopCurve& curve : curves) {
    for (const size_t i : {size_t{0}, curve.questions.size() - 1}) {
      std::vector<double> trained;
      std::vector<double> facts;
      for (const MultihopRun& run : curve.runs[i]) {
        trained.push_back(run.trained.back());
        facts.push_back(run.facts.back());
      }
      table.rows.push_back({shown(curve.shape), std::to_string(curve.questions[i]),
                            percent_text(curve.accuracy[i]), percent_text(summarize_seeds(trained)),
                            percent_text(summarize_seeds(facts))});
      if (curve.questions.size() == 1) break;
    }
  }
  return table;
}

// A line at what the shortcut gives, from one end of the figure to the other.
Series shortcut_line(const SeedSummary& shortcut, const std::vector<int64_t>& x) {
  return series_of("outermost relation alone",
                   {static_cast<double>(x.front()), static_cast<double>(x.back())},
                   {100 * shortcut.mean, 100 * shortcut.mean}, Series::Style::kLine);
}

Figure questions_figure(const std::vector<MultihopCurve>& curves, const SeedSummary& shortcut) {
  Figure figure = figure_of("questions", "Held-out questions answered, by training questions",
                            "unique training questions", "accuracy, %", {{0, 105}});
  for (const MultihopCurve& curve : curves) {
    Series& series = figure.add(series_of_shape(curves, curve.shape));
    for (size_t i = 0; i < curve.questions.size(); ++i) {
      add_point(series, static_cast<double>(curve.questions[i]), curve.accuracy[i], 100);
    }
  }
  figure.add(shortcut_line(shortcut, curves.front().questions));
  return figure;
}

Figure steps_figure(const std::vector<MultihopCurve>& curves, const SeedSummary& shortcut,
                    size_t count) {
  const int64_t questions = curves.front().questions[count];
  Figure figure = figure_of(fmt::format("steps-{}", questions),
                            fmt::format("Learning curves with {} training questions", questions),
                            "step", "accuracy on held-out questions, %", {{0, 105}});
  for (const MultihopCurve& curve : curves) {
    Series& series = figure.add(series_of_shape(curves, curve.shape));
    const std::vector<MultihopRun>& seeds = curve.runs[count];
    for (size_t i = 0; i < seeds.front().steps.size(); ++i) {
      double mean = 0;
      for (const MultihopRun& run : seeds) mean += run.held_out[i];
      series.add(static_cast<double>(seeds.front().steps[i]),
                 100 * mean / static_cast<double>(seeds.size()));
    }
  }
  figure.add(shortcut_line(shortcut, curves.front().runs[count].front().steps));
  return figure;
}

// The curves of the shape that is looped, by loops.
std::vector<const MultihopCurve*> looped_family(const std::vector<MultihopCurve>& curves) {
  int layers = 0;
  for (const MultihopCurve& curve : curves) {
    if (curve.shape.loops > 1) layers = curve.shape.layers;
  }
  std::vector<const MultihopCurve*> family;
  for (const MultihopCurve& curve : curves) {
    if (curve.shape.layers == layers) family.push_back(&curve);
  }
  std::sort(family.begin(), family.end(), [](const MultihopCurve* a, const MultihopCurve* b) {
    return a->shape.loops < b->shape.loops;
  });
  return family;
}

// The count of training questions at which the means of a family differ the most.
size_t widest(const std::vector<const MultihopCurve*>& family) {
  size_t best = 0;
  double widest = -1;
  for (size_t i = 0; i < family.front()->questions.size(); ++i) {
    const double gap = family.back()->accuracy[i].mean - family.front()->accuracy[i].mean;
    if (gap > widest) {
      widest = gap;
      best = i;
    }
  }
  return best;
}

Claim samples_claim(const std::vector<const MultihopCurve*>& family) {
  Claim claim = {
      "The more loops, the fewer unique training questions are needed (of 800,000: with 140,000, 1 "
      "loop answers about 35%, 2 loops 84%, 4 loops nearly all; with 100,000 about 7, 11 and 17%)"};
  if (family.size() < 2) return claim;
  const size_t count = widest(family);
  claim.finding = fmt::format("with {} training questions", family.front()->questions[count]);
  std::vector<bool> ahead;  // of the model with fewer loops
  for (size_t i = 0; i < family.size(); ++i) {
    const SeedSummary& accuracy = family[i]->accuracy[count];
    claim.finding +=
        fmt::format("{} {} {}", i == 0 ? ":" : ",", count_text(family[i]->shape.loops, "loop"),
                    percent_text(accuracy));
    if (i == 0) continue;
    const SeedSummary& fewer = family[i - 1]->accuracy[count];
    claim.finding += fmt::format(" ({} points)", points_text(paired_gain(accuracy, fewer)));
    ahead.push_back(is_ahead(accuracy, fewer));
  }
  claim.verdict = graded_all(ahead);
  claim.finding += "; questions for 50%:";
  for (const MultihopCurve* curve : family) {
    claim.finding += fmt::format("{} {}", curve == family.front() ? "" : ",",
                                 needed_text(questions_needed(*curve, 0.5).value_or(kNever)));
  }
  return claim;
}

// Of the model of each seed.
SeedSummary steps_of(const std::vector<MultihopRun>& runs, double accuracy) {
  std::vector<double> steps;
  for (const MultihopRun& run : runs) {
    steps.push_back(steps_needed(run, accuracy).value_or(kNever));
  }
  return summarize_seeds(steps);
}

Claim speed_claim(const std::vector<const MultihopCurve*>& family, const SeedSummary& shortcut) {
  Claim claim = {
      "The more loops, the fewer steps are needed (with 140,000 questions 4 loops answer "
      "99% after 10,000 steps, 2 loops 92%, 1 loop 27% after 20,000)"};
  if (family.size() < 2) return claim;
  const size_t last = family.front()->questions.size() - 1;
  // A place that the end of the model of one loop does not decide.
  const double target = (shortcut.mean + family.front()->accuracy[last].mean) / 2;
  claim.finding = fmt::format(
      "with {} training questions, mean steps to {:.1f}%, half way from the shortcut to the end of "
      "one loop:",
      family.front()->questions[last], 100 * target);
  std::vector<bool> faster;  // than the model with fewer loops
  SeedSummary before;
  for (const MultihopCurve* curve : family) {
    const bool first = curve == family.front();
    const SeedSummary steps = steps_of(curve->runs[last], target);
    std::vector<std::string> each;
    for (const double count : steps.values) each.push_back(needed_text(count));
    claim.finding +=
        fmt::format("{} {} {} (seeds {}", first ? "" : ";", count_text(curve->shape.loops, "loop"),
                    needed_text(steps.mean, "not reached by all"), joined(each));
    if (!first) {
      const Estimate fewer = paired_gain(before, steps);
      faster.push_back(steps.values.size() > 1 && fewer.low > 0);
      if (std::isfinite(fewer.value)) claim.finding += "; " + signed_text(fewer, 0) + " fewer";
    }
    claim.finding += ")";
    before = steps;
  }
  claim.verdict = graded_all(faster);
  return claim;
}

Claim arithmetic_claim(const std::vector<MultihopCurve>& curves,
                       const std::vector<const MultihopCurve*>& family) {
  Claim claim = {
      "With the same arithmetic, a plain model four times as deep does not reach the model "
      "of four loops (24x1 against 6x4 at 100,000 and 120,000 questions)"};
  if (family.empty()) return claim;
  const MultihopCurve& looped = *family.back();
  const MultihopCurve* plain = find_curve(curves, {looped.shape.depth(), 1});
  if (plain == nullptr) return claim;
  int ahead = 0, below = 0;
  for (size_t i = 0; i < looped.questions.size(); ++i) {
    const SeedSummary& a = looped.accuracy[i];
    const SeedSummary& b = plain->accuracy[i];
    ahead += is_ahead(a, b) ? 1 : 0;
    below += a.mean < b.mean ? 1 : 0;
    claim.finding +=
        fmt::format("{}{} questions: {} {} against {} {}: {} points", i == 0 ? "" : "; ",
                    looped.questions[i], looped.shape.name(), percent_text(a), plain->shape.name(),
                    percent_text(b), points_text(paired_gain(a, b)));
  }
  claim.verdict = graded(ahead > 0 && below == 0, ahead > 0);
  return claim;
}

}  // namespace

StudyReport multihop_report(const std::vector<MultihopCurve>& curves, const SeedSummary& shortcut,
                            const std::string& description) {
  StudyReport report;
  const std::vector<const MultihopCurve*> family = looped_family(curves);
  report.claims = {samples_claim(family), speed_claim(family, shortcut),
                   arithmetic_claim(curves, family)};

  Document& document = report.document;
  document.title = "Multi-hop questions: what must be seen, by loops";
  document.paragraph(description);
  document.paragraph(fmt::format(
      "**A shortcut.** Who knows of the outermost relation alone to whom it leads most often, and "
      "nothing of the person asked about, answers {} of the held-out questions (computed from each "
      "seed's world). An accuracy says that facts are composed by as much as it is above that; the "
      "figures show it as a line.",
      percent_text(shortcut)));
  document.heading("How many questions");
  document.figure(questions_figure(curves, shortcut));
  document.table(accuracy_table(curves));
  document.table(needed_table(curves));
  document.heading("How many steps");
  const size_t last = curves.front().questions.size() - 1;
  const size_t wide = family.empty() ? last : widest(family);
  document.figure(steps_figure(curves, shortcut, wide));
  if (wide != last) document.figure(steps_figure(curves, shortcut, last));
  document.heading("Learnt by heart");
  document.table(sets_table(curves));
  return report;
}

}  // namespace looplm
