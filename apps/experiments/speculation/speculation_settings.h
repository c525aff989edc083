// What the speculation study is asked to do; docs of each in studies/speculation/README.md.
#ifndef LOOPLM_EXPERIMENTS_SPECULATION_SPECULATION_SETTINGS_H_
#define LOOPLM_EXPERIMENTS_SPECULATION_SPECULATION_SETTINGS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "eval/decoding.h"
#include "experiments/core/study_model.h"
#include "train/toml_reader.h"

namespace looplm {

// Prompts to go on from.
struct SpeculationSet {
  std::string name;   // letters, digits, '-' and '_'
  std::string path;   // a prompt per line; empty: sums that the bundled model has not seen
  int64_t words = 0;  // of each line make the prompt; 0: all
  int64_t count = 32;
  DecodeOptions decoding;
};

// Text whose every token is predicted after every loop.
struct SpeculationText {
  std::string name;
  std::string path;   // a text per line
  int64_t count = 0;  // lines at most; 0: all
};

struct SpeculationSettings {
  StudyModel model;
  int64_t loops = 0;   // 0: as many as the model was trained for
  int64_t rounds = 3;  // measurements of speed; medians count
  DecodeModeLists modes;
  std::vector<SpeculationSet> sets;
  std::vector<SpeculationText> texts;
  int64_t text_loops = 0;            // 0: as `loops`; may exceed it
  StudyModel replay = {"", "bf16"};  // without a directory: none
};

// The first error is in the reader's status.
SpeculationSettings read_speculation_settings(TomlReader& toml);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_SPECULATION_SPECULATION_SETTINGS_H_
