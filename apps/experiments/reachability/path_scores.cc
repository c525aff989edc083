#include "experiments/reachability/path_scores.h"

#include "eval/depth_scores.h"

namespace looplm {

Result<std::vector<std::vector<double>>> score_distances(Model& model, const PathOptions& options,
                                                         int examples, int loops) {
  const auto length = static_cast<size_t>(options.length);
  std::vector<std::vector<double>> right(static_cast<size_t>(loops), std::vector<double>(length));
  PathOptions asked = options;
  asked.queries = 1;
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

}  // namespace looplm
