// What models learnt of the task of paths: the report's part about them, and its claims.
#ifndef LOOPLM_EXPERIMENTS_REACHABILITY_TRAINED_REPORT_H_
#define LOOPLM_EXPERIMENTS_REACHABILITY_TRAINED_REPORT_H_

#include "experiments/reachability/reachability_report.h"

namespace looplm {

// Without runs, a claim that says so and nothing else.
void add_trained(const ReachabilityResults& results, StudyReport& report);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_REACHABILITY_TRAINED_REPORT_H_
