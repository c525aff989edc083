// What was measured on each question, at every fixed depth and under every exit rule; and the table
// made of it.
#ifndef LOOPLM_EVAL_OUTCOMES_H_
#define LOOPLM_EVAL_OUTCOMES_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "looplm/generate.h"

#include "eval/bootstrap.h"

namespace looplm {

// A figure that is a function of sums over questions.
struct MetricColumn {
  enum class Form {
    kRatio,      // sum[numerator] / sum[denominator]
    kExpRatio,   // e to that
    kBitsRatio,  // that over log 2: nats to bits
    kMacroF1,    // mean over classes that occur of 2 hits / (chosen + right), from three sums per
                 // class that stand from `numerator` on
  };
  std::string name;
  Form form = Form::kRatio;
  size_t numerator = 0;
  size_t denominator = 0;
  size_t classes = 0;  // of kMacroF1
  bool share = true;   // 0 .. 1, shown as percent
  bool lower_is_better = false;

  double value(std::span<const double> sums) const;
};

// A row of the table: a fixed depth, or an exit rule.
struct DepthSetting {
  ExitOptions exit;  // kFixed: max_loops for every token
  bool fixed() const { return exit.kind == ExitKind::kFixed; }
  // "3 loops", "q 0.50", "margin 0.9"; as many digits as tell a threshold from every other.
  std::string name() const;
};

// Sums of each question under each setting. The first two are loops run and tokens that ran them.
class Outcomes {
 public:
  static constexpr size_t kLoops = 0;
  static constexpr size_t kTokens = 1;

  Outcomes(std::vector<DepthSetting> settings, std::vector<MetricColumn> metrics, size_t width,
           size_t questions)
      : settings_(std::move(settings)),
        metrics_(std::move(metrics)),
        width_(width),
        sums_(questions * settings_.size() * width) {}

  std::span<double> at(size_t question, size_t setting) {
    return std::span(sums_).subspan((question * settings_.size() + setting) * width_, width_);
  }
  std::span<const double> at(size_t question, size_t setting) const {
    return std::span(sums_).subspan((question * settings_.size() + setting) * width_, width_);
  }

  const std::vector<DepthSetting>& settings() const { return settings_; }
  const std::vector<MetricColumn>& metrics() const { return metrics_; }
  size_t width() const { return width_; }
  size_t questions() const { return sums_.size() / (settings_.size() * width_); }

 private:
  std::vector<DepthSetting> settings_;
  std::vector<MetricColumn> metrics_;
  size_t width_;
  std::vector<double> sums_;  // (questions, settings, width)
};

struct OutcomeRow {
  DepthSetting setting;
  double mean_loops = 0;         // per token that the task looks at
  std::vector<Estimate> values;  // of each metric
  // Of an exit rule, against the fixed depths on both sides of mean_loops, linearly between them:
  // what a mixture of fixed depths gives at the same mean cost. Above 0 is better. Empty where
  // mean_loops is outside the fixed depths that were measured.
  std::vector<std::optional<Estimate>> gains;
};

struct OutcomeTable {
  int64_t questions = 0;
  int64_t tokens = 0;  // that the first setting looked at
  int64_t trained_loops = 0;
  std::vector<MetricColumn> metrics;
  std::vector<OutcomeRow> rows;

  // The row of the depth that the config says, and of one loop; null where not measured.
  const OutcomeRow* fixed(int64_t loops) const;
};

// Of one setting, over some questions; as OutcomeRow.
struct OutcomeFigures {
  double mean_loops = 0;
  std::vector<double> values;
  std::vector<std::optional<double>> gains;
};
// Of every setting, over these questions, repeats counted; at least one.
std::vector<OutcomeFigures> outcome_figures(const Outcomes& outcomes,
                                            std::span<const uint32_t> questions);

struct OutcomeTableOptions {
  int64_t trained_loops = 0;
  int64_t resamples = 1000;  // 0: no intervals
  uint64_t seed = 1;
};

// Over `questions` of the outcomes; at least one.
OutcomeTable outcome_table(const Outcomes& outcomes, std::span<const uint32_t> questions,
                           const OutcomeTableOptions& options);
OutcomeTable outcome_table(const Outcomes& outcomes, const OutcomeTableOptions& options);

// The same measure of the questions that share a value, most gained first: from one loop to the
// trained depth, relative to one loop (arXiv:2510.25741, table 15), and of equals, such as those
// that rise from 0, in absolute terms. Without gain: as they came.
struct OutcomeCategory {
  std::string name;
  OutcomeTable table;
  std::optional<double> gain;      // of the first metric, 1 is 100%; infinite from 0
  std::optional<double> absolute;  // the same, not divided
};
std::vector<OutcomeCategory> outcome_categories(const Outcomes& outcomes,
                                                const std::vector<std::string>& categories,
                                                const OutcomeTableOptions& options);

}  // namespace looplm

#endif  // LOOPLM_EVAL_OUTCOMES_H_
