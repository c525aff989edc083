#include "infer/exit_rule.h"

#include <array>
#include <charconv>
#include <cmath>

#include <fmt/format.h>

#include "base/check.h"
#include "model/exit_distribution.h"

namespace looplm {
namespace {

constexpr std::array<ExitRuleInfo, 6> kRules = {{
    {ExitKind::kFixed, "fixed", nullptr, "fixed depth", INFINITY, INFINITY},
    {ExitKind::kGate, "q", nullptr, "gate (q)", 0.5, 1},
    {ExitKind::kHiddenDifference, "difference", "hidden", "hidden difference", 1, INFINITY},
    {ExitKind::kRelativeDifference, "relative", nullptr, "relative difference", 0.1, INFINITY},
    {ExitKind::kMargin, "margin", nullptr, "margin", 0.5, 1},
    {ExitKind::kEntropy, "entropy", nullptr, "entropy", 1, INFINITY},
}};

constexpr std::array<CommitRuleInfo, 5> kCommits = {{
    {CommitKind::kNever, "never", 1},
    {CommitKind::kLoop, "loop", 1},
    {CommitKind::kGate, "q", 0.3},
    {CommitKind::kMargin, "margin", 0.3},
    {CommitKind::kAuto, "auto", 1},
}};

Status check_threshold(const ExitRuleInfo& rule, double threshold) {
  if (threshold >= 0 && threshold <= rule.most_threshold) return {};
  const std::string expected = std::isinf(rule.most_threshold)
                                   ? "0 or more"
                                   : fmt::format("between 0 and {}", rule.most_threshold);
  return invalid_argument(fmt::format("the threshold of the {} exit rule is {}; expected {}",
                                      rule.title, threshold, expected));
}

}  // namespace

std::span<const ExitRuleInfo> exit_rules() { return kRules; }

const ExitRuleInfo& exit_rule_info(ExitKind kind) {
  for (const ExitRuleInfo& rule : kRules) {
    if (rule.kind == kind) return rule;
  }
  LOOPLM_CHECK(false, "unknown exit rule {}", static_cast<int>(kind));
  return kRules[0];
}

const char* exit_kind_name(ExitKind kind) { return exit_rule_info(kind).name; }

Result<ExitKind> exit_kind_from_name(std::string_view name) {
  std::string names;
  for (const ExitRuleInfo& rule : kRules) {
    if (name == rule.name || (rule.old_name != nullptr && name == rule.old_name)) return rule.kind;
    names += (names.empty() ? "" : ", ") + std::string(rule.name);
  }
  return invalid_argument(fmt::format("no rule is called '{}'; expected one of {}", name, names));
}

const CommitRuleInfo& commit_rule_info(CommitKind kind) {
  for (const CommitRuleInfo& rule : kCommits) {
    if (rule.kind == kind) return rule;
  }
  LOOPLM_CHECK(false, "unknown commit rule {}", static_cast<int>(kind));
  return kCommits[0];
}

const char* commit_kind_name(CommitKind kind) { return commit_rule_info(kind).name; }

Result<CommitKind> commit_kind_from_name(std::string_view name) {
  std::string names;
  for (const CommitRuleInfo& rule : kCommits) {
    if (name == rule.name) return rule.kind;
    names += (names.empty() ? "" : ", ") + std::string(rule.name);
  }
  return invalid_argument(fmt::format("no rule is called '{}'; expected one of {}", name, names));
}

StateChange state_change(std::span<const float> normed, std::span<const float> previous) {
  double difference = 0, size = 0;
  for (size_t i = 0; i < normed.size(); ++i) {
    const auto h = static_cast<double>(normed[i]);
    const double d = previous.empty() ? 0 : h - static_cast<double>(previous[i]);
    difference += d * d;
    size += h * h;
  }
  return {std::sqrt(difference), std::sqrt(size)};
}

double ExitRule::figure(const LoopFigures& seen) {
  switch (kind_) {
    case ExitKind::kFixed:
      return static_cast<double>(seen.loop);
    case ExitKind::kGate:
      log_survival_ -= softplus(static_cast<double>(seen.gate_logit));
      return -std::expm1(log_survival_);
    case ExitKind::kHiddenDifference:
      return seen.loop == 1 ? INFINITY : seen.difference;
    case ExitKind::kRelativeDifference:
      return seen.loop == 1 ? INFINITY : seen.difference / seen.norm;
    case ExitKind::kMargin:
      return seen.margin;
    case ExitKind::kEntropy:
      return seen.entropy;
  }
  return 0;
}

bool ExitRule::enough(const LoopFigures& seen) {
  const double now = figure(seen);
  switch (kind_) {
    case ExitKind::kGate:
      // A saturated gate rounds the distribution to 1; a threshold of 1 still means every loop.
      return threshold_ < 1 && now >= threshold_;
    case ExitKind::kHiddenDifference:
    case ExitKind::kRelativeDifference:
      return now < threshold_;
    case ExitKind::kEntropy:
      return now <= threshold_;
    case ExitKind::kFixed:
    case ExitKind::kMargin:
      return now >= threshold_;
  }
  return false;
}

bool ExitRule::needs_states() const {
  return kind_ == ExitKind::kHiddenDifference || kind_ == ExitKind::kRelativeDifference;
}

bool ExitRule::needs_logits() const {
  return kind_ == ExitKind::kMargin || kind_ == ExitKind::kEntropy;
}

Result<double> threshold_from_text(ExitKind kind, const std::string& text) {
  double value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || stop != text.data() + text.size()) {
    return invalid_argument(
        fmt::format("the threshold of the {} exit rule is '{}'; expected a number",
                    exit_rule_info(kind).title, text));
  }
  LOOPLM_RETURN_IF_ERROR(check_threshold(exit_rule_info(kind), value));
  return value;
}

Result<ExitRule> make_exit_rule(const ExitOptions& options, bool model_has_gate) {
  if (options.kind == ExitKind::kFixed) return ExitRule(ExitKind::kFixed, INFINITY);
  if (options.kind == ExitKind::kGate && !model_has_gate) {
    return unsupported(
        "this model has no exit gate to exit by; expected the rule fixed, difference, relative, "
        "margin or entropy, or the gate's file beside a GGUF model (--gate)");
  }
  LOOPLM_RETURN_IF_ERROR(check_threshold(exit_rule_info(options.kind), options.threshold));
  return ExitRule(options.kind, options.threshold);
}

Result<std::optional<ExitRule>> make_commit_rule(const SpeculateOptions& options,
                                                 bool model_has_gate, int64_t max_loops) {
  const double threshold = options.threshold;
  ExitOptions same;
  same.threshold = threshold;
  switch (options.kind) {
    case CommitKind::kNever:
      return std::optional<ExitRule>();
    case CommitKind::kAuto:
      if (threshold != 1) {
        return invalid_argument(
            fmt::format("automatic speculation has the threshold {}; it takes none", threshold));
      }
      return std::optional(ExitRule(ExitKind::kFixed, 1));
    case CommitKind::kLoop:
      if (!(threshold >= 1 && threshold <= static_cast<double>(max_loops)) ||
          threshold != std::floor(threshold)) {
        return invalid_argument(
            fmt::format("the loop to speculate from is {}; expected a whole number from 1 to {}",
                        threshold, max_loops));
      }
      return std::optional(ExitRule(ExitKind::kFixed, threshold));
    case CommitKind::kGate:
      same.kind = ExitKind::kGate;
      break;
    case CommitKind::kMargin:
      same.kind = ExitKind::kMargin;
      break;
  }
  Result<ExitRule> rule = make_exit_rule(same, model_has_gate);
  if (!rule.ok()) return rule.status().with_context("speculation");
  return std::optional(*rule);
}

}  // namespace looplm
