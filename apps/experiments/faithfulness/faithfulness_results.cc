#include "experiments/core/estimates.h"
#include "experiments/faithfulness/faithfulness_study.h"

namespace looplm {

OrderedJson faithfulness_json(const FaithfulnessResults& r) {
  OrderedJson json;
  json["task"] = r.task;
  json["description"] = r.description;
  json["label"] = r.label_name;
  json["items"] = r.items;
  json["trained_loops"] = r.trained_loops;
  json["layers"] = r.layers;
  json["accuracy"] = r.accuracy;
  json["label_agreement"] = r.label_agreement;
  json["answer_agreement"] = r.answer_agreement;
  json["label_share"] = r.label_share;
  json["probes"] = OrderedJson::array();
  for (const ProbeCurve& probe : r.probes) {
    OrderedJson p;
    p["target_loop"] = probe.target;
    p["auc"] = probe.auc;
    json["probes"].push_back(std::move(p));
  }
  return json;
}

FaithfulnessResults faithfulness_from_json(const Json& json, const Json& mediation) {
  FaithfulnessResults r;
  r.task = json.at("task");
  r.description = json.at("description");
  r.label_name = json.at("label");
  r.items = json.at("items");
  r.trained_loops = json.at("trained_loops");
  r.layers = json.at("layers");
  r.accuracy = numbers_or_nan(json.at("accuracy"));
  r.label_agreement = json.at("label_agreement").get<std::vector<std::vector<double>>>();
  r.answer_agreement = json.at("answer_agreement").get<std::vector<std::vector<double>>>();
  r.label_share = numbers_or_nan(json.at("label_share"));
  for (const Json& p : json.at("probes")) {
    r.probes.push_back({p.at("target_loop").get<int64_t>(), numbers_or_nan(p.at("auc"))});
  }
  r.mediation = mediation;
  return r;
}

}  // namespace looplm
