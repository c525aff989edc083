#include "infer/exit_rule.h"

#include <cmath>

#include <fmt/format.h>

#include "model/exit_distribution.h"

namespace looplm {
namespace {

class FixedRule : public ExitRule {
 public:
  bool enough(const LoopObservation&) override { return false; }
};

class LoopRule : public ExitRule {
 public:
  explicit LoopRule(double first) : first_(first) {}
  bool enough(const LoopObservation& o) override { return static_cast<double>(o.loop) >= first_; }

 private:
  double first_;
};

class GateRule : public ExitRule {
 public:
  explicit GateRule(double threshold) : threshold_(threshold) {}
  void reset() override { log_survival_ = 0; }
  bool enough(const LoopObservation& o) override {
    log_survival_ -= softplus(static_cast<double>(o.gate_logit));
    // A saturated gate rounds the distribution to 1; a threshold of 1 still means every loop.
    return threshold_ < 1 && -std::expm1(log_survival_) >= threshold_;
  }

 private:
  double threshold_;
  double log_survival_ = 0;  // log prod (1 - lambda)
};

class DifferenceRule : public ExitRule {
 public:
  DifferenceRule(double threshold, bool relative) : threshold_(threshold), relative_(relative) {}
  bool enough(const LoopObservation& o) override {
    if (o.previous_normed.empty()) return false;
    double difference = 0, size = 0;
    for (size_t i = 0; i < o.normed.size(); ++i) {
      const auto h = static_cast<double>(o.normed[i]);
      const double d = h - static_cast<double>(o.previous_normed[i]);
      difference += d * d;
      size += h * h;
    }
    return std::sqrt(difference) < threshold_ * (relative_ ? std::sqrt(size) : 1.0);
  }

 private:
  double threshold_;
  bool relative_;
};

class MarginRule : public ExitRule {
 public:
  explicit MarginRule(double threshold) : threshold_(threshold) {}
  bool needs_logits() const override { return true; }
  bool enough(const LoopObservation& o) override { return o.summary->margin() >= threshold_; }

 private:
  double threshold_;
};

class EntropyRule : public ExitRule {
 public:
  explicit EntropyRule(double threshold) : threshold_(threshold) {}
  bool needs_logits() const override { return true; }
  bool enough(const LoopObservation& o) override { return o.summary->entropy <= threshold_; }

 private:
  double threshold_;
};

Status check_threshold(const char* rule, double threshold, double most) {
  if (threshold >= 0 && threshold <= most) return {};
  const std::string expected =
      std::isinf(most) ? "0 or more" : fmt::format("between 0 and {}", most);
  return invalid_argument(fmt::format("the threshold of the {} exit rule is {}; expected {}", rule,
                                      threshold, expected));
}

}  // namespace

Result<std::unique_ptr<ExitRule>> make_exit_rule(const ExitOptions& options, bool model_has_gate) {
  const double q = options.threshold;
  switch (options.kind) {
    case ExitKind::kFixed:
      return std::unique_ptr<ExitRule>(new FixedRule);
    case ExitKind::kGate:
      if (!model_has_gate) return unsupported("this model has no exit gate to exit by");
      LOOPLM_RETURN_IF_ERROR(check_threshold("gate", q, 1));
      return std::unique_ptr<ExitRule>(new GateRule(q));
    case ExitKind::kHiddenDifference:
    case ExitKind::kRelativeDifference:
      LOOPLM_RETURN_IF_ERROR(check_threshold("difference", q, INFINITY));
      return std::unique_ptr<ExitRule>(
          new DifferenceRule(q, options.kind == ExitKind::kRelativeDifference));
    case ExitKind::kMargin:
      LOOPLM_RETURN_IF_ERROR(check_threshold("margin", q, 1));
      return std::unique_ptr<ExitRule>(new MarginRule(q));
    case ExitKind::kEntropy:
      LOOPLM_RETURN_IF_ERROR(check_threshold("entropy", q, INFINITY));
      return std::unique_ptr<ExitRule>(new EntropyRule(q));
  }
  return invalid_argument("unknown exit rule");
}

Result<std::unique_ptr<ExitRule>> make_commit_rule(const SpeculateOptions& options,
                                                   bool model_has_gate, int64_t max_loops) {
  const double threshold = options.threshold;
  ExitOptions same;
  same.threshold = threshold;
  switch (options.kind) {
    case CommitKind::kNever:
      return std::unique_ptr<ExitRule>();
    case CommitKind::kLoop:
      if (!(threshold >= 1 && threshold <= static_cast<double>(max_loops)) ||
          threshold != std::floor(threshold)) {
        return invalid_argument(
            fmt::format("the loop to speculate from is {}; expected a whole number from 1 to {}",
                        threshold, max_loops));
      }
      return std::unique_ptr<ExitRule>(new LoopRule(threshold));
    case CommitKind::kGate:
      same.kind = ExitKind::kGate;
      break;
    case CommitKind::kMargin:
      same.kind = ExitKind::kMargin;
      break;
  }
  Result<std::unique_ptr<ExitRule>> rule = make_exit_rule(same, model_has_gate);
  if (!rule.ok()) return rule.status().with_context("speculation");
  return rule;
}

}  // namespace looplm
