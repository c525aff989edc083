// looplm train: runs a training run and shows how it goes.
#include <cmath>
#include <cstdio>
#include <memory>

#include <fmt/format.h>

#include "looplm/train.h"

#include "cli/commands.h"
#include "common/duration_text.h"
#include "common/interrupt.h"
#include "tensor/memory_plan.h"

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

class Printer : public TrainObserver {
 public:
  void on_start(const TrainStart& s) override {
    fmt::print("{}, {:.0f} GFLOP/s in this precision\n", s.machine, s.peak_flops / 1e9);
    fmt::print("{} parameters, {} trained; {} training tokens, {} of them learnt, {} per step\n",
               s.parameters, s.trained_parameters, s.data_tokens, s.data_targets,
               s.tokens_per_step);
    uint64_t total = 0;
    for (const PlannedMemory& item : s.memory) {
      fmt::print("  {:<20} {:>10}  {}\n", item.name, bytes_text(item.bytes), item.note);
      total += item.bytes;
    }
    fmt::print("  {:<20} {:>10}\n", "total", bytes_text(total));
    if (s.first_step > 1) fmt::print("resuming at step {} of {}\n", s.first_step, s.steps);
    for (const std::string& note : s.notes) on_note(note);
    fmt::print("nll per loop in nats per token, exit in loops, H its entropy, |g| gradient norm\n");
    std::fflush(stdout);
  }
  void on_step(const StepReport& r) override {
    fmt::print(
        "step {:>6}/{}  loss {}  nll {}  exit {}  H {}  |g| {}  lr {:.1e}  {:.0f} tok/s  {}% of "
        "peak  left {}\n",
        r.step, r.steps, number(r.loss, 4), numbers(r.nll, 1, 3), number(r.mean_exit, 2),
        number(r.exit_entropy, 2), number(r.gradient_norm, 3), r.learning_rate, r.tokens_per_second,
        number(r.peak_share * 100, 0), duration_text(r.seconds_left));
    std::fflush(stdout);
  }
  void on_validation(const ValidationReport& r) override {
    fmt::print(
        "validation of set {} at step {}: loss {}  nll {}  right {}%  exit {}  H {}  ({} tokens)\n",
        r.set, r.step, number(r.loss, 4), numbers(r.nll, 1, 3), numbers(r.accuracy, 100, 1),
        number(r.mean_exit, 2), number(r.exit_entropy, 2), r.tokens);
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

Status run_training(TrainOptions options) {
  options.stop = &stop_on_interrupt();
  Printer printer;
  return train(options, printer);
}

}  // namespace

void add_train_command(Program& program) {
  auto options = std::make_shared<TrainOptions>();
  Command* command = program.app().add_subcommand(
      "train", "Train a model as a run file (TOML) says; docs/training.md lists its keys");
  command->add_option("RUN.toml", options->run_file, "The run file")->required();
  command->add_flag("--resume", options->resume,
                    "Go on from the newest checkpoint of the run, bit for bit");
  command->add_option(
      "--set", options->overrides,
      "Change a key of the run file: --set run.steps=100 --set data.validation='\"val\"'");
  command->add_option("--threads", options->threads, "Threads (0: as the run file says, or all)")
      ->check(range(0, 1024))
      ->capture_default_str();
  program.on(command, [options] { return run_training(*options); });
}

}  // namespace looplm::cli
