#include "experiments/speculation/speculation_study.h"

#include "experiments/speculation/speculation_cells.h"
#include "experiments/speculation/speculation_report.h"

namespace looplm {
namespace {

class SpeculationStudy : public Study {
 public:
  std::string name() const override { return "speculation"; }
  std::string question() const override {
    return "How often do early loops already say what the last one says, and how many passes does "
           "that save?";
  }

  Status configure(TomlReader& settings) override {
    settings_ = read_speculation_settings(settings);
    return {};
  }

  std::vector<Cell> cells() const override {
    std::vector<Cell> all;
    for (const SpeculationText& text : settings_.texts) {
      all.push_back({agreement_id(text), 1, {}, [this, text](const CellContext& context) {
                       return run_text_agreement(settings_, text, context);
                     }});
    }
    for (const SpeculationSet& set : settings_.sets) {
      all.push_back({decoding_id(set), 4, {}, [this, set](const CellContext& context) {
                       return run_decoding(settings_, set, context);
                     }});
    }
    return all;
  }

  Result<StudyReport> report(const CellResults& results) const override {
    return speculation_report(settings_, results);
  }

 private:
  SpeculationSettings settings_;
};

}  // namespace

std::unique_ptr<Study> make_speculation_study() { return std::make_unique<SpeculationStudy>(); }

}  // namespace looplm
