#include "infer/exit_rule.h"

#include <cmath>
#include <limits>

#include "infer/test_model.h"
#include "support/status_matchers.h"

namespace looplm {
namespace {

ExitRule rule_of(ExitKind kind, double threshold) {
  return make_exit_rule({.kind = kind, .threshold = threshold}, true).value();
}

LoopFigures gate_of(float logit) { return {.loop = 1, .gate_logit = logit}; }

// Loops until the rule has had enough of this gate; 0: never within 100.
int loops_with_gate(ExitRule rule, float logit) {
  for (int loop = 1; loop <= 100; ++loop) {
    if (rule.enough(gate_of(logit))) return loop;
  }
  return 0;
}

TEST(ExitRule, FixedNeverExits) {
  EXPECT_EQ(loops_with_gate(rule_of(ExitKind::kFixed, 0), 100.0f), 0);
}

TEST(ExitRule, GateExitsWhenTheExitProbabilitiesSumToTheThreshold) {
  // sigmoid(0) = 1/2 at every loop: 1/2, 3/4, 7/8 ...
  EXPECT_EQ(loops_with_gate(rule_of(ExitKind::kGate, 0), 0), 1);
  EXPECT_EQ(loops_with_gate(rule_of(ExitKind::kGate, 0.49), 0), 1);
  EXPECT_EQ(loops_with_gate(rule_of(ExitKind::kGate, 0.51), 0), 2);
  EXPECT_EQ(loops_with_gate(rule_of(ExitKind::kGate, 0.76), 0), 3);
  // Loops differ: lambda = 0.2, 0.5 give 1 - 0.8 * 0.5 = 0.6.
  const auto logit = [](double p) { return static_cast<float>(std::log(p / (1 - p))); };
  for (const auto& [threshold, exits] :
       std::vector<std::pair<double, bool>>{{0.599, true}, {0.601, false}}) {
    ExitRule rule = rule_of(ExitKind::kGate, threshold);
    EXPECT_FALSE(rule.enough(gate_of(logit(0.2))));
    EXPECT_EQ(rule.enough(gate_of(logit(0.5))), exits);
  }
}

TEST(ExitRule, AThresholdOfOneMeansEveryLoopWhateverRoundingDoes) {
  for (float logit : {0.0f, 40.0f, 100.0f, 3e38f, std::numeric_limits<float>::infinity()}) {
    EXPECT_EQ(loops_with_gate(rule_of(ExitKind::kGate, 1), logit), 0) << logit;
  }
  EXPECT_EQ(loops_with_gate(rule_of(ExitKind::kGate, 0.999999), 100), 1);
  EXPECT_EQ(loops_with_gate(rule_of(ExitKind::kGate, 1e-9), -100), 0);
}

TEST(ExitRule, ResetForgetsTheLoopsBefore) {
  ExitRule rule = rule_of(ExitKind::kGate, 0.7);
  EXPECT_FALSE(rule.enough(gate_of(0)));
  rule.reset();
  EXPECT_FALSE(rule.enough(gate_of(0)));
  EXPECT_TRUE(rule.enough(gate_of(0)));
}

TEST(ExitRule, DifferencesAreEuclideanAndNeedTwoLoops) {
  const std::vector<float> before = {0, 0, 3}, now = {3, 4, 3};  // |now - before| = 5
  const StateChange start = state_change(now, {}), change = state_change(now, before);
  const LoopFigures first = {.loop = 1, .difference = start.difference, .norm = start.norm};
  const LoopFigures second = {.loop = 2, .difference = change.difference, .norm = change.norm};
  EXPECT_FALSE(rule_of(ExitKind::kHiddenDifference, 1e9).enough(first));
  EXPECT_FALSE(rule_of(ExitKind::kHiddenDifference, 5).enough(second));  // below, not at
  EXPECT_TRUE(rule_of(ExitKind::kHiddenDifference, 5.001).enough(second));
  const double relative = 5 / std::sqrt(34.0);
  EXPECT_FALSE(rule_of(ExitKind::kRelativeDifference, 1e9).enough(first));
  EXPECT_FALSE(rule_of(ExitKind::kRelativeDifference, relative - 1e-6).enough(second));
  EXPECT_TRUE(rule_of(ExitKind::kRelativeDifference, relative + 1e-6).enough(second));
}

TEST(ExitRule, ConfidenceReadsTheSoftmax) {
  // Probabilities 0.6, 0.3, 0.1.
  const std::vector<float> logits = {std::log(0.3f) + 7, std::log(0.6f) + 7, std::log(0.1f) + 7};
  const LogitSummary summary = summarize(logits);
  const LoopFigures o = {.loop = 1, .margin = summary.margin(), .entropy = summary.entropy};
  const double entropy = -(0.6 * std::log(0.6) + 0.3 * std::log(0.3) + 0.1 * std::log(0.1));
  EXPECT_TRUE(rule_of(ExitKind::kMargin, 0.2999).enough(o));
  EXPECT_FALSE(rule_of(ExitKind::kMargin, 0.3001).enough(o));
  EXPECT_TRUE(rule_of(ExitKind::kEntropy, entropy + 1e-5).enough(o));
  EXPECT_FALSE(rule_of(ExitKind::kEntropy, entropy - 1e-5).enough(o));
  for (ExitKind kind : {ExitKind::kMargin, ExitKind::kEntropy}) {
    EXPECT_TRUE(rule_of(kind, 0.5).needs_logits());
  }
  EXPECT_FALSE(rule_of(ExitKind::kGate, 0.5).needs_logits());
}

TEST(ExitRule, NamesAreReadAndWrittenByOneTable) {
  for (const ExitRuleInfo& rule : exit_rules()) {
    EXPECT_EQ(exit_kind_from_name(exit_kind_name(rule.kind)).value(), rule.kind);
  }
  EXPECT_EQ(exit_kind_from_name("hidden").value(), ExitKind::kHiddenDifference);
  EXPECT_STREQ(exit_kind_name(ExitKind::kHiddenDifference), "difference");
  EXPECT_ERROR_SAYS(exit_kind_from_name("gate"), "no rule is called 'gate'",
                    "fixed, q, difference, relative, margin, entropy");
  for (const CommitKind kind : {CommitKind::kNever, CommitKind::kLoop, CommitKind::kGate,
                                CommitKind::kMargin, CommitKind::kAuto}) {
    EXPECT_EQ(commit_kind_from_name(commit_kind_name(kind)).value(), kind);
  }
  EXPECT_ERROR_SAYS(commit_kind_from_name("entropy"), "'entropy'", "never, loop, q, margin");
}

TEST(ExitRule, LogitsThatAreNotNumbersNeverExit) {
  const LogitSummary summary = summarize(std::vector<float>{1, NAN, 2});
  const LoopFigures o = {.loop = 1, .margin = summary.margin(), .entropy = summary.entropy};
  EXPECT_FALSE(rule_of(ExitKind::kMargin, 0).enough(o));
  EXPECT_FALSE(rule_of(ExitKind::kEntropy, 1e9).enough(o));
}

TEST(ExitRule, WrongThresholdsAreNamed) {
  const auto make = [](ExitKind kind, double threshold, bool gate = true) {
    return make_exit_rule({.kind = kind, .threshold = threshold}, gate);
  };
  EXPECT_ERROR_SAYS(make(ExitKind::kGate, 1.5), "gate", "1.5", "between 0 and 1");
  EXPECT_ERROR_SAYS(make(ExitKind::kGate, NAN), "gate", "nan");
  EXPECT_ERROR_SAYS(make(ExitKind::kHiddenDifference, -1), "-1", "0 or more");
  EXPECT_ERROR_SAYS(make(ExitKind::kRelativeDifference, NAN), "nan", "0 or more");
  EXPECT_ERROR_SAYS(make(ExitKind::kMargin, 2), "margin", "2", "between 0 and 1");
  EXPECT_ERROR_SAYS(make(ExitKind::kEntropy, -0.5), "entropy", "-0.5", "0 or more");
  EXPECT_ERROR_SAYS(make(ExitKind::kGate, 0.5, false), "no exit gate");
}

}  // namespace
}  // namespace looplm
