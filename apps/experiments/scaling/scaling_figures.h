// Figures of the study of scaling.
#ifndef LOOPLM_EXPERIMENTS_SCALING_SCALING_FIGURES_H_
#define LOOPLM_EXPERIMENTS_SCALING_SCALING_FIGURES_H_

#include <span>

#include "eval/figure.h"
#include "experiments/scaling/run_curves.h"

namespace looplm {

// Measured total losses over those of the law, by trained loops.
Figure prediction_figure(std::span<const RunCurve> runs, const ScalingLaw& law);

// Total loss over tokens of the smallest and the largest models: measured, and as the law has it.
Figure token_figure(std::span<const RunCurve> runs, const ScalingLaw& law);

// Loss after each loop at the end of the runs trained with `loops`, by size: measured, and as the
// step-wise law has it.
Figure loop_figure(std::span<const RunCurve> runs, int loops, const ScalingLaw& law);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_SCALING_SCALING_FIGURES_H_
