#include "eval/depth_scores.h"

#include <algorithm>
#include <cmath>

namespace looplm {

LoopFigures DepthScores::figures(int64_t loop, int64_t token) const {
  const size_t cell = at(loop, token);
  const auto of = [&](const auto& recorded) { return recorded.empty() ? 0 : recorded[cell]; };
  return {.loop = loop + 1,
          .gate_logit = of(gate),
          .difference = of(difference),
          .norm = of(norm),
          .margin = of(margin),
          .entropy = of(entropy)};
}

int64_t DepthScores::exit_loop(int64_t token, const ExitOptions& exit,
                               int64_t trained_loops) const {
  const int64_t last = exit.max_loops == 0 ? trained_loops : exit.max_loops;
  if (exit.kind == ExitKind::kFixed) return last;
  ExitRule rule(exit.kind, exit.threshold);
  for (int64_t t = 0; t + 1 < last; ++t) {
    if (rule.enough(figures(t, token)) && t + 1 >= exit.min_loops) return t + 1;
  }
  return last;
}

std::vector<double> exit_figures(std::span<const DepthScores> scores, ExitKind kind,
                                 int64_t trained_loops) {
  std::vector<double> all;
  ExitRule rule(kind, 0);
  for (const DepthScores& s : scores) {
    for (int64_t i = 0; i < s.tokens; ++i) {
      rule.reset();
      for (int64_t t = 0; t + 1 < trained_loops; ++t) {
        const double figure = rule.figure(s.figures(t, i));
        if (std::isfinite(figure)) all.push_back(figure);
      }
    }
  }
  std::sort(all.begin(), all.end());
  return all;
}

}  // namespace looplm
