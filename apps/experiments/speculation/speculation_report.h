// The speculation study's report from the results of its cells.
#ifndef LOOPLM_EXPERIMENTS_SPECULATION_SPECULATION_REPORT_H_
#define LOOPLM_EXPERIMENTS_SPECULATION_SPECULATION_REPORT_H_

#include "experiments/core/study.h"
#include "experiments/speculation/speculation_settings.h"

namespace looplm {

inline std::string agreement_id(const SpeculationText& text) { return "agreement-" + text.name; }
inline std::string decoding_id(const SpeculationSet& set) { return "decoding-" + set.name; }

StudyReport speculation_report(const SpeculationSettings& s, const CellResults& results);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_SPECULATION_SPECULATION_REPORT_H_
