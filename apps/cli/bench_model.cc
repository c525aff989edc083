#include "cli/bench_model.h"

#include <algorithm>
#include <cstdio>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/count_text.h"
#include "base/cpu.h"
#include "base/rng.h"
#include "cli/depth_choice.h"
#include "cli/model_choice.h"
#include "common/terminal.h"
#include "eval/text_table.h"
#include "tensor/memory_plan.h"

namespace looplm::cli {

void add_format_option(Command& command, std::string& output) {
  command.add_option("--format", output, "Output: table, csv or json (an object per line)")
      ->check(one_of({"table", "csv", "json"}))
      ->capture_default_str();
}

void add_model_bench_options(Command& command, ModelBenchOptions& o) {
  add_model_argument(command, o.directory);
  command
      .add_option("--dtype", o.formats,
                  "Weight formats, measured in turns: f32, bf16, int8, int4; a list")
      ->delimiter(',')
      ->check(one_of({"f32", "bf16", "int8", "int4"}))
      ->capture_default_str();
  add_kv_type_option(command, o.kv_type);
  command.add_threads(o.threads);
  add_loops_option(command, o.loops);
  command.add_option("--rounds", o.rounds, "Measurements of each kind; medians are printed")
      ->check(range(int64_t{1}, int64_t{1000}))
      ->capture_default_str();
  add_format_option(command, o.output);
}

Result<std::vector<BenchedModel>> load_benched(const ModelBenchOptions& options) {
  LOOPLM_ASSIGN_OR_RETURN(const std::string directory, locate_model(options.directory));
  std::vector<BenchedModel> all;
  for (const std::string& format : options.formats) {
    ModelChoice choice;
    choice.dtype = format;
    choice.kv_type = options.kv_type;
    choice.threads = options.threads;
    LOOPLM_ASSIGN_OR_RETURN(std::unique_ptr<Model> model, Model::load(directory, choice.options()));
    all.push_back({format, std::move(model)});
  }
  return all;
}

DType arithmetic_of(const std::string& format) {
  if (format == "f32") return DType::kF32;
  return format == "bf16" ? DType::kBf16 : DType::kU8;
}

std::vector<int32_t> bench_ids(int64_t count, int64_t vocabulary, uint64_t seed) {
  Rng rng(seed);
  std::vector<int32_t> ids(static_cast<size_t>(count));
  for (int32_t& id : ids) {
    id = static_cast<int32_t>(rng.below(static_cast<uint32_t>(vocabulary)));
  }
  return ids;
}

std::string bench_title(const BenchedModel& benched, const ModelBenchOptions& options) {
  const ModelConfig& c = benched.model->config();
  Device& device = *benched.model->parts().device;
  return fmt::format("{}, {}, {}; {} parameters, {}, {}, keys and values {}", processor_name(),
                     count_text(device.pool().size(), "thread"), device.kernels().name,
                     c.parameter_count(), count_text(c.layers, "layer"),
                     count_text(options.loops == 0 ? c.loops : options.loops, "loop"),
                     options.kv_type);
}

void BenchTable::title(const std::string& text) const {
  if (output_ == "table") fmt::print("{}", fold_long_lines(text, terminal_width()));
}

namespace {

std::string cell(const OrderedJson& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_float()) {
    const auto x = value.get<double>();
    return std::abs(x) < 10 ? fmt::format("{:.2f}", x) : fmt::format("{:.1f}", x);
  }
  return dump_json(value);
}

}  // namespace

void BenchTable::print() const {
  if (output_ == "json") {
    for (const OrderedJson& row : rows_) fmt::print("{}\n", dump_json(row));
    return;
  }
  if (rows_.empty()) return;
  std::vector<std::string> names;
  for (const auto& item : rows_.front().items()) names.push_back(item.key());
  TableCells lines = {names};
  for (const OrderedJson& row : rows_) {
    lines.emplace_back();
    for (const std::string& name : names) {
      lines.back().push_back(row.contains(name) ? cell(row.at(name)) : "");
    }
  }
  if (output_ == "csv") {
    for (const auto& line : lines) fmt::print("{}\n", fmt::join(line, ","));
  } else {
    fmt::print("{}", text_table(lines, TableFormat::kText, terminal_width()));
  }
  std::fflush(stdout);
}

}  // namespace looplm::cli
