// Chains: a synthetic task whose answers take a known number of steps.
//
//   3=q;q+4=b;9=k;b*2=x;x=        answer: 4
//
// Each statement puts its result last: a digit, or an earlier name combined with a digit by + - *,
// modulo 10. The question asks for a name; `hops` is the number of operations on the way to it.
// Distractors are a second chain, interleaved, that the answer does not depend on. Names are
// single letters, used once each.
//
// A statement can be evaluated where its name is written, as soon as the name that it builds on has
// been: a transformer needs sequential steps in depth, about one per hop, which is what looping
// offers.
#ifndef LOOPLM_EXPERIMENTS_CHAINS_H_
#define LOOPLM_EXPERIMENTS_CHAINS_H_

#include <cstdint>
#include <string>

#include "looplm/status.h"

namespace looplm {

// A sixteenth of all prompts, chosen by a hash of the prompt, is held out.
enum class ChainSplit { kTrain, kHeldOut };

struct ChainOptions {
  int min_hops = 0;  // drawn uniformly from min_hops .. max_hops
  int max_hops = 6;
  int max_distractors = 4;  // statements of the second chain: uniformly 0 .. max_distractors
  // Also ask for the names on the way, deepest first: "4;b=7;q=3". More targets to learn from.
  bool all_queries = false;
  ChainSplit split = ChainSplit::kTrain;
  uint64_t seed = 1;
};

// Fails when a range is empty or needs more than the 26 names.
Status check(const ChainOptions& options);

struct ChainExample {
  std::string prompt;      // ends in "NAME="
  std::string completion;  // a digit, with all_queries followed by ";NAME=DIGIT" each
  int hops = 0;
};

// The example with this index: a pure function of the options and the index.
ChainExample chain_example(const ChainOptions& options, uint64_t index);

ChainSplit chain_split(const std::string& prompt);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_CHAINS_H_
