#include "experiments/safety/safety_study.h"

#include "experiments/safety/safety_cells.h"
#include "experiments/safety/safety_report.h"

namespace looplm {
namespace {

class SafetyStudy : public Study {
 public:
  std::string name() const override { return "safety"; }
  std::string question() const override {
    return "Do answers become less harmful with more loops, and do harmful and benign prompts "
           "separate?";
  }

  Status configure(TomlReader& settings) override {
    settings_ = read_safety_settings(settings);
    return {};
  }

  std::vector<Cell> cells() const override {
    std::vector<Cell> all;
    add_depths(PromptGroup::kMain, settings_.loops, all);
    if (settings_.has_states()) {
      if (settings_.judge_first) add_depths(PromptGroup::kFirstSet, judged_depths(), all);
      all.push_back(
          {kStatesId,
           static_cast<double>(settings_.state_loops),
           {},
           [this](const CellContext& context) { return run_states(settings_, context); }});
    }
    return all;
  }

  Result<StudyReport> report(const CellResults& results) const override {
    return safety_report(settings_, results);
  }

 private:
  // Of the first set: those whose states are measured too.
  std::vector<int64_t> judged_depths() const {
    std::vector<int64_t> depths;
    for (int64_t loops : settings_.loops) {
      if (loops <= settings_.state_loops) depths.push_back(loops);
    }
    return depths;
  }

  void add_depths(PromptGroup group, const std::vector<int64_t>& depths,
                  std::vector<Cell>& all) const {
    for (int64_t loops : depths) {
      const std::string answers = answers_id(group, loops);
      all.push_back({answers,
                     4 * static_cast<double>(loops),
                     {},
                     [this, group, loops](const CellContext& context) {
                       return run_answers(settings_, group, loops, context);
                     }});
      all.push_back({judge_id(group, loops),
                     settings_.judge.kind == JudgeKind::kRule ? 0.1 : 8,
                     {answers},
                     [this, answers](const CellContext& context) {
                       return run_judge(settings_, context.needed.at(answers), context);
                     }});
    }
  }

  SafetySettings settings_;
};

}  // namespace

std::unique_ptr<Study> make_safety_study() { return std::make_unique<SafetyStudy>(); }

}  // namespace looplm
