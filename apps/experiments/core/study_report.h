// The files that a finished study leaves: results.json, report.html, report.md and figures.
#ifndef LOOPLM_EXPERIMENTS_CORE_STUDY_REPORT_H_
#define LOOPLM_EXPERIMENTS_CORE_STUDY_REPORT_H_

#include <string>

#include "experiments/core/study.h"

namespace looplm {

struct StudyRecord {
  std::string settings;   // the text the study was configured with
  std::string processor;  // that the cells ran on
  CellResults results;
};

// The page, with the claims first.
Result<Document> study_page(const Study& study, const StudyRecord& record);

Status write_study_report(const Study& study, const StudyRecord& record, const std::string& out);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_CORE_STUDY_REPORT_H_
