#include "eval/depth_scores.h"

#include <algorithm>

#include "looplm/trace.h"

#include "infer/softmax.h"
#include "model/exit_distribution.h"

namespace looplm {

int64_t DepthScores::exit_loop(int64_t token, double threshold, int64_t trained_loops) const {
  double log_survival = 0;
  for (int64_t t = 0; t + 1 < trained_loops; ++t) {
    log_survival -= softplus(static_cast<double>(gate[at(t, token)]));
    // The exit probabilities up to here sum to 1 - survival.
    if (-std::expm1(log_survival) >= threshold) return t + 1;
  }
  return trained_loops;
}

Result<DepthScores> score_depths(Model& model, const EvalExample& example, int64_t loops) {
  // The token at i + 1 is predicted at i; the last token predicts nothing that is scored.
  const std::span<const int32_t> read(example.ids.data(), example.ids.size() - 1);
  std::vector<int64_t> column(read.size(), -1);  // of the scored token that this position predicts
  DepthScores scores;
  scores.loops = loops;
  for (size_t i = 0; i < read.size(); ++i) {
    if (example.scored[i + 1]) column[i] = scores.tokens++;
  }
  const auto cells = static_cast<size_t>(loops * scores.tokens);
  scores.nll.resize(cells);
  scores.right.resize(cells);
  scores.gate.resize(cells);

  TraceOptions options;
  options.loops = loops;
  options.top = 0;
  options.on_logits = [&](int64_t loop, int64_t position, std::span<const float> logits) {
    const auto i = static_cast<size_t>(position);
    if (column[i] < 0) return Status();
    const auto target = static_cast<size_t>(example.ids[i + 1]);
    const size_t cell = scores.at(loop, column[i]);
    scores.nll[cell] =
        static_cast<float>(log_sum_exp(logits) - static_cast<double>(logits[target]));
    // max_element takes the first of equals, as greedy decoding does.
    const auto best = std::max_element(logits.begin(), logits.end()) - logits.begin();
    scores.right[cell] = best == static_cast<ptrdiff_t>(target);
    return Status();
  };
  LOOPLM_ASSIGN_OR_RETURN(const Trace seen, trace(model, read, options));
  for (size_t i = 0; i < read.size(); ++i) {
    if (column[i] < 0) continue;
    for (int64_t t = 0; t < loops; ++t) {
      scores.gate[scores.at(t, column[i])] = seen.at(t, static_cast<int64_t>(i)).gate_logit;
    }
  }
  return scores;
}

}  // namespace looplm
