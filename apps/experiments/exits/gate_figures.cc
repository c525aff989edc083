#include "experiments/exits/gate_figures.h"

#include <cmath>

#include "base/check.h"
#include "experiments/core/estimates.h"
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

OrderedJson gate_json(const GateFigures& f) {
  OrderedJson json;
  json["exit"] = f.exit;
  json["gate"] = f.gate;
  json["expected_nll"] = f.expected_nll;
  json["mean_exit"] = f.mean_exit;
  return json;
}

OrderedJson curve_json(const std::vector<ExitPoint>& points) {
  OrderedJson list = OrderedJson::array();
  for (const ExitPoint& p : points) {
    OrderedJson json;
    json["target"] = p.target;
    json["threshold"] = p.threshold;
    json["mean_loops"] = p.mean_loops;
    json["nll"] = estimate_json(p.nll);
    json["accuracy"] = estimate_json(p.accuracy);
    json["nll_gain"] = estimate_json(p.nll_gain);
    json["accuracy_gain"] = estimate_json(p.accuracy_gain);
    list.push_back(std::move(json));
  }
  return list;
}

std::vector<ExitPoint> curve_from(const Json& json) {
  std::vector<ExitPoint> points;
  for (const Json& p : json) {
    points.push_back({p.at("target").get<double>(), p.at("threshold").get<double>(),
                      p.at("mean_loops").get<double>(), estimate_from(p.at("nll")),
                      estimate_from(p.at("accuracy")), estimate_from(p.at("nll_gain")),
                      estimate_from(p.at("accuracy_gain"))});
  }
  return points;
}

}  // namespace looplm
