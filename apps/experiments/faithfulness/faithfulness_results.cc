#include <cmath>

#include "experiments/faithfulness/faithfulness_report.h"

namespace looplm {
namespace {

// JSON has no NaN: it is written as null.
std::vector<double> numbers(const Json& list) {
  std::vector<double> values;
  for (const Json& value : list) {
    values.push_back(value.is_number() ? value.get<double>() : std::nan(""));
  }
  return values;
}

}  // namespace

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
  r.task = json.at("task").get<std::string>();
  r.description = json.at("description").get<std::string>();
  r.label_name = json.at("label").get<std::string>();
  r.items = json.at("items").get<int64_t>();
  r.trained_loops = json.at("trained_loops").get<int64_t>();
  r.layers = json.at("layers").get<int64_t>();
  r.accuracy = numbers(json.at("accuracy"));
  r.label_agreement = json.at("label_agreement").get<std::vector<std::vector<double>>>();
  r.answer_agreement = json.at("answer_agreement").get<std::vector<std::vector<double>>>();
  r.label_share = numbers(json.at("label_share"));
  for (const Json& p : json.at("probes")) {
    r.probes.push_back({p.at("target_loop").get<int64_t>(), numbers(p.at("auc"))});
  }
  r.mediation = mediation_from_json(mediation);
  return r;
}

}  // namespace looplm
