#include "base/check.h"
#include "experiments/speculation/speculation_study.h"

namespace looplm {

double AgreementCounts::mean_settled_loop() const {
  double sum = 0;
  for (size_t t = 0; t < settled.size(); ++t) {
    sum += static_cast<double>(t + 1) * static_cast<double>(settled[t]);
  }
  return sum / static_cast<double>(tokens);
}

AgreementCounts count_agreement(const std::vector<DepthScores>& scores, int64_t last) {
  LOOPLM_CHECK(!scores.empty() && last >= 1 && last <= scores.front().loops);
  AgreementCounts c;
  c.loops = scores.front().loops;
  const auto loops = static_cast<size_t>(c.loops);
  c.same.assign(loops * loops, 0);
  c.right.assign(loops, 0);
  c.settled.assign(static_cast<size_t>(last), 0);
  for (const DepthScores& s : scores) {
    LOOPLM_CHECK(s.loops == c.loops);
    c.tokens += s.tokens;
    for (int64_t token = 0; token < s.tokens; ++token) {
      for (int64_t a = 0; a < c.loops; ++a) {
        c.right[static_cast<size_t>(a)] += s.right[s.at(a, token)];
        for (int64_t b = 0; b < c.loops; ++b) {
          c.same[static_cast<size_t>(a * c.loops + b)] +=
              s.best[s.at(a, token)] == s.best[s.at(b, token)] ? 1 : 0;
        }
      }
      int64_t first = last - 1;
      while (first > 0 && s.best[s.at(first - 1, token)] == s.best[s.at(last - 1, token)]) --first;
      ++c.settled[static_cast<size_t>(first)];
    }
  }
  return c;
}

}  // namespace looplm
