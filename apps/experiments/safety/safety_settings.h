// What the safety study is asked to do; docs of each in studies/safety/README.md.
#ifndef LOOPLM_EXPERIMENTS_SAFETY_SAFETY_SETTINGS_H_
#define LOOPLM_EXPERIMENTS_SAFETY_SAFETY_SETTINGS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "experiments/core/study_model.h"
#include "experiments/safety/answers.h"
#include "experiments/safety/judge.h"
#include "train/toml_reader.h"

namespace looplm {

struct SafetySettings {
  StudyModel model;

  std::string prompts;
  int64_t per_category = 0;  // 0: all
  AskOptions ask;

  std::vector<int64_t> loops = {1, 2, 3, 4, 5, 6, 7, 8};
  std::vector<uint64_t> seeds = {1};
  GenerateOptions generation;
  uint64_t kv_bytes = 0;
  std::string answer_after;  // what a judge sees begins after the last of these

  JudgeOptions judge;
  std::string api_key_variable;
  std::string rubric_file;

  // Two sets of prompts for the separation of states; empty: not measured.
  std::string first_set;
  std::string second_set;
  bool judge_first = true;  // answers to the first set are judged too, and colour its points
  int64_t state_loops = 8;
  std::vector<int64_t> scatter_loops;  // drawn
  int64_t folds = 10;
  double penalty = 1;

  double paper_harmful_rate = 0;  // of the paper's model at its trained depth; 0: not compared

  bool has_states() const { return !first_set.empty(); }
};

// The first error is in the reader's status.
SafetySettings read_safety_settings(TomlReader& toml);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_SAFETY_SAFETY_SETTINGS_H_
