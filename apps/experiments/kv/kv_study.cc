#include "experiments/kv/kv_study.h"

#include <algorithm>
#include <filesystem>

#include <fmt/format.h>

#include "experiments/core/study_model.h"
#include "experiments/core/text_task.h"
#include "experiments/core/training_plan.h"
#include "experiments/kv/kv_measure.h"
#include "experiments/kv/kv_report.h"
#include "experiments/kv/worked_sum.h"
#include "text/lines.h"
#include "train/token_shard.h"

namespace looplm {
namespace {

struct Settings {
  TrainingPlan training;  // phases are of so many lines
  double beta = 0.05;
  std::vector<int64_t> seeds = {1, 2};
  WorkedSumOptions task;
  int64_t sums = 300;  // held out, all different
  std::string model;   // read as it is, for the losses on texts
  std::string texts;   // one a line; empty: none
  int64_t resamples = 1000;
};

class KvStudy : public Study {
 public:
  std::string name() const override { return "kv"; }
  std::string question() const override {
    return "Can later tokens do with one loop's keys and values of earlier tokens, instead of "
           "every loop's?";
  }

  Status configure(TomlReader& settings) override {
    TomlReader training = settings.child("training");
    s_.training.read(training);
    training.read("beta", s_.beta, 0, 10);
    training.read("seeds", s_.seeds, 0, int64_t{1} << 40);
    training.finish();
    TomlReader task = settings.child("sums");
    task.read("modulus", s_.task.modulus, 2, 10);
    task.read("operations_per_line", s_.task.operations_per_line, 1, 100);
    task.read("min_lines", s_.task.min_lines, 1, 100);
    task.read("max_lines", s_.task.max_lines, 1, 100);
    task.read("examples", s_.sums, 1, 1 << 24);
    task.finish();
    TomlReader texts = settings.child("texts");
    texts.read("model", s_.model);
    texts.read("file", s_.texts);
    if (s_.model.empty() != s_.texts.empty()) texts.fail("texts: expected both model and file");
    texts.finish();
    settings.read("resamples", s_.resamples, 0, 1 << 20);
    if (s_.seeds.empty()) settings.fail("training.seeds: expected one seed at least");
    return check(s_.task);
  }

  std::vector<Cell> cells() const override {
    std::vector<Cell> all;
    for (const int64_t seed : s_.seeds) {
      const std::string trained = fmt::format("train-{}", seed);
      all.push_back(
          {trained, 20, {}, [this, seed](const CellContext& c) { return train(c, seed); }});
      for (const KvCondition& condition : kv_conditions()) {
        all.push_back({fmt::format("sums-{}-{}", condition.id(), seed),
                       2,
                       {trained},
                       [this, condition, trained](const CellContext& c) {
                         return measure_sums(c, condition, trained);
                       }});
      }
    }
    for (const KvCondition& condition : kv_conditions()) {
      if (s_.texts.empty()) break;
      all.push_back({"texts-" + condition.id(), 1, {}, [this, condition](const CellContext& c) {
                       return measure_texts(c, condition);
                     }});
    }
    return all;
  }

  Result<StudyReport> report(const CellResults& results) const override {
    return kv_report(results, s_.seeds, s_.resamples);
  }

 private:
  TaskGenerator generator(ArithmeticSplit split, int min_lines, int max_lines,
                          uint64_t seed) const {
    WorkedSumOptions o = s_.task;
    o.split = split;
    o.min_lines = min_lines;
    o.max_lines = max_lines;
    o.seed = seed;
    return [o](uint64_t index) {
      const WorkedSum sum = worked_sum(o, index);
      return TaskExample{sum.prompt, sum.work, {{"lines", sum.lines}}};
    };
  }

  Result<OrderedJson> train(const CellContext& context, int64_t seed) const {
    LOOPLM_ASSIGN_OR_RETURN(const TaskText text,
                            TaskText::of_model(s_.training.start, kWorkedSumAlphabet));
    PhaseRun run;
    run.vocab_size = text.vocab_size();
    run.objective = fmt::format("kind = \"stage1\"\nbeta = {}", s_.beta);
    run.seed = static_cast<uint64_t>(seed);
    LOOPLM_ASSIGN_OR_RETURN(
        const TrainedModel model,
        train_phases(
            context, s_.training, run,
            [&](const TrainingPhase& phase, size_t index) -> std::shared_ptr<DocumentStream> {
              const uint64_t stream = static_cast<uint64_t>(seed) * 100 + index;
              return std::make_shared<TaskStream>(
                  generator(ArithmeticSplit::kTrain, 1, phase.longest, stream), text,
                  fmt::format("worked sums {} {} {} {}", s_.task.modulus,
                              s_.task.operations_per_line, phase.longest, stream));
            },
            0, 1));
    OrderedJson json;
    json["parameters"] = model.parameters;
    json["model"] = std::filesystem::relative(model.directory, context.directory).string();
    return json;
  }

  Result<OrderedJson> measure_sums(const CellContext& context, const KvCondition& condition,
                                   const std::string& trained) const {
    const std::string directory = context.needed_directories.at(trained) + "/" +
                                  context.needed.at(trained).at("model").get<std::string>();
    const ModelOptions options = study_model_options(context.threads);
    LOOPLM_ASSIGN_OR_RETURN(const std::unique_ptr<Model> model, Model::load(directory, options));
    LOOPLM_ASSIGN_OR_RETURN(const TaskText text, TaskText::of_model(directory, kWorkedSumAlphabet));
    const TaskGenerator sums =
        generator(ArithmeticSplit::kHeldOut, s_.task.min_lines, s_.task.max_lines, 1);
    std::vector<KvText> texts;
    for (const TaskExample& example :
         different_examples(sums, s_.sums, "lines", s_.task.max_lines - s_.task.min_lines + 1)) {
      texts.push_back({text.encode(example.prompt, EncodeAs::kPrompt),
                       text.encode(example.completion, EncodeAs::kContinuation)});
    }
    const KvProgress progress = [&](double share) {
      if (context.progress) context.progress(share, "working sums, " + condition.name());
      return !context.stopped();
    };
    LOOPLM_ASSIGN_OR_RETURN(const KvAnswers answers,
                            kv_answers(*model, texts, condition, progress));
    OrderedJson json;
    std::string exact, answer;   // of each example, 1 or 0
    std::vector<double> before;  // of each, the share of tokens before the first wrong one
    for (size_t i = 0; i < texts.size(); ++i) {
      exact += answers.ids[i] == texts[i].rest ? '1' : '0';
      const auto first_wrong = std::mismatch(texts[i].rest.begin(), texts[i].rest.end(),
                                             answers.ids[i].begin(), answers.ids[i].end())
                                   .first;
      before.push_back(static_cast<double>(first_wrong - texts[i].rest.begin()) /
                       static_cast<double>(texts[i].rest.size()));
      answer += answers.ids[i].back() == texts[i].rest.back() ? '1' : '0';
    }
    json["exact"] = exact;
    json["answer"] = answer;
    json["before_mistake"] = before;
    json["bytes_per_position_in_pages"] = answers.bytes_per_position;
    json["bytes_per_position"] = kv_bytes_per_position(model->config(), condition.kv, options.kv);
    return json;
  }

  Result<OrderedJson> measure_texts(const CellContext& context,
                                    const KvCondition& condition) const {
    const ModelOptions options = study_model_options(context.threads);
    LOOPLM_ASSIGN_OR_RETURN(const std::unique_ptr<Model> model, Model::load(s_.model, options));
    if (model->tokenizer() == nullptr) {
      return invalid_argument(fmt::format("model '{}' has no tokenizer.json", s_.model));
    }
    LOOPLM_ASSIGN_OR_RETURN(const std::vector<std::string> lines, read_lines(s_.texts));
    std::vector<KvText> texts;
    std::vector<int64_t> tokens;
    for (const std::string& line : lines) {
      LOOPLM_ASSIGN_OR_RETURN(std::vector<int32_t> ids, model->tokenizer()->encode(line));
      const auto most = static_cast<size_t>(model->config().max_positions);
      ids.resize(std::min(ids.size(), most));
      if (ids.size() < 2) continue;
      const auto middle = ids.begin() + static_cast<ptrdiff_t>(ids.size() / 2);
      texts.push_back({{ids.begin(), middle}, {middle, ids.end()}});
      tokens.push_back(ids.end() - middle);
    }
    if (texts.empty()) {
      return invalid_argument(
          fmt::format("texts file '{}' has no line of two tokens or more", s_.texts));
    }
    const KvProgress progress = [&](double share) {
      if (context.progress) context.progress(share, "reading texts, " + condition.name());
      return !context.stopped();
    };
    LOOPLM_ASSIGN_OR_RETURN(const std::vector<double> losses,
                            kv_losses(*model, texts, condition, progress));
    OrderedJson json;
    json["nats"] = losses;
    json["tokens"] = tokens;
    json["bytes_per_position"] = kv_bytes_per_position(model->config(), condition.kv, options.kv);
    return json;
  }

  Settings s_;
};

}  // namespace

std::unique_ptr<Study> make_kv_study() { return std::make_unique<KvStudy>(); }

}  // namespace looplm
