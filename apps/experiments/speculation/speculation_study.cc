#include "experiments/speculation/speculation_study.h"

namespace looplm {
namespace {

std::vector<Cell> speculation_cells(const SpeculationSettings& s) {
  std::vector<Cell> all;
  for (const SpeculationText& text : s.texts) {
    all.push_back({agreement_id(text), 1, {}, [&s, text](const CellContext& context) {
                     return run_text_agreement(s, text, context);
                   }});
  }
  for (const SpeculationSet& set : s.sets) {
    all.push_back({decoding_id(set), 4, {}, [&s, set](const CellContext& context) {
                     return run_decoding(s, set, context);
                   }});
  }
  return all;
}

}  // namespace

std::unique_ptr<Study> make_speculation_study() {
  return std::make_unique<StudyOf<SpeculationSettings>>(
      "speculation",
      "How often do early loops already say what the last one says, and how many passes does that "
      "save?",
      read_speculation_settings, speculation_cells,
      [](const SpeculationSettings& s, const CellResults& results) -> Result<StudyReport> {
        return speculation_report(s, results);
      });
}

}  // namespace looplm
