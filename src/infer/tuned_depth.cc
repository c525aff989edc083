#include "infer/tuned_depth.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/count_text.h"
#include "base/directory.h"
#include "base/file.h"
#include "base/gguf_name.h"
#include "base/json.h"
#include "infer/exit_rule.h"

namespace looplm {
namespace {

Result<TunedDepth> read_tuning(const Json& json, const ModelConfig& config) {
  if (!json.is_object()) return invalid_argument("expected objects in 'tuned'");
  TunedDepth t;
  const double most = static_cast<double>(config.loops);
  LOOPLM_ASSIGN_OR_RETURN(t.task, json_string(json, "task", ""));
  LOOPLM_ASSIGN_OR_RETURN(t.metric, json_string(json, "metric", ""));
  LOOPLM_ASSIGN_OR_RETURN(const std::string rule, json_string(json, "exit", ""));
  LOOPLM_ASSIGN_OR_RETURN(t.kind, exit_kind_from_name(rule));
  LOOPLM_ASSIGN_OR_RETURN(t.loops, json_int(json, "loops", 0, 1, kMaxLoops));
  if (t.loops != config.loops) {
    return invalid_argument(fmt::format("'{}' was tuned for {}; the model has {}", t.task,
                                        count_text(t.loops, "loop"), config.loops));
  }
  LOOPLM_ASSIGN_OR_RETURN(t.threshold, json_number(json, "threshold", -1, 0, 1e9));
  LOOPLM_RETURN_IF_ERROR(make_exit_rule(t.exit(), config.exit_gate).status());
  LOOPLM_ASSIGN_OR_RETURN(t.mean_loops, json_number(json, "mean_loops", -1, 1, most));
  LOOPLM_ASSIGN_OR_RETURN(t.allowed, json_number(json, "allowed_loss", 0, 0, 1e9));
  LOOPLM_ASSIGN_OR_RETURN(t.loss, json_number(json, "loss", 0, -1e9, 1e9));
  LOOPLM_ASSIGN_OR_RETURN(t.loss_low, json_number(json, "loss_low", 0, -1e9, 1e9));
  LOOPLM_ASSIGN_OR_RETURN(t.loss_high, json_number(json, "loss_high", 0, -1e9, 1e9));
  const auto curve = json.find("curve");
  if (curve == json.end() || !curve->is_array() || curve->empty()) {
    return invalid_argument("'curve' is not a list of points");
  }
  for (const Json& entry : *curve) {
    if (!entry.is_object()) return invalid_argument("'curve' holds something other than objects");
    TunedDepth::Point point;
    LOOPLM_ASSIGN_OR_RETURN(point.threshold, json_number(entry, "threshold", -1, 0, 1e9));
    LOOPLM_ASSIGN_OR_RETURN(point.mean_loops, json_number(entry, "mean_loops", -1, 1, most));
    if (!t.curve.empty() && point.mean_loops <= t.curve.back().mean_loops) {
      return invalid_argument("the mean depths of 'curve' do not rise");
    }
    t.curve.push_back(point);
  }
  return t;
}

OrderedJson tuning_json(const TunedDepth& t) {
  OrderedJson json = {{"task", t.task},
                      {"exit", exit_kind_name(t.kind)},
                      {"threshold", t.threshold},
                      {"loops", t.loops},
                      {"mean_loops", t.mean_loops},
                      {"metric", t.metric},
                      {"allowed_loss", t.allowed},
                      {"loss", t.loss},
                      {"loss_low", t.loss_low},
                      {"loss_high", t.loss_high}};
  json["curve"] = OrderedJson::array();
  for (const TunedDepth::Point& point : t.curve) {
    json["curve"].push_back({{"threshold", point.threshold}, {"mean_loops", point.mean_loops}});
  }
  return json;
}

}  // namespace

Result<ExitOptions> TunedDepth::exit_at(double mean) const {
  if (!(mean >= curve.front().mean_loops && mean <= curve.back().mean_loops)) {
    return invalid_argument(
        fmt::format("a mean depth of {:g} loops; '{}' was measured from {:.2f} to {:.2f}", mean,
                    task, curve.front().mean_loops, curve.back().mean_loops));
  }
  const auto above = std::find_if(curve.begin(), curve.end(),
                                  [&](const Point& point) { return point.mean_loops >= mean; });
  double chosen = above->threshold;
  if (above != curve.begin()) {
    const Point& below = *(above - 1);
    const double share = (mean - below.mean_loops) / (above->mean_loops - below.mean_loops);
    chosen = below.threshold + share * (above->threshold - below.threshold);
  }
  return ExitOptions{.kind = kind, .threshold = chosen};
}

std::string tuned_depth_file(const std::string& model_path) {
  if (is_gguf_model(model_path)) return gguf_depth_file(model_path);
  return model_path + "/looplm-depth.json";
}

Result<std::vector<TunedDepth>> read_tuned_depths(const std::string& model_path,
                                                  const ModelConfig& config) {
  const std::string path = tuned_depth_file(model_path);
  std::vector<TunedDepth> all;
  if (!name_exists(path)) return all;
  LOOPLM_ASSIGN_OR_RETURN(const Json json, read_json_file(path));
  const auto list = json.is_object() ? json.find("tuned") : json.end();
  if (list == json.end() || !list->is_array()) {
    return invalid_argument(path + ": expected an object with the list 'tuned'");
  }
  for (const Json& entry : *list) {
    Result<TunedDepth> tuned = read_tuning(entry, config);
    if (!tuned.ok()) return tuned.status().with_context(path);
    all.push_back(std::move(*tuned));
  }
  return all;
}

Status add_tuned_depth(const std::string& model_path, const ModelConfig& config,
                       const TunedDepth& tuned) {
  LOOPLM_ASSIGN_OR_RETURN(const std::vector<TunedDepth> old, read_tuned_depths(model_path, config));
  OrderedJson list = OrderedJson::array({tuning_json(tuned)});
  for (const TunedDepth& t : old) {
    if (t.task != tuned.task) list.push_back(tuning_json(t));
  }
  return write_text_file(tuned_depth_file(model_path),
                         dump_json(OrderedJson{{"tuned", list}}, 1) + "\n");
}

}  // namespace looplm
