// What the study of scaling says.
#ifndef LOOPLM_EXPERIMENTS_SCALING_SCALING_REPORT_H_
#define LOOPLM_EXPERIMENTS_SCALING_SCALING_REPORT_H_

#include "looplm/status.h"

#include "experiments/core/study.h"
#include "experiments/scaling/scaling_settings.h"

namespace looplm {

Result<StudyReport> scaling_report(const ScalingSettings& settings, const CellResults& results);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_SCALING_SCALING_REPORT_H_
