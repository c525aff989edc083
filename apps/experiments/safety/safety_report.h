// The safety study's report from the results of its cells.
#ifndef LOOPLM_EXPERIMENTS_SAFETY_SAFETY_REPORT_H_
#define LOOPLM_EXPERIMENTS_SAFETY_SAFETY_REPORT_H_

#include "experiments/core/study.h"
#include "experiments/safety/safety_settings.h"

namespace looplm {

StudyReport safety_report(const SafetySettings& s, const CellResults& results);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_SAFETY_SAFETY_REPORT_H_
