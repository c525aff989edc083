#include "cli/depth_choice.h"

#include <fmt/format.h>

#include "looplm/config.h"

#include "base/count_text.h"
#include "infer/exit_rule.h"
#include "infer/tuned_depth.h"

namespace looplm::cli {
namespace {

// The config's recommendation; empty where it has none.
std::optional<double> recommended(const ModelConfig& config) {
  if (!config.exit_gate || config.early_exit_threshold >= 1) return std::nullopt;
  return config.early_exit_threshold;
}

Result<ExitOptions> asked_rule(const DepthChoice& choice, const ModelConfig& config) {
  ExitOptions exit;
  LOOPLM_ASSIGN_OR_RETURN(exit.kind, exit_kind_from_name(*choice.exit));
  if (exit.kind == ExitKind::kFixed && choice.threshold.has_value()) {
    return invalid_argument(fmt::format(
        "--threshold is {}, but --exit fixed has none; expected another rule", *choice.threshold));
  }
  const std::optional<double> of_config =
      exit.kind == ExitKind::kGate ? recommended(config) : std::nullopt;
  exit.threshold =
      choice.threshold.value_or(of_config.value_or(exit_rule_info(exit.kind).threshold));
  return exit;
}

}  // namespace

void add_loops_option(Command& command, int64_t& loops) {
  command.add_option("--loops", loops, "Loops to run (0: as many as config.json says)")
      ->check(range(int64_t{0}, kMaxLoops))
      ->capture_default_str();
}

void add_depth_options(Command& command, DepthChoice& choice, const std::string& group) {
  command
      .add_option(
          "--exit", choice.exit,
          "Rule that ends a token's loops, with its default threshold. fixed: run all loops; q "
          "(0.5, or the config's): the gate's exit probabilities add up to the threshold; margin "
          "(0.5): the most likely token leads the second by this probability; entropy (1): the "
          "next token's entropy falls to this many nats; difference (1): a loop moves the state by "
          "less than this; relative (0.1): by less than this share of the state. Default: what "
          "looplm tune found, else q if the config recommends a threshold, else fixed")
      ->check(read_by([](const std::string& name) { return exit_kind_from_name(name).status(); },
                      "{fixed,q,difference,relative,margin,entropy}"))
      ->group(group);
  command.add_option("--threshold", choice.threshold, "Threshold of the --exit rule")->group(group);
  command
      .add_option("--target-depth", choice.target_depth,
                  "Mean number of loops per token to aim for, by the threshold that looplm tune "
                  "measured for it")
      ->group(group);
  command.add_option("--min-loops", choice.min_loops, "No exit before this loop")
      ->check(range(int64_t{1}, kMaxLoops))
      ->capture_default_str()
      ->group(group);
  command
      .add_option("--loops", choice.max_loops,
                  "Maximum number of loops (0: as many as config.json says)")
      ->check(range(int64_t{0}, kMaxLoops))
      ->capture_default_str()
      ->group(group);
}

Result<ChosenDepth> choose_depth(const DepthChoice& choice, const std::string& model_path,
                                 const ModelConfig& config, bool exact) {
  ChosenDepth chosen;
  const bool bounds = choice.min_loops != 1 || choice.max_loops != 0;
  if (choice.threshold.has_value() && !choice.exit.has_value()) {
    return invalid_argument("--threshold needs a rule that it is for; expected --exit too");
  }
  if (choice.target_depth.has_value() && choice.exit.has_value()) {
    return invalid_argument("both --target-depth and --exit are given; expected one of them");
  }
  const int64_t loops = choice.max_loops == 0 ? config.loops : choice.max_loops;
  if (choice.min_loops > loops) {
    return invalid_argument(
        fmt::format("--min-loops is {}; expected 1 to {}", choice.min_loops, loops));
  }
  if (choice.exit.has_value()) {
    LOOPLM_ASSIGN_OR_RETURN(chosen.exit, asked_rule(choice, config));
  } else {
    LOOPLM_ASSIGN_OR_RETURN(const std::vector<TunedDepth> tuned,
                            read_tuned_depths(model_path, config));
    if (choice.target_depth.has_value()) {
      if (tuned.empty()) {
        return not_found(fmt::format(
            "--target-depth needs to know which threshold gives which depth; looplm tune {} TASK "
            "measures that",
            model_path));
      }
      const Result<ExitOptions> exit = tuned[0].exit_at(*choice.target_depth);
      if (!exit.ok()) return exit.status().with_context("--target-depth");
      chosen.exit = exit.value();
    } else if (!tuned.empty() && exact && !bounds) {
      chosen.exit = tuned[0].exit();
      chosen.note = fmt::format(
          "depth: {} {:.4g}, as tuned on {} (mean {:.2f} of {} there); "
          "--exit fixed runs all loops",
          exit_kind_name(tuned[0].kind), tuned[0].threshold, tuned[0].task, tuned[0].mean_loops,
          count_text(tuned[0].loops, "loop"));
    } else if (const std::optional<double> threshold = recommended(config)) {
      chosen.exit = {.kind = ExitKind::kGate, .threshold = *threshold};
    }
  }
  chosen.exit.min_loops = choice.min_loops;
  chosen.exit.max_loops = choice.max_loops;
  return chosen;
}

}  // namespace looplm::cli
