#include "train/train_log.h"

#include <cmath>

#include <fmt/format.h>

#include "base/file.h"
#include "base/json.h"

namespace looplm {
namespace {

// NaN stands for "not computed" and is null in JSON.
OrderedJson numbers(const std::vector<double>& values) {
  OrderedJson list = OrderedJson::array();
  for (double value : values) {
    if (std::isnan(value)) {
      list.push_back(nullptr);
    } else {
      list.push_back(value);
    }
  }
  return list;
}

// The lines of `text` that belong to the first `step` steps.
std::string lines_up_to(const std::string& text, int64_t step) {
  std::string kept;
  size_t begin = 0;
  while (begin < text.size()) {
    const size_t end = text.find('\n', begin);
    if (end == std::string::npos) break;  // a line that was cut off
    const std::string line = text.substr(begin, end - begin + 1);
    begin = end + 1;
    const Result<Json> json = parse_json(line, "log");
    if (!json.ok() || !json.value().is_object()) continue;
    const Result<int64_t> of = json_int(json.value(), "step", INT64_MAX, 0, INT64_MAX);
    if (of.ok() && of.value() <= step) kept += line;
  }
  return kept;
}

}  // namespace

Result<TrainLog> TrainLog::open(const std::string& path, int64_t step) {
  if (step > 0 && file_exists(path)) {
    LOOPLM_ASSIGN_OR_RETURN(const std::string text, read_text_file(path));
    LOOPLM_RETURN_IF_ERROR(write_text_file(path, lines_up_to(text, step)));
  } else {
    LOOPLM_RETURN_IF_ERROR(write_text_file(path, ""));
  }
  std::ofstream file(path, std::ios::app);
  if (!file) return io_error(fmt::format("cannot open '{}' for writing", path));
  return TrainLog(path, std::move(file));
}

Status TrainLog::write_line(const std::string& line) {
  file_ << line << '\n' << std::flush;
  if (!file_) return io_error(fmt::format("cannot write to '{}': is the disk full?", path_));
  return {};
}

Status TrainLog::write(const StepReport& r) {
  OrderedJson json;
  json["step"] = r.step;
  json["targets"] = r.targets;
  json["loss"] = r.loss;
  if (!std::isnan(r.margin)) {
    json["margin"] = r.margin;
    json["preferred"] = r.preferred;
  }
  json["nll"] = numbers(r.nll);
  json["mean_exit"] = r.mean_exit;
  json["exit_entropy"] = r.exit_entropy;
  json["gradient_norm"] = r.gradient_norm;
  json["learning_rate"] = r.learning_rate;
  json["seconds"] = r.seconds;
  json["tokens_per_second"] = r.tokens_per_second;
  json["peak_share"] = r.peak_share;
  return write_line(dump_json(json));
}

Status TrainLog::write(const ValidationReport& r) {
  OrderedJson json;
  json["step"] = r.step;
  json["validation"] = true;
  json["set"] = r.set;
  json["tokens"] = r.tokens;
  json["loss"] = r.loss;
  if (!std::isnan(r.margin)) {
    json["margin"] = r.margin;
    json["preferred"] = r.preferred;
  }
  json["nll"] = numbers(r.nll);
  json["accuracy"] = numbers(r.accuracy);
  json["exit"] = numbers(r.exit);
  if (!r.agreement.empty()) {
    json["agreement"] = numbers(r.agreement);
    json["unmapped_agreement"] = numbers(r.unmapped_agreement);
  }
  json["mean_exit"] = r.mean_exit;
  json["exit_entropy"] = r.exit_entropy;
  return write_line(dump_json(json));
}

}  // namespace looplm
