// What the study of knowledge capacity says.
#ifndef LOOPLM_EXPERIMENTS_CAPO_CAPO_REPORT_H_
#define LOOPLM_EXPERIMENTS_CAPO_CAPO_REPORT_H_

#include "looplm/status.h"

#include "experiments/capo/capo_settings.h"
#include "experiments/core/study.h"

namespace looplm {

Result<StudyReport> capo_report(const CapoSettings& settings, const CellResults& results);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_CAPO_CAPO_REPORT_H_
