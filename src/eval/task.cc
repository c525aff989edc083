#include "eval/task.h"

#include <algorithm>
#include <array>
#include <set>

#include <fmt/format.h>

#include "base/file.h"
#include "eval/joined.h"
#include "eval/yaml_reader.h"

namespace looplm {
namespace {

constexpr std::array<const char*, 4> kKindNames = {"multiple_choice", "classification", "generate",
                                                   "perplexity"};
constexpr std::array<const char*, 12> kMetricNames = {
    "acc",           "acc_norm",  "acc_bytes",   "acc_norm_tokens",
    "macro_f1",      "nll",       "perplexity",  "word_perplexity",
    "bits_per_byte", "token_acc", "exact_match", "any_sample"};
constexpr int64_t kMostShots = 1000;

template <size_t n>
std::vector<std::string> names(const std::array<const char*, n>& list) {
  return {list.begin(), list.end()};
}

std::vector<TaskMetric> metrics_for(TaskKind kind) {
  using enum TaskMetric;
  switch (kind) {
    case TaskKind::kMultipleChoice:
      return {kAccuracy, kAccuracyCharacters, kAccuracyBytes, kAccuracyTokens, kChoiceNll};
    case TaskKind::kClassification:
      return {kAccuracy, kMacroF1, kChoiceNll};
    case TaskKind::kGenerate:
      return {kExactMatch, kAnySample};
    case TaskKind::kPerplexity:
      return {kChoiceNll, kPerplexity, kWordPerplexity, kBitsPerByte, kTokenAccuracy, kExactMatch};
  }
  return {};
}

std::vector<TaskMetric> default_metrics(TaskKind kind) {
  using enum TaskMetric;
  switch (kind) {
    case TaskKind::kMultipleChoice:
      return {kAccuracy, kAccuracyCharacters};
    case TaskKind::kClassification:
      return {kAccuracy, kMacroF1};
    case TaskKind::kGenerate:
      return {kExactMatch};
    case TaskKind::kPerplexity:
      return {kChoiceNll, kPerplexity, kTokenAccuracy};
  }
  return {};
}

// Reads one file's keys into a task.
class TaskParser {
 public:
  TaskParser(const YAML::Node& root, const std::string& file)
      : file_(file), root_(root, file, "", status_) {}

  Result<Task> parse() {
    task_.file = file_;
    root_.require("name");
    root_.require("kind");
    root_.require("data");
    root_.read("name", task_.name);
    root_.read("about", task_.about);
    root_.read("source", task_.source);
    size_t kind = 0;
    root_.read("kind", kind, names(kKindNames));
    task_.kind = static_cast<TaskKind>(kind);
    root_.read("data", task_.data);
    read_where();
    root_.read("category", task_.category);
    read_template(root_, "preamble", task_.preamble);
    read_template(root_, "preamble_file", task_.preamble_file);
    root_.read("preamble_after", task_.preamble_after);
    read_template(root_, "prompt", task_.prompt);
    read_template(root_, "target", task_.target);
    read_choices();
    read_answer();
    read_extract();
    read_few_shot();
    read_metrics();
    read_generation();
    read_clean();
    read_save();
    root_.read("special_tokens", task_.special_tokens);
    root_.read("window", task_.window, 2, int64_t{1} << 30);
    root_.read("overlap", task_.overlap, 0, int64_t{1} << 30);
    root_.finish();
    check();
    if (!status_.ok()) return status_;
    return std::move(task_);
  }

 private:
  bool is(TaskKind kind) const { return task_.kind == kind; }
  bool has_choices() const {
    return is(TaskKind::kMultipleChoice) || is(TaskKind::kClassification);
  }

  void read_template(YamlReader& from, const std::string& key, TextTemplate& to) {
    std::string text;
    from.read(key, text);
    if (from.has(key)) set_template(from, key, text, to);
  }
  void set_template(YamlReader& from, const std::string& key, const std::string& text,
                    TextTemplate& to) {
    Result<TextTemplate> parsed = TextTemplate::parse(text);
    if (!parsed.ok()) return from.refuse(key, parsed.status());
    to = std::move(parsed).value();
  }
  void read_templates(YamlReader& from, const std::string& key, std::vector<TextTemplate>& to) {
    std::vector<std::string> texts;
    from.read(key, texts);
    for (const std::string& text : texts) set_template(from, key, text, to.emplace_back());
  }

  void read_where() {
    const YAML::Node node = root_.node("where");
    if (!root_.has("where")) return;
    if (!node.IsSequence()) return root_.wrong("where", node, "a list of {field, is}");
    for (const YAML::Node& item : node) {
      YamlReader reader = root_.child(item, "where");
      TaskFilter& filter = task_.where.emplace_back();
      reader.require("field");
      reader.require("is");
      reader.read("field", filter.field);
      reader.read("is", filter.is);
      reader.finish();
    }
  }

  void read_choices() {
    const YAML::Node node = root_.node("choices");
    read_templates(root_, "contexts", task_.contexts);
    if (!root_.has("choices")) return;
    if (node.IsMap()) {
      YamlReader reader = root_.child(node, "choices");
      reader.require("list");
      reader.read("list", task_.choices.list);
      read_template(reader, "text", task_.choices.text);
      if (task_.choices.text.empty()) {
        task_.choices.text = TextTemplate::parse(" {{choice}}").value();
      }
      reader.finish();
      return;
    }
    read_templates(root_, "choices", task_.choices.fixed);
    if (task_.choices.fixed.size() < 2) {
      root_.wrong("choices", node, "two or more texts, or {list, text}");
    }
  }

  // Of choices {field, as, labels}; of generated text {text, extract...}.
  void read_answer() {
    const YAML::Node node = root_.node("answer");
    if (!root_.has("answer")) return;
    YamlReader reader = root_.child(node, "answer");
    if (is(TaskKind::kGenerate)) {
      reader.require("text");
      read_template(reader, "text", task_.right);
      task_.extract_right = read_extractor(reader);
    } else {
      size_t form = 0;
      reader.require("field");
      reader.read("field", task_.answer.field);
      reader.read("as", form, {"index", "one_based", "letter", "label", "text"});
      task_.answer.form = static_cast<AnswerForm>(form);
      reader.read("labels", task_.answer.labels);
      if ((task_.answer.form == AnswerForm::kLabel) != reader.has("labels")) {
        reader.fail(node,
                    "'answer.labels' names the list of labels where 'answer.as' is label, "
                    "and is expected only there");
      }
    }
    reader.finish();
  }

  // One way to find an answer, or several to try one after the other.
  Extractor read_extractor(YamlReader& reader) {
    const YAML::Node ways = reader.node("first_of");
    if (!reader.has("first_of")) return read_way(reader);
    for (const char* key : {"pattern", "take", "number", "boxed"}) {
      if (reader.has(key)) {
        reader.refuse(key, invalid_argument("given beside first_of; expected within it"));
      }
    }
    if (!ways.IsSequence() || ways.size() == 0) {
      reader.wrong("first_of", ways, "a list of {pattern or number or boxed}");
      return {};
    }
    std::vector<Extractor> extractors;
    for (const YAML::Node& way : ways) {
      YamlReader of_way = reader.child(way, "first_of");
      extractors.push_back(read_way(of_way));
      of_way.finish();
    }
    return Extractor::first_of(std::move(extractors));
  }

  Extractor read_way(YamlReader& reader) {
    std::string pattern;
    size_t take = 0, number = 0;
    bool boxed = false;
    reader.read("pattern", pattern);
    reader.read("take", take, {"first", "last"});
    reader.read("number", number, {"first", "last"});
    reader.read("boxed", boxed);
    if (reader.has("pattern") + reader.has("number") + reader.has("boxed") > 1) {
      reader.refuse("pattern", invalid_argument("expected one of pattern, number and boxed"));
    }
    if (reader.has("take") && !reader.has("pattern")) {
      reader.refuse("take", invalid_argument("expected beside a pattern"));
    }
    if (reader.has("number")) return Extractor::number(static_cast<Take>(number));
    if (boxed) return Extractor::boxed();
    if (!reader.has("pattern")) return {};
    Result<Extractor> extractor = Extractor::pattern(pattern, static_cast<Take>(take));
    if (extractor.ok()) return std::move(extractor).value();
    reader.refuse("pattern", extractor.status());
    return {};
  }

  void read_extract() {
    size_t comparison = 0;
    root_.read("compare", comparison, {"exact", "text", "number", "math"});
    task_.comparison = static_cast<Comparison>(comparison);
    const YAML::Node node = root_.node("extract");
    if (root_.has("extract")) {
      if (!node.IsSequence()) {
        return root_.wrong("extract", node,
                           "a list of {name, pattern or number or boxed or first_of}");
      }
      for (const YAML::Node& item : node) {
        YamlReader reader = root_.child(item, "extract");
        NamedExtractor& named = task_.extract.emplace_back();
        reader.require("name");
        reader.read("name", named.name);
        named.extractor = read_extractor(reader);
        reader.finish();
      }
    }
    if (task_.extract.empty() && is(TaskKind::kGenerate)) task_.extract.emplace_back();
  }

  void read_few_shot() {
    const YAML::Node node = root_.node("few_shot");
    if (!root_.has("few_shot")) return;
    YamlReader reader = root_.child(node, "few_shot");
    FewShot& f = task_.few_shot;
    size_t pick = 0;
    auto seed = static_cast<int64_t>(f.seed);
    reader.read("data", f.data);
    reader.read("count", f.count, 0, kMostShots);
    reader.read("pick", pick, {"first", "random"});
    reader.read("seed", seed, 0, INT64_MAX);
    reader.read("match", f.match);
    reader.read("separator", f.separator);
    f.random = pick == 1;
    if (reader.has("seed") && !f.random) {
      reader.refuse("seed", invalid_argument("expected beside 'pick: random' only"));
    }
    f.seed = static_cast<uint64_t>(seed);
    const YAML::Node examples = reader.node("examples");
    if (reader.has("examples")) {
      if (!examples.IsSequence()) {
        reader.wrong("examples", examples, "a list of records");
      } else {
        for (const YAML::Node& item : examples) {
          if (!item.IsMap()) {
            reader.wrong("examples", item, "a list of records");
            break;
          }
          Result<Json> example = yaml_to_json(item);
          if (!example.ok()) {
            reader.refuse("examples", example.status());
            break;
          }
          f.examples.push_back(std::move(*example));
        }
      }
      if (reader.has("data") || reader.has("pick") || reader.has("match")) {
        reader.refuse("examples",
                      invalid_argument("given beside data, pick or match, which are for examples "
                                       "from a file"));
      }
      if (!reader.has("count")) f.count = static_cast<int64_t>(f.examples.size());
      if (f.count > static_cast<int64_t>(f.examples.size())) {
        reader.refuse("count", invalid_argument(
                                   fmt::format("{} of {} examples", f.count, f.examples.size())));
      }
    } else {
      reader.require("count");
    }
    reader.finish();
  }

  void read_metrics() {
    const std::vector<TaskMetric> allowed = metrics_for(task_.kind);
    std::vector<std::string> allowed_names, given;
    for (TaskMetric m : allowed) allowed_names.emplace_back(task_metric_name(m));
    root_.read("metrics", given);
    if (root_.has("metrics") && given.empty()) {
      return root_.refuse("metrics", invalid_argument(fmt::format("names none; expected some of {}",
                                                                  joined(allowed_names))));
    }
    for (const std::string& name : given) {
      const auto at = std::find(allowed_names.begin(), allowed_names.end(), name);
      if (at == allowed_names.end()) {
        return root_.refuse("metrics", invalid_argument(fmt::format(
                                           "'{}' is not a metric of a {} task; expected {}", name,
                                           task_kind_name(task_.kind), joined(allowed_names))));
      }
      task_.metrics.push_back(allowed[static_cast<size_t>(at - allowed_names.begin())]);
    }
    if (std::set(task_.metrics.begin(), task_.metrics.end()).size() != task_.metrics.size()) {
      root_.refuse("metrics", invalid_argument("the same metric twice"));
    }
    if (!root_.has("metrics")) task_.metrics = default_metrics(task_.kind);
  }

  void read_generation() {
    const YAML::Node node = root_.node("generation");
    if (!root_.has("generation")) return;
    YamlReader reader = root_.child(node, "generation");
    TaskGeneration& g = task_.generation;
    auto seed = static_cast<int64_t>(g.sampling.seed);
    reader.read("max_tokens", g.max_tokens, 1, int64_t{1} << 30);
    reader.read("stop", g.stop);
    reader.read("temperature", g.sampling.temperature, 0, 100);
    reader.read("top_p", g.sampling.top_p, 1e-9, 1);
    reader.read("top_k", g.sampling.top_k, 0, int64_t{1} << 30);
    reader.read("min_p", g.sampling.min_p, 0, 1);
    reader.read("seed", seed, 0, INT64_MAX);
    reader.read("samples", g.samples, 1, 100000);
    g.sampling.seed = static_cast<uint64_t>(seed);
    reader.finish();
  }

  void read_clean() {
    const YAML::Node node = root_.node("clean");
    if (!root_.has("clean")) return;
    if (!node.IsSequence()) return root_.wrong("clean", node, "a list of {pattern, with}");
    for (const YAML::Node& item : node) {
      YamlReader reader = root_.child(item, "clean");
      std::string pattern, with;
      reader.require("pattern");
      reader.read("pattern", pattern);
      reader.read("with", with);
      reader.finish();
      Result<Regex> regex = Regex::compile(pattern);
      if (!regex.ok()) return reader.refuse("pattern", regex.status());
      task_.clean.push_back({std::move(regex).value(), with});
    }
  }

  void read_save() {
    const YAML::Node node = root_.node("save");
    if (!root_.has("save")) return;
    YamlReader reader = root_.child(node, "save");
    if (!node.IsMap()) return;
    for (const auto& entry : node) {
      if (!entry.first.IsScalar()) continue;
      read_template(reader, entry.first.Scalar(), task_.save[entry.first.Scalar()]);
    }
  }

  // What must stand together.
  void check() {
    if (task_.data.empty()) root_.refuse("data", invalid_argument("expected a file"));
    const auto only_for = [&](const char* key, bool allowed) {
      if (root_.has(key) && !allowed) {
        root_.refuse(key, invalid_argument(fmt::format("is not for tasks of kind {}",
                                                       task_kind_name(task_.kind))));
      }
    };
    const bool generates = is(TaskKind::kGenerate);
    only_for("choices", has_choices());
    only_for("contexts", is(TaskKind::kMultipleChoice));
    only_for("answer", !is(TaskKind::kPerplexity));
    for (const char* key : {"extract", "compare", "generation", "save"}) only_for(key, generates);
    for (const char* key : {"window", "overlap"}) only_for(key, is(TaskKind::kPerplexity));
    if (has_choices()) {
      root_.require("answer");
      if (task_.contexts.empty()) {
        root_.require("prompt");
        root_.require("choices");
        only_for("target", false);
      } else {
        root_.require("target");
        if (root_.has("choices") || root_.has("prompt")) {
          root_.refuse("contexts", invalid_argument("given beside 'prompt' or 'choices', which it "
                                                    "stands for"));
        }
        if (task_.contexts.size() < 2) {
          root_.refuse("contexts", invalid_argument("expected two or more texts"));
        }
      }
    }
    if (is(TaskKind::kClassification) && !task_.choices.list.empty()) {
      root_.refuse("choices", invalid_argument("expected the classes as a list of texts"));
    }
    if (generates) {
      root_.require("prompt");
      if (!root_.has("save")) root_.require("answer");
      if (task_.few_shot.count > 0) root_.require("target");
      if (!root_.has("answer")) task_.metrics.clear();
      std::set<std::string> names;
      for (const NamedExtractor& e : task_.extract) {
        if (!names.insert(e.name).second) {
          root_.refuse("extract", invalid_argument(fmt::format("'{}' is given twice", e.name)));
        }
      }
    }
    if (is(TaskKind::kPerplexity)) {
      root_.require("target");
      if (task_.window > 0 && task_.overlap >= task_.window) {
        root_.refuse("overlap", invalid_argument(fmt::format("{}; expected less than the window, "
                                                             "which is {}",
                                                             task_.overlap, task_.window)));
      }
    }
  }

  std::string file_;
  Status status_;
  YamlReader root_;
  Task task_;
};

}  // namespace

const char* task_kind_name(TaskKind kind) { return kKindNames[static_cast<size_t>(kind)]; }
const char* task_metric_name(TaskMetric metric) {
  return kMetricNames[static_cast<size_t>(metric)];
}

Result<Task> parse_task(const std::string& text, const std::string& file) {
  LOOPLM_ASSIGN_OR_RETURN(const YAML::Node root, parse_yaml(text, file));
  return TaskParser(root, file).parse();
}

Result<Task> read_task(const std::string& path) {
  LOOPLM_ASSIGN_OR_RETURN(const std::string text, read_text_file(path));
  return parse_task(text, path);
}

}  // namespace looplm
