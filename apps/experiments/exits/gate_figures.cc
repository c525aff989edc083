#include "experiments/exits/gate_figures.h"

#include <cmath>

#include "base/check.h"
#include "model/exit_distribution.h"

namespace looplm {

GateFigures gate_figures(const std::vector<DepthScores>& scores, int64_t loops) {
  GateFigures f;
  f.exit.resize(static_cast<size_t>(loops));
  f.gate.resize(static_cast<size_t>(loops));
  std::vector<float> logits(static_cast<size_t>(loops));
  std::vector<double> log_p(static_cast<size_t>(loops));
  double tokens = 0;
  for (const DepthScores& s : scores) {
    LOOPLM_CHECK(s.loops >= loops);
    for (int64_t i = 0; i < s.tokens; ++i) {
      for (int64_t t = 0; t < loops; ++t) logits[static_cast<size_t>(t)] = s.gate[s.at(t, i)];
      exit_log_probabilities(logits, log_p);
      for (int64_t t = 0; t < loops; ++t) {
        const auto at = static_cast<size_t>(t);
        const double p = std::exp(log_p[at]);
        f.exit[at] += p;
        f.gate[at] += sigmoid(static_cast<double>(logits[at]));
        f.expected_nll += p * static_cast<double>(s.nll[s.at(t, i)]);
        f.mean_exit += p * static_cast<double>(t + 1);
      }
      ++tokens;
    }
  }
  for (double& x : f.exit) x /= tokens;
  for (double& x : f.gate) x /= tokens;
  f.expected_nll /= tokens;
  f.mean_exit /= tokens;
  return f;
}

}  // namespace looplm
