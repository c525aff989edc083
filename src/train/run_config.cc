#include "train/run_config.h"

#include <algorithm>
#include <array>
#include <optional>
#include <set>

#include <fmt/format.h>
#include <toml++/toml.h>

#include "base/check.h"
#include "base/file.h"
#include "train/run_config_keys.h"
#include "train/toml_reader.h"

namespace looplm {
namespace {

template <typename T, size_t kCount>
void read_named(TomlReader& table, const char* key, T& value, const NameTable<T, kCount>& names) {
  if (!table.has(key)) {
    table.node(key);
    return;
  }
  std::string text;
  table.read(key, text);
  const Result<T> named = value_named(names, text);
  if (named.ok()) {
    value = named.value();
  } else {
    table.fail(fmt::format("{} is {}", table.full_name(key), named.status().message()));
  }
}

// Walks the keys and takes from a TOML table what it has of them.
class Reader {
 public:
  Reader(const toml::table& root, Status& status) : top_(&root, "", status) {}

  void table(const char* key) {
    finish_table();
    has_table_ = top_.has(key);
    table_.emplace(top_.child(key));
  }
  template <typename T>
  void value(const char* key, T& value) {
    table_->read(key, value);
  }
  template <typename T, typename Least, typename Most>
  void value(const char* key, T& value, Least least, Most most) {
    table_->read(key, value, least, most);
  }
  void derived(const char* key, int64_t& value, int64_t least, int64_t most) {
    table_->read(key, value, least, most);
  }
  template <typename T, size_t kCount>
  void name(const char* key, T& value, const NameTable<T, kCount>& names) {
    read_named(*table_, key, value, names);
  }
  void shape(RunConfig::Model& model);
  void adapter(AdapterSettings& settings);
  void sources(const char* key, std::vector<RunConfig::DataSource>& sources);
  void finish() {
    finish_table();
    top_.finish();
  }

 private:
  void finish_table() {
    if (table_) table_->finish();
  }

  TomlReader top_;
  std::optional<TomlReader> table_;
  bool has_table_ = false;  // false: table_ is empty, since the file has none of its name
};

// Finds the first key of a fresh model's shape that a table has.
struct ShapeKeyFinder {
  const TomlReader& table;
  std::string found{};

  template <typename T, typename... More>
  void value(const char* key, const T&, const More&...) {
    if (found.empty() && table.has(key)) found = key;
  }
  template <typename... More>
  void derived(const char* key, const More&... more) {
    value(key, more...);
  }
  template <typename... More>
  void name(const char* key, const More&... more) {
    value(key, more...);
  }
};

// Sizes of a fresh model: all of them, or changes to a preset's.
void Reader::shape(RunConfig::Model& model) {
  std::string preset;
  table_->read("preset", preset);
  if (!model.from.empty()) {
    if (!preset.empty()) {
      table_->fail("model.from and model.preset are both given; expected one of them");
    }
    ShapeKeyFinder finder{*table_};
    walk_model_shape(finder, model.config);
    if (!finder.found.empty()) {
      table_->fail(
          fmt::format("{} is not a known key beside model.from, which gives the model's shape",
                      table_->full_name(finder.found)));
    }
    return;
  }
  ModelConfig& c = model.config;
  if (!preset.empty()) {
    Result<ModelConfig> named = model_preset(preset);
    if (!named.ok()) return table_->fail("model.preset: " + named.status().message());
    c = std::move(named).value();
    c.dtype = ModelConfig().dtype;  // compute.save_dtype says how it is saved
  } else {
    constexpr std::array kSizes = {"vocab_size", "hidden_size", "layers", "heads",
                                   "intermediate_size"};
    if (std::ranges::none_of(kSizes, [&](const char* key) { return table_->has(key); })) {
      table_->fail(
          "model.from is missing; expected a model to start from, or model.preset or sizes of a "
          "fresh one");
    }
    for (const char* key : kSizes) table_->require(key);
  }
  if (table_->has("heads") || table_->has("hidden_size")) c.kv_heads = c.head_dim = 0;
  walk_model_shape(*this, c);
  if (c.kv_heads == 0) c.kv_heads = c.heads;
  if (c.head_dim == 0 && c.heads > 0) c.head_dim = c.hidden_size / c.heads;
  if (c.max_positions == 0) c.max_positions = 2048;
  if (table_->has("eos_token_id") && !c.eos_token_ids.empty()) {
    if (!table_->has("bos_token_id")) c.bos_token_id = c.eos_token_ids.front();
    if (!table_->has("pad_token_id")) c.pad_token_id = c.eos_token_ids.front();
  }
}

void Reader::adapter(AdapterSettings& settings) {
  if (!has_table_) return;
  table_->require("rank");
  walk_adapter(*this, settings);
  const Status targets = check_targets(settings.targets);
  if (!targets.ok()) table_->fail(fmt::format("lora.targets: {}", targets.message()));
}

void Reader::sources(const char* key, std::vector<RunConfig::DataSource>& sources) {
  const toml::node* const found = table_->node(key);
  if (found == nullptr) return;
  const auto wrong = [&] {
    table_->fail(table_->full_name(key) +
                 " must be a path, or a list of paths or { path, weight }");
  };
  if (const auto* only = found->as_string()) return sources.push_back({only->get(), 1});
  const toml::array* const list = found->as_array();
  if (list == nullptr || list->empty()) return wrong();
  for (const toml::node& item : *list) {
    RunConfig::DataSource source;
    if (const auto* path = item.as_string()) {
      source.path = path->get();
    } else if (const auto* of = item.as_table()) {
      Status status;
      TomlReader entry(of, table_->full_name(key), status);
      entry.require("path");
      entry.read("path", source.path);
      entry.read("weight", source.weight, 1e-9, 1e9);
      entry.finish();
      if (!status.ok()) table_->fail(status.message());
    } else {
      return wrong();
    }
    sources.push_back(std::move(source));
  }
}

// Walks the keys and takes those that are named from one table.
class Picker {
 public:
  Picker(TomlReader& from, const std::vector<std::string>& names)
      : from_(from), names_(names.begin(), names.end()) {}

  void table(const char* key) { table_ = key; }
  template <typename T, typename... Range>
  void value(const char* key, T& value, Range... range) {
    if (wanted(key)) from_.read(key, value, range...);
  }
  void derived(const char* key, int64_t& value, int64_t least, int64_t most) {
    this->value(key, value, least, most);
  }
  template <typename T, size_t kCount>
  void name(const char* key, T& value, const NameTable<T, kCount>& names) {
    if (wanted(key)) read_named(from_, key, value, names);
  }
  void shape(RunConfig::Model& model) { walk_model_shape(*this, model.config); }
  void adapter(AdapterSettings&) {}  // studies train all parameters
  void sources(const char*, std::vector<RunConfig::DataSource>&) {}
  void finish() const { LOOPLM_CHECK(names_.empty(), "run files have no key {}", *names_.begin()); }

 private:
  bool wanted(const char* key) { return names_.erase(table_ + "." + key) > 0; }

  TomlReader& from_;
  std::set<std::string> names_;
  std::string table_;
};

// Where a value is allowed by itself but not beside another.
Status check_together(const RunConfig& c) {
  if (c.schedule.final > c.schedule.peak) {
    return invalid_argument(
        fmt::format("schedule.final_learning_rate is {}; expected at most "
                    "optimizer.learning_rate, {}",
                    c.schedule.final, c.schedule.peak));
  }
  const int64_t shaped = c.schedule.warmup_steps + c.schedule.decay_steps;
  if (shaped > c.run.steps) {
    return invalid_argument(fmt::format(
        "schedule.warmup and schedule.decay take {} steps; run.steps is {}", shaped, c.run.steps));
  }
  if (c.batch.sequences > kMostStepTokens / c.data.sequence_length / c.batch.accumulate) {
    return invalid_argument(fmt::format(
        "batch.sequences is {}, batch.accumulate {} and data.sequence_length {}; expected a step "
        "of at most {} tokens",
        c.batch.sequences, c.batch.accumulate, c.data.sequence_length, kMostStepTokens));
  }
  if ((c.run.patience > 0 || c.run.keep_best) &&
      (c.data.validation.empty() || c.run.validate_every == 0)) {
    return invalid_argument(
        fmt::format("{}, which looks at the validation loss; expected data.validation and "
                    "run.validate_every beside it",
                    c.run.patience > 0 ? fmt::format("run.patience is {}", c.run.patience)
                                       : "run.keep_best is true"));
  }
  if (c.objective.teacher == Teacher::kFile && c.objective.kind != ObjectiveKind::kDistil) {
    return invalid_argument(fmt::format(
        "objective.teacher is file, and objective.kind is {}; expected distil, which alone has a "
        "teacher",
        name_of(kObjectiveNames, c.objective.kind)));
  }
  return c.model.from.empty() ? validate(c.model.config).with_context("model") : Status();
}

Result<RunConfig> read_keys(const toml::table& root, const std::vector<const char*>& required) {
  RunConfig config;
  Status status;
  Reader reader(root, status);
  walk_run_config(reader, config);
  reader.finish();
  LOOPLM_RETURN_IF_ERROR(status);
  const toml::table* const run = root["run"].as_table();
  for (const char* key : required) {
    if (run != nullptr && run->contains(key)) continue;
    return invalid_argument(fmt::format("run.{} is missing", key));
  }
  LOOPLM_RETURN_IF_ERROR(check_together(config));
  // Two words for one thing.
  if (config.compute.dtype == DType::kF32) config.compute.attention = AttentionProducts::kDType;
  return config;
}

Result<RunConfig> with_context(Result<RunConfig> result, const std::string& what) {
  return result.ok() ? std::move(result) : result.status().with_context(what);
}

}  // namespace

Result<RunConfig> parse_run_config(const std::string& toml_text, const std::string& what,
                                   const std::vector<std::string>& overrides) {
  LOOPLM_ASSIGN_OR_RETURN(toml::table root, parse_toml(toml_text, what));
  for (const std::string& text : overrides) {
    LOOPLM_RETURN_IF_ERROR(apply_toml_override(root, text));
  }
  return with_context(read_keys(root, {"out", "steps"}), what);
}

Result<RunConfig> read_run_config(const std::string& path,
                                  const std::vector<std::string>& overrides) {
  LOOPLM_ASSIGN_OR_RETURN(const std::string text, read_text_file(path));
  return parse_run_config(text, path, overrides);
}

Result<RunConfig> parse_written_run_config(const std::string& toml_text, const std::string& what) {
  LOOPLM_ASSIGN_OR_RETURN(const toml::table root, parse_toml(toml_text, what));
  Result<RunConfig> config = with_context(read_keys(root, {"steps"}), what);
  // Before there was this key, attention multiplied in fp32.
  if (config.ok() && config->compute.dtype != DType::kF32 && !root["compute"]["attention"]) {
    config->compute.attention = AttentionProducts::kF32;
  }
  return config;
}

void read_run_keys(TomlReader& table, RunConfig& config, const std::vector<std::string>& names) {
  Picker picker(table, names);
  walk_run_config(picker, config);
  picker.finish();
}

Result<RunConfig> complete_run_config(const RunConfig& config) {
  return parse_written_run_config(write_run_config(config), "run configuration");
}

}  // namespace looplm
