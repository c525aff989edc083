#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "base/count_text.h"
#include "experiments/scaling/scaling_analysis.h"

namespace looplm {
namespace {

std::string size_text(double parameters) { return fmt::format("{:.0f}K", parameters / 1000); }

// What was measured as points, and the law as the line through them.
void add_pair(Figure& figure, const std::string& name, const std::vector<double>& x,
              const std::vector<double>& measured, const std::vector<double>& fitted) {
  figure.series.push_back(series_of(name, x, measured, Series::Style::kPoints));
  figure.series.push_back(series_of("", x, fitted, Series::Style::kLine));
}

std::set<int> trained_depths(std::span<const RunCurve> runs) {
  std::set<int> depths;
  for (const RunCurve& run : runs) depths.insert(run.loops);
  return depths;
}

}  // namespace

Figure prediction_figure(std::span<const RunCurve> runs, const ScalingLaw& law) {
  Figure figure = figure_of("total-loss-law", "The total-loss law against what was measured",
                            "total loss of the law, nats", "total loss measured, nats");
  double least = 1e300;
  double most = 0;
  for (int loops : trained_depths(runs)) {
    Series series = series_of(count_text(loops, "loop"), {}, {}, Series::Style::kPoints);
    for (const RunCurve& run : runs) {
      if (run.loops != loops) continue;
      for (const CurvePoint& p : run.points) {
        series.x.push_back(law.loss(run.parameters, p.tokens, loops));
        series.y.push_back(p.loss);
        least = std::min({least, series.x.back(), p.loss});
        most = std::max({most, series.x.back(), p.loss});
      }
    }
    figure.series.push_back(std::move(series));
  }
  figure.series.push_back(series_of("equal", {least, most}, {least, most}, Series::Style::kDashed));
  return figure;
}

Figure token_figure(std::span<const RunCurve> runs, const ScalingLaw& law) {
  Figure figure = figure_of("loss-over-tokens",
                            "Total loss of the smallest and the largest models; lines are the law",
                            "tokens, millions", "total loss, nats");
  std::set<double> sizes;
  for (const RunCurve& run : runs) sizes.insert(run.parameters);
  std::set<std::pair<double, int>> drawn;  // one seed of each
  for (const RunCurve& run : runs) {
    if (run.parameters != *sizes.begin() && run.parameters != *sizes.rbegin()) continue;
    if (!drawn.insert({run.parameters, run.loops}).second) continue;
    std::vector<double> x, measured, fitted;
    for (const CurvePoint& p : run.points) {
      x.push_back(p.tokens / 1e6);
      measured.push_back(p.loss);
      fitted.push_back(law.loss(run.parameters, p.tokens, run.loops));
    }
    add_pair(figure,
             fmt::format("{}, {}", size_text(run.parameters), count_text(run.loops, "loop")), x,
             measured, fitted);
  }
  return figure;
}

Figure loop_figure(std::span<const RunCurve> runs, int loops, const ScalingLaw& law) {
  Figure figure = figure_of(fmt::format("loss-by-loop-{}", loops),
                            fmt::format("Loss after each loop, trained with {}; lines are the law",
                                        count_text(loops, "loop")),
                            "loop", "nll, nats per token");
  std::set<double> drawn;  // one seed of each size
  for (const RunCurve& run : runs) {
    if (run.loops != loops || !drawn.insert(run.parameters).second) continue;
    const CurvePoint& end = run.points.back();
    std::vector<double> x, fitted;
    for (int t = 1; t <= loops; ++t) {
      x.push_back(t);
      fitted.push_back(law.loss(run.parameters, end.tokens, t));
    }
    add_pair(figure, size_text(run.parameters), x, end.nll, fitted);
  }
  return figure;
}

}  // namespace looplm
