#include "experiments/safety/safety_study.h"

namespace looplm {
namespace {

void add_depth(const SafetySettings& s, PromptGroup group, int64_t loops, std::vector<Cell>& all) {
  const std::string answers = answers_id(group, loops);
  all.push_back(
      {answers, 4 * static_cast<double>(loops), {}, [&s, group, loops](const CellContext& context) {
         return run_answers(s, group, loops, context);
       }});
  all.push_back({judge_id(group, loops),
                 s.judge.kind == JudgeKind::kRule ? 0.1 : 8,
                 {answers},
                 [&s, answers](const CellContext& context) {
                   return run_judge(s, context.needed.at(answers), context);
                 }});
}

std::vector<Cell> safety_cells(const SafetySettings& s) {
  std::vector<Cell> all;
  for (const int64_t loops : s.loops) add_depth(s, PromptGroup::kMain, loops, all);
  if (!s.has_states()) return all;
  // Of the first set: those whose states are measured too.
  for (const int64_t loops : s.loops) {
    if (s.judge_first && loops <= s.state_loops) add_depth(s, PromptGroup::kFirstSet, loops, all);
  }
  all.push_back(
      {kStatesId, static_cast<double>(s.state_loops), {}, [&s](const CellContext& context) {
         return run_states(s, context);
       }});
  return all;
}

}  // namespace

std::unique_ptr<Study> make_safety_study() {
  return std::make_unique<StudyOf<SafetySettings>>(
      "safety",
      "Do answers become less harmful with more loops, and do harmful and benign prompts separate?",
      read_safety_settings, safety_cells,
      [](const SafetySettings& s, const CellResults& results) -> Result<StudyReport> {
        return safety_report(s, results);
      });
}

}  // namespace looplm
