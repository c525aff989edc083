// The paper's claims about scaling against the fits of the study.
#ifndef LOOPLM_EXPERIMENTS_SCALING_SCALING_CLAIMS_H_
#define LOOPLM_EXPERIMENTS_SCALING_SCALING_CLAIMS_H_

#include <vector>

#include "experiments/scaling/scaling_analysis.h"

namespace looplm {

struct ScalingFindings {
  const ScalingRuns& runs;
  const ScalingFit& total;
  const ScalingFit& without_loops;  // the same law without the loops' term
  size_t points = 0;                // of the total-loss law
  const std::vector<Generalisation>& leave_outs;
  const std::vector<Stepwise>& stepwise;
};

std::vector<Claim> scaling_claims(const ScalingSettings& settings, const ScalingFindings& findings);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_SCALING_SCALING_CLAIMS_H_
