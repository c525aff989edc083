// Speculation and exact exits (what arXiv:2510.25741 section 7.4 proposes and does not measure):
// agreement of each loop with the last, passes and lanes per token, speed. Settings are described
// in studies/speculation/README.md.
#ifndef LOOPLM_EXPERIMENTS_SPECULATION_SPECULATION_STUDY_H_
#define LOOPLM_EXPERIMENTS_SPECULATION_SPECULATION_STUDY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "eval/decoding.h"
#include "eval/depth_scores.h"
#include "experiments/core/study.h"
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
  int64_t loops = 0;   // 0: as many as the config says
  int64_t rounds = 3;  // measurements of speed; medians count
  DecodeModeLists modes;
  std::vector<SpeculationSet> sets;
  std::vector<SpeculationText> texts;
  int64_t text_loops = 0;            // 0: as `loops`; may exceed it
  StudyModel replay = {"", "bf16"};  // without a directory: none
};

Status read_speculation_settings(TomlReader& toml, SpeculationSettings& s);

inline std::string agreement_id(const SpeculationText& text) { return "agreement-" + text.name; }
inline std::string decoding_id(const SpeculationSet& set) { return "decoding-" + set.name; }

// {"loops", "texts": lines, "tokens", "same": [[share]], "right": [share], "settled": [share],
// "mean_settled"}: shares of the text's tokens, each predicted from those before it.
Result<OrderedJson> run_text_agreement(const SpeculationSettings& s, const SpeculationText& text,
                                       const CellContext& context);

// {"loops", "prompts", "modes": [{"name", "rate" (tokens per second, median), "over_plain",
// "passes", "lanes", "loops" (each per token), "tokens", "provisional", "revised", "same_as_plain",
// "agreement": [share by loop, null where none was read]}], "settled": mean loop from which all
// agree, "replay": {..}}.
Result<OrderedJson> run_decoding(const SpeculationSettings& s, const SpeculationSet& set,
                                 const CellContext& context);

StudyReport speculation_report(const SpeculationSettings& s, const CellResults& results);

// How far the loops of a model say the same: which of them would choose the token that the last one
// chooses.
struct AgreementCounts {
  int64_t loops = 0;
  int64_t tokens = 0;
  std::vector<int64_t> same;   // (loops, loops): tokens for which both loops choose the same one
  std::vector<int64_t> right;  // (loops): that are the text's
  // (loops): tokens for which loop t + 1 is the first from which on all up to the last compared one
  // choose the same. What speculation that starts at once and never errs would need in passes.
  std::vector<int64_t> settled;

  double share(int64_t a, int64_t b) const {
    return static_cast<double>(same[static_cast<size_t>(a * loops + b)]) /
           static_cast<double>(tokens);
  }
  double mean_settled_loop() const;
};

// Over all scored tokens; `last` (from 1) is the loop whose word counts for `settled`.
AgreementCounts count_agreement(const std::vector<DepthScores>& scores, int64_t last);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_SPECULATION_SPECULATION_STUDY_H_
