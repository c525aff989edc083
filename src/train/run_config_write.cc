// Run configurations as text, and what differs between two.
#include <algorithm>
#include <array>
#include <sstream>
#include <string_view>

#include <fmt/format.h>
#include <toml++/toml.h>

#include "text/utf8.h"
#include "train/run_config.h"
#include "train/run_config_keys.h"

namespace looplm {
namespace {

std::string toml_text(bool value) { return value ? "true" : "false"; }
template <typename T>
std::string toml_text(T value) requires std::is_arithmetic_v<T> {
  return fmt::format("{}", value);
}
std::string toml_text(const std::string& value) {
  // Not as toml++ would write it, in which each byte becomes a character: the reader refuses this.
  if (!is_utf8(value)) return "\"" + value + "\"";
  std::ostringstream out;
  const toml::value<std::string> node(value);
  out << toml::toml_formatter(node, toml::format_flags::none);
  return out.str();
}
template <typename T>
std::string toml_text(const std::vector<T>& values) {
  std::string text;
  for (const T& value : values) text += (text.empty() ? "" : ", ") + toml_text(value);
  return "[" + text + "]";
}

// Walks the keys and collects their values as TOML.
class Writer {
 public:
  struct Entry {
    std::string table;
    std::string key;
    std::string text;
    std::string full_name() const { return table + "." + key; }
  };

  void table(const char* key) { table_ = key; }
  template <typename T, typename... Range>
  void value(const char* key, const T& value, Range...) {
    if constexpr (requires { value.empty(); }) {
      if (value.empty()) return;  // which a file says by leaving the key out
    }
    entries_.push_back({table_, key, toml_text(value)});
  }
  void derived(const char* key, int64_t value, int64_t least, int64_t most) {
    if (value != 0) this->value(key, value, least, most);
  }
  template <typename T, size_t kCount>
  void name(const char* key, T value, const NameTable<T, kCount>& names) {
    this->value(key, std::string(name_of(names, value)));
  }
  void shape(const RunConfig::Model& model) {
    if (model.from.empty()) walk_model_shape(*this, model.config);
  }
  void adapter(const AdapterSettings& settings) {
    if (settings.any()) walk_adapter(*this, settings);
  }
  void sources(const char* key, const std::vector<RunConfig::DataSource>& sources) {
    std::string text;
    for (const RunConfig::DataSource& s : sources) {
      text += text.empty() ? "" : ", ";
      text += s.weight == 1 ? toml_text(s.path)
                            : fmt::format("{{ path = {}, weight = {} }}", toml_text(s.path),
                                          toml_text(s.weight));
    }
    if (!text.empty()) entries_.push_back({table_, key, "[" + text + "]"});
  }

  const std::vector<Entry>& entries() const { return entries_; }

 private:
  std::string table_;
  std::vector<Entry> entries_;
};

std::vector<Writer::Entry> entries_of(const RunConfig& config) {
  Writer writer;
  walk_run_config(writer, config);
  return writer.entries();
}

// Keys that change no number of a run up to any step. Data is compared by its contents elsewhere,
// but for its weights.
constexpr std::array<std::string_view, 15> kFreeKeys = {"model.tokenizer",
                                                        "data.train",
                                                        "data.validation",
                                                        "run.out",
                                                        "run.steps",
                                                        "run.log_every",
                                                        "run.validate_every",
                                                        "run.validate_batches",
                                                        "run.checkpoint_every",
                                                        "run.keep",
                                                        "run.keep_best",
                                                        "run.patience",
                                                        "compute.memory",
                                                        "compute.threads",
                                                        "compute.save_dtype"};

const Writer::Entry* find(const std::vector<Writer::Entry>& entries, const std::string& name) {
  const auto found = std::find_if(entries.begin(), entries.end(),
                                  [&](const auto& entry) { return entry.full_name() == name; });
  return found == entries.end() ? nullptr : &*found;
}

}  // namespace

std::string write_run_config(const RunConfig& config) {
  std::string text;
  std::string table;
  for (const Writer::Entry& entry : entries_of(config)) {
    if (entry.table != table) {
      text += fmt::format("{}[{}]\n", text.empty() ? "" : "\n", entry.table);
      table = entry.table;
    }
    text += fmt::format("{} = {}\n", entry.key, entry.text);
  }
  return text;
}

std::vector<RunKeyDifference> run_differences(const RunConfig& before, const RunConfig& now) {
  const std::vector<Writer::Entry> a = entries_of(before), b = entries_of(now);
  std::vector<RunKeyDifference> differences;
  const auto add = [&](const std::string& key, const std::string& was, const std::string& is) {
    const bool free = std::find(kFreeKeys.begin(), kFreeKeys.end(), key) != kFreeKeys.end();
    if (!free && was != is) differences.push_back({key, was, is});
  };
  for (const Writer::Entry& entry : a) {
    const Writer::Entry* const other = find(b, entry.full_name());
    add(entry.full_name(), entry.text, other == nullptr ? "" : other->text);
  }
  for (const Writer::Entry& entry : b) {
    if (find(a, entry.full_name()) == nullptr) add(entry.full_name(), "", entry.text);
  }
  const auto weights = [](const RunConfig& config) {
    std::vector<double> values;
    for (const RunConfig::DataSource& source : config.data.train) values.push_back(source.weight);
    return toml_text(values);
  };
  add("data.train.weight", weights(before), weights(now));
  return differences;
}

}  // namespace looplm
