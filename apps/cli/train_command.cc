// looplm train: runs a training run and shows how it goes.
#include <cmath>
#include <cstdio>
#include <memory>

#include <fmt/format.h>

#include "looplm/train.h"

#include "base/count_text.h"
#include "cli/commands.h"
#include "cli/model_choice.h"
#include "common/duration_text.h"
#include "common/interrupt.h"
#include "eval/run_report.h"
#include "tensor/memory_plan.h"
#include "train/run_config.h"

namespace looplm::cli {
namespace {

// "-" is what was not measured.
std::string number(double value, int digits) {
  return std::isnan(value) ? "-" : fmt::format("{:.{}f}", value, digits);
}

std::string numbers(const std::vector<double>& values, double scale, int digits) {
  std::string text;
  for (double value : values) {
    if (!text.empty()) text += ' ';
    text += number(value * scale, digits);
  }
  return text;
}

// What only runs on preference pairs have.
template <typename Report>
std::string pair_text(const Report& r) {
  if (std::isnan(r.margin)) return "";
  return fmt::format("  margin {:.3f}  preferred {:.0f}%", r.margin, 100 * r.preferred);
}

// What only runs on guess maps have.
std::string agreement_text(const ValidationReport& r) {
  if (r.agreement.empty()) return "";
  return fmt::format("  as the last loop {}% -> {}%", numbers(r.unmapped_agreement, 100, 1),
                     numbers(r.agreement, 100, 1));
}

uint64_t total_bytes(const TrainStart& s) {
  uint64_t total = 0;
  for (const PlannedMemory& item : s.memory) total += item.bytes;
  return total;
}

void print_start(const TrainStart& s) {
  fmt::print("{}, {:.0f} GFLOP/s in this precision\n", s.machine, s.peak_flops / 1e9);
  fmt::print("{} parameters, {} trained; {} training tokens, {} of them learnt, {} per step\n",
             s.parameters, s.trained_parameters, s.data_tokens, s.data_targets, s.tokens_per_step);
  for (const PlannedMemory& item : s.memory) {
    fmt::print("  {:<20} {:>10}  {}\n", item.name, bytes_text(item.bytes), item.note);
  }
  fmt::print("  {:<20} {:>10}\n", "total", bytes_text(total_bytes(s)));
}

class Printer : public TrainObserver {
 public:
  void on_start(const TrainStart& s) override {
    print_start(s);
    if (s.first_step > s.steps) {
      fmt::print("{} done, as many as run.steps says; a larger number goes on from here\n",
                 count_text(s.steps, "step"));
    } else if (s.first_step > 1) {
      fmt::print("resuming at step {} of {}\n", s.first_step, s.steps);
    }
    for (const std::string& note : s.notes) on_note(note);
    fmt::print("nll per loop in nats per token, exit in loops, H its entropy, |g| gradient norm\n");
    std::fflush(stdout);
  }
  void on_step(const StepReport& r) override {
    fmt::print(
        "step {:>6}/{}  loss {}{}  nll {}  exit {}  H {}  |g| {}  lr {:.1e}  {:.0f} tok/s  {}% of "
        "peak  left {}\n",
        r.step, r.steps, number(r.loss, 4), pair_text(r), numbers(r.nll, 1, 3),
        number(r.mean_exit, 2), number(r.exit_entropy, 2), number(r.gradient_norm, 3),
        r.learning_rate, r.tokens_per_second, number(r.peak_share * 100, 0),
        duration_text(r.seconds_left));
    std::fflush(stdout);
  }
  void on_validation(const ValidationReport& r) override {
    fmt::print(
        "validation of set {} at step {}: loss {}{}{}  nll {}  right {}%  exit {}  H {}  ({})\n",
        r.set, r.step, number(r.loss, 4), pair_text(r), agreement_text(r), numbers(r.nll, 1, 3),
        numbers(r.accuracy, 100, 1), number(r.mean_exit, 2), number(r.exit_entropy, 2),
        count_text(r.tokens, "token"));
    std::fflush(stdout);
  }
  void on_note(const std::string& note) override {
    fmt::print("note: {}\n", note);
    std::fflush(stdout);
  }
  void on_checkpoint(const std::string& directory) override {
    fmt::print("saved {}\n", directory);
    std::fflush(stdout);
  }
};

// Runs on processors have been between these shares of the arithmetic peak.
constexpr double kUsualShares[] = {0.6, 0.3};

void print_choices(const TrainPlan& plan) {
  fmt::print("memory: {} may be used here (90% of all)\n", bytes_text(plan.usable_bytes));
  fmt::print("  {:<20} {:>18}  {}\n", "compute.memory",
             count_text(plan.sequences, "sequence takes", "sequences take"),
             "most batch.sequences that fit");
  for (const TrainPlan::Choice& c : plan.choices) {
    fmt::print("  {:<20} {:>18}  {}\n", c.memory + (c.chosen ? " (now)" : ""), bytes_text(c.bytes),
               c.most_sequences == 0 ? "none" : fmt::to_string(c.most_sequences));
  }
}

Status show_plan(const TrainOptions& options) {
  LOOPLM_ASSIGN_OR_RETURN(const TrainPlan plan, plan_training(options));
  const TrainStart& s = plan.start;
  print_start(s);
  for (const std::string& note : s.notes) fmt::print("note: {}\n", note);
  const double fastest = static_cast<double>(s.steps) * plan.step_flops / s.peak_flops;
  fmt::print(
      "time: {} of {:.3g} GFLOP: {} at the full rate; {} to {} at {:.0f} to {:.0f}% of it, which "
      "is usual\n",
      count_text(s.steps, "step"), plan.step_flops / 1e9, duration_text(fastest),
      duration_text(fastest / kUsualShares[0]), duration_text(fastest / kUsualShares[1]),
      100 * kUsualShares[0], 100 * kUsualShares[1]);
  const char* verdict = "";
  if (plan.usable_bytes > 0) {
    print_choices(plan);
    verdict = total_bytes(s) <= plan.usable_bytes ? "this run fits; " : "this run does not fit; ";
  }
  fmt::print("{}nothing was started or written\n", verdict);
  std::fflush(stdout);
  return plan.refusal.with_context("this run would not start");
}

struct ReportOptions {
  std::vector<std::string> runs;
  std::string out;
};

Status write_report(const ReportOptions& options) {
  LOOPLM_ASSIGN_OR_RETURN(const Document page, run_report(options.runs));
  const std::string out = options.out.empty() ? options.runs.front() + "/report" : options.out;
  LOOPLM_RETURN_IF_ERROR(write_document(page, out, "report"));
  fmt::print("{}/report.html\n", out);
  return {};
}

// A start named ORG/NAME, and a tokenizer, where they lie in the hub's cache.
Status locate_start(TrainOptions& options) {
  LOOPLM_ASSIGN_OR_RETURN(const RunConfig config,
                          read_run_config(options.run_file, options.overrides));
  const auto locate = [&](const char* key, const std::string& name) -> Status {
    if (name.empty()) return {};
    const Result<std::string> found = locate_named_model(name);
    if (!found.ok()) return found.status().with_context(fmt::format("model.{}", key));
    const std::string& path = found.value();
    if (path != name) options.overrides.push_back(fmt::format("model.{}=\"{}\"", key, path));
    return {};
  };
  LOOPLM_RETURN_IF_ERROR(locate("from", config.model.from));
  return locate("tokenizer", config.model.tokenizer);
}

Status run_training(TrainOptions options) {
  options.stop = &stop_on_interrupt();
  Printer printer;
  return train(options, printer);
}

}  // namespace

void add_train_command(Program& program) {
  auto options = std::make_shared<TrainOptions>();
  auto plan = std::make_shared<bool>(false);
  Command* command = program.app().add_subcommand(
      "train", "Train a model from a run file (TOML); docs/training.md lists its keys");
  auto report = std::make_shared<ReportOptions>();
  auto* file = command->add_option("RUN.toml", options->run_file, "The run file");
  command
      ->add_option(
          "--report", report->runs,
          "Instead of training: write a page with the curves of these finished or running runs, "
          "named by their run.out")
      ->excludes(file);
  command->add_option("--out", report->out,
                      "Directory of the --report (default: report in the first run)");
  command->add_flag("--resume", options->resume,
                    "Resume from the run's newest checkpoint, bit for bit");
  command->add_flag(
      "--plan", *plan,
      "Instead of training: check model and data, and show memory, time and what fits. Fails where "
      "the run would not start");
  command->add_option(
      "--set", options->overrides,
      "Change a key of the run file: --set run.steps=100 --set data.validation='\"val\"'");
  command->add_option("--threads", options->threads, "Threads (0: as the run file says, or all)")
      ->check(range(0, 1024))
      ->capture_default_str();
  program.on(command, [options, plan, report]() -> Status {
    if (!report->runs.empty()) return write_report(*report);
    if (options->run_file.empty()) {
      return invalid_argument("no run file given; expected RUN.toml, or --report RUN...");
    }
    LOOPLM_RETURN_IF_ERROR(locate_start(*options));
    return *plan ? show_plan(*options) : run_training(*options);
  });
}

}  // namespace looplm::cli
