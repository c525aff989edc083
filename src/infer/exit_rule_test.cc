#include "infer/exit_rule.h"

#include <cmath>
#include <limits>

#include "infer/test_model.h"
#include "support/status_matchers.h"

namespace looplm {
namespace {

std::unique_ptr<ExitRule> rule_of(ExitKind kind, double threshold) {
  ExitOptions options;
  options.kind = kind;
  options.threshold = threshold;
  return std::move(make_exit_rule(options, true)).value();
}

LoopObservation gate_of(float logit) {
  LoopObservation o;
  o.gate_logit = logit;
  return o;
}

// Loops until the rule has had enough of this gate; 0: never within 100.
int loops_with_gate(ExitRule& rule, float logit) {
  rule.reset();
  for (int loop = 1; loop <= 100; ++loop) {
    if (rule.enough(gate_of(logit))) return loop;
  }
  return 0;
}

TEST(ExitRule, FixedNeverExits) {
  const auto rule = rule_of(ExitKind::kFixed, 0);
  EXPECT_EQ(loops_with_gate(*rule, 100.0f), 0);
}

TEST(ExitRule, GateExitsWhenTheExitProbabilitiesSumToTheThreshold) {
  // sigmoid(0) = 1/2 at every loop: 1/2, 3/4, 7/8 ...
  EXPECT_EQ(loops_with_gate(*rule_of(ExitKind::kGate, 0), 0), 1);
  EXPECT_EQ(loops_with_gate(*rule_of(ExitKind::kGate, 0.49), 0), 1);
  EXPECT_EQ(loops_with_gate(*rule_of(ExitKind::kGate, 0.51), 0), 2);
  EXPECT_EQ(loops_with_gate(*rule_of(ExitKind::kGate, 0.76), 0), 3);
  // Loops differ: lambda = 0.2, 0.5 give 1 - 0.8 * 0.5 = 0.6.
  const auto logit = [](double p) { return static_cast<float>(std::log(p / (1 - p))); };
  for (const auto& [threshold, exits] :
       std::vector<std::pair<double, bool>>{{0.599, true}, {0.601, false}}) {
    const auto rule = rule_of(ExitKind::kGate, threshold);
    EXPECT_FALSE(rule->enough(gate_of(logit(0.2))));
    EXPECT_EQ(rule->enough(gate_of(logit(0.5))), exits);
  }
}

TEST(ExitRule, AThresholdOfOneMeansEveryLoopWhateverRoundingDoes) {
  for (float logit : {0.0f, 40.0f, 100.0f, 3e38f, std::numeric_limits<float>::infinity()}) {
    EXPECT_EQ(loops_with_gate(*rule_of(ExitKind::kGate, 1), logit), 0) << logit;
  }
  EXPECT_EQ(loops_with_gate(*rule_of(ExitKind::kGate, 0.999999), 100), 1);
  EXPECT_EQ(loops_with_gate(*rule_of(ExitKind::kGate, 1e-9), -100), 0);
}

TEST(ExitRule, ResetForgetsTheLoopsBefore) {
  const auto rule = rule_of(ExitKind::kGate, 0.7);
  EXPECT_FALSE(rule->enough(gate_of(0)));
  rule->reset();
  EXPECT_FALSE(rule->enough(gate_of(0)));
  EXPECT_TRUE(rule->enough(gate_of(0)));
}

TEST(ExitRule, DifferencesAreEuclideanAndNeedTwoLoops) {
  const std::vector<float> before = {0, 0, 3}, now = {3, 4, 3};  // |now - before| = 5
  LoopObservation first, second;
  first.normed = now;
  second.normed = now;
  second.previous_normed = before;
  EXPECT_FALSE(rule_of(ExitKind::kHiddenDifference, 1e9)->enough(first));
  EXPECT_FALSE(rule_of(ExitKind::kHiddenDifference, 5)->enough(second));  // below, not at
  EXPECT_TRUE(rule_of(ExitKind::kHiddenDifference, 5.001)->enough(second));
  const double relative = 5 / std::sqrt(34.0);
  EXPECT_FALSE(rule_of(ExitKind::kRelativeDifference, 1e9)->enough(first));
  EXPECT_FALSE(rule_of(ExitKind::kRelativeDifference, relative - 1e-6)->enough(second));
  EXPECT_TRUE(rule_of(ExitKind::kRelativeDifference, relative + 1e-6)->enough(second));
}

TEST(ExitRule, ConfidenceReadsTheSoftmax) {
  // Probabilities 0.6, 0.3, 0.1.
  const std::vector<float> logits = {std::log(0.3f) + 7, std::log(0.6f) + 7, std::log(0.1f) + 7};
  const LogitSummary summary = summarize(logits);
  LoopObservation o;
  o.summary = &summary;
  const double entropy = -(0.6 * std::log(0.6) + 0.3 * std::log(0.3) + 0.1 * std::log(0.1));
  EXPECT_TRUE(rule_of(ExitKind::kMargin, 0.2999)->enough(o));
  EXPECT_FALSE(rule_of(ExitKind::kMargin, 0.3001)->enough(o));
  EXPECT_TRUE(rule_of(ExitKind::kEntropy, entropy + 1e-5)->enough(o));
  EXPECT_FALSE(rule_of(ExitKind::kEntropy, entropy - 1e-5)->enough(o));
  for (ExitKind kind : {ExitKind::kMargin, ExitKind::kEntropy}) {
    EXPECT_TRUE(rule_of(kind, 0.5)->needs_logits());
  }
  EXPECT_FALSE(rule_of(ExitKind::kGate, 0.5)->needs_logits());
}

TEST(ExitRule, LogitsThatAreNotNumbersNeverExit) {
  const LogitSummary summary = summarize(std::vector<float>{1, NAN, 2});
  LoopObservation o;
  o.summary = &summary;
  EXPECT_FALSE(rule_of(ExitKind::kMargin, 0)->enough(o));
  EXPECT_FALSE(rule_of(ExitKind::kEntropy, 1e9)->enough(o));
}

TEST(ExitRule, WrongThresholdsAreNamed) {
  const auto make = [](ExitKind kind, double threshold, bool gate = true) {
    ExitOptions options;
    options.kind = kind;
    options.threshold = threshold;
    return make_exit_rule(options, gate);
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
