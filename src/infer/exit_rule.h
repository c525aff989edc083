// When a position has thought enough.
#ifndef LOOPLM_INFER_EXIT_RULE_H_
#define LOOPLM_INFER_EXIT_RULE_H_

#include <cstdint>
#include <memory>
#include <span>

#include "looplm/generate.h"

#include "kernels/logit_summary.h"

namespace looplm {

// What a rule may look at after loop `loop` (from 1) of one position.
struct LoopObservation {
  int64_t loop = 0;
  std::span<const float> normed;           // (E)
  std::span<const float> previous_normed;  // (E); empty after the first loop
  float gate_logit = 0;
  const LogitSummary* summary = nullptr;  // of the logits; null unless the rule needs_logits()
};

// Judges the loops of one position in order. A rule has state (the gate's survival), so each
// position gets its own or a reset one.
class ExitRule {
 public:
  virtual ~ExitRule() = default;
  virtual void reset() {}
  // Whether the position may exit after this loop. Bounds on loops are the caller's.
  virtual bool enough(const LoopObservation& observation) = 0;
  virtual bool needs_logits() const { return false; }
};

// Fails on a threshold outside the rule's range, or a gate rule for a model without a gate.
Result<std::unique_ptr<ExitRule>> make_exit_rule(const ExitOptions& options, bool model_has_gate);

// When speculation may propose a token: the rules above, and a whole loop number from 1 to
// max_loops. Null for kNever. Fails on a threshold out of range, or a gate that is not there.
Result<std::unique_ptr<ExitRule>> make_commit_rule(const SpeculateOptions& options,
                                                   bool model_has_gate, int64_t max_loops);

}  // namespace looplm

#endif  // LOOPLM_INFER_EXIT_RULE_H_
