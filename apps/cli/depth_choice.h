// How deep a command lets the model think: what was asked for, else what `looplm tune` found, else
// what the model's config recommends.
#ifndef LOOPLM_CLI_DEPTH_CHOICE_H_
#define LOOPLM_CLI_DEPTH_CHOICE_H_

#include <cstdint>
#include <optional>
#include <string>

#include "looplm/generate.h"

#include "common/command.h"

namespace looplm::cli {

// As the command line says it; empty where it says nothing.
struct DepthChoice {
  std::optional<std::string> exit;
  std::optional<double> threshold;
  std::optional<double> target_depth;
  int64_t min_loops = 1;
  int64_t max_loops = 0;
};

// --loops alone, of commands that run all of them.
void add_loops_option(Command& command, int64_t& loops);
void add_depth_options(Command& command, DepthChoice& choice, const std::string& group);

struct ChosenDepth {
  ExitOptions exit;
  std::string note;  // what it was taken from, where nobody asked for it; else empty
};

// `exact`: the model decodes as the tuning did, keeping the keys and values of every loop and
// choosing from the exit loop.
Result<ChosenDepth> choose_depth(const DepthChoice& choice, const std::string& model_path,
                                 const ModelConfig& config, bool exact);

}  // namespace looplm::cli

#endif  // LOOPLM_CLI_DEPTH_CHOICE_H_
