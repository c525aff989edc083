#include "experiments/scaling/scaling_figures.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

namespace looplm {
namespace {

std::string loops_text(int loops) { return loops == 1 ? "1 loop" : fmt::format("{} loops", loops); }

std::string size_text(double parameters) { return fmt::format("{:.0f}K", parameters / 1000); }

std::set<int> trained_depths(std::span<const RunCurve> runs) {
  std::set<int> depths;
  for (const RunCurve& run : runs) depths.insert(run.loops);
  return depths;
}

}  // namespace

Figure prediction_figure(std::span<const RunCurve> runs, const ScalingLaw& law) {
  Figure figure;
  figure.name = "total-loss-law";
  figure.title = "The total-loss law against what was measured";
  figure.x_label = "total loss of the law, nats";
  figure.y_label = "total loss measured, nats";
  double least = 1e300;
  double most = 0;
  for (int loops : trained_depths(runs)) {
    Series series;
    series.name = loops_text(loops);
    series.style = Series::Style::kPoints;
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
  figure.series.push_back({.name = "equal",
                           .x = {least, most},
                           .y = {least, most},
                           .low = {},
                           .high = {},
                           .style = Series::Style::kDashed});
  return figure;
}

Figure token_figure(std::span<const RunCurve> runs, const ScalingLaw& law) {
  Figure figure;
  figure.name = "loss-over-tokens";
  figure.title = "Total loss of the smallest and the largest models; lines are the law";
  figure.x_label = "tokens, millions";
  figure.y_label = "total loss, nats";
  std::set<double> sizes;
  for (const RunCurve& run : runs) sizes.insert(run.parameters);
  std::set<std::pair<double, int>> drawn;  // one seed of each
  for (const RunCurve& run : runs) {
    if (run.parameters != *sizes.begin() && run.parameters != *sizes.rbegin()) continue;
    if (!drawn.insert({run.parameters, run.loops}).second) continue;
    Series measured;
    measured.name = fmt::format("{}, {}", size_text(run.parameters), loops_text(run.loops));
    measured.style = Series::Style::kPoints;
    Series fitted;
    fitted.style = Series::Style::kLine;
    for (const CurvePoint& p : run.points) {
      measured.x.push_back(p.tokens / 1e6);
      measured.y.push_back(p.loss);
      fitted.x.push_back(p.tokens / 1e6);
      fitted.y.push_back(law.loss(run.parameters, p.tokens, run.loops));
    }
    figure.series.push_back(std::move(measured));
    figure.series.push_back(std::move(fitted));
  }
  return figure;
}

Figure loop_figure(std::span<const RunCurve> runs, int loops, const ScalingLaw& law) {
  Figure figure;
  figure.name = fmt::format("loss-by-loop-{}", loops);
  figure.title =
      fmt::format("Loss after each loop, trained with {}; lines are the law", loops_text(loops));
  figure.x_label = "loop";
  figure.y_label = "nll, nats per token";
  std::set<double> drawn;  // one seed of each size
  for (const RunCurve& run : runs) {
    if (run.loops != loops || !drawn.insert(run.parameters).second) continue;
    const CurvePoint& end = run.points.back();
    Series measured;
    measured.name = size_text(run.parameters);
    measured.style = Series::Style::kPoints;
    Series fitted;
    fitted.style = Series::Style::kLine;
    for (int t = 1; t <= loops; ++t) {
      measured.x.push_back(t);
      measured.y.push_back(end.nll[static_cast<size_t>(t - 1)]);
      fitted.x.push_back(t);
      fitted.y.push_back(law.loss(run.parameters, end.tokens, t));
    }
    figure.series.push_back(std::move(measured));
    figure.series.push_back(std::move(fitted));
  }
  return figure;
}

}  // namespace looplm
