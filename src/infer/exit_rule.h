// When a position has thought enough. Decoding asks a rule after every loop; evaluation asks the
// same rule of what it has recorded of every loop.
#ifndef LOOPLM_INFER_EXIT_RULE_H_
#define LOOPLM_INFER_EXIT_RULE_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "looplm/generate.h"

namespace looplm {

// What is known of a rule before it is made.
struct ExitRuleInfo {
  ExitKind kind;
  const char* name;       // exit_kind_name()
  const char* old_name;   // also read; null: none
  const char* title;      // in reports
  double threshold;       // where none is given
  double most_threshold;  // thresholds are from 0 to this
};
std::span<const ExitRuleInfo> exit_rules();
const ExitRuleInfo& exit_rule_info(ExitKind kind);

// The same of the ways to say when speculation commits.
struct CommitRuleInfo {
  CommitKind kind;
  const char* name;
  double threshold;
};
const CommitRuleInfo& commit_rule_info(CommitKind kind);

// What rules look at after one loop of a position. Each rule reads its own field alone.
struct LoopFigures {
  int64_t loop = 0;  // from 1
  float gate_logit = 0;
  double difference = 0;  // |h_t - h_{t-1}|, h the normed state; means nothing after the first loop
  double norm = 0;        // |h_t|
  double margin = 0;      // of the read-out's softmax (LogitSummary)
  double entropy = 0;     // of it, nats
};

// How far the normed state has moved, and its length; `previous` may be empty.
struct StateChange {
  double difference = 0;
  double norm = 0;
};
StateChange state_change(std::span<const float> normed, std::span<const float> previous);

// Judges the loops of one position in order. It has state (the gate's survival): reset() it before
// another position.
class ExitRule {
 public:
  // Not checked: make_exit_rule() does that.
  explicit ExitRule(ExitKind kind, double threshold) : kind_(kind), threshold_(threshold) {}

  void reset() { log_survival_ = 0; }
  // The number that the threshold is compared with, after the next loop: the exit probabilities'
  // sum, the difference (infinite after the first loop), the margin, the entropy; of a fixed depth
  // the loop.
  double figure(const LoopFigures& seen);
  // Whether the position may exit after the next loop. Bounds on loops are the caller's.
  bool enough(const LoopFigures& seen);

  bool needs_states() const;
  bool needs_logits() const;

 private:
  ExitKind kind_;
  double threshold_;
  double log_survival_ = 0;  // log prod (1 - lambda)
};

// "2.5" as a threshold of a rule; fails on what is no number or outside its range.
Result<double> threshold_from_text(ExitKind kind, const std::string& text);

// Fails on a threshold outside the rule's range, or a gate rule for a model without a gate.
Result<ExitRule> make_exit_rule(const ExitOptions& options, bool model_has_gate);

// When speculation may propose a token: the rules above, and a whole loop number from 1 to
// max_loops. None for kNever. Fails on a threshold out of range, or a gate that is not there.
Result<std::optional<ExitRule>> make_commit_rule(const SpeculateOptions& options,
                                                 bool model_has_gate, int64_t max_loops);

}  // namespace looplm

#endif  // LOOPLM_INFER_EXIT_RULE_H_
