// Chains: a synthetic task whose answers take a known number of steps.
//
//   3=q;q+4=b;9=k;b=x;k-2=m;x=        answer: 7
//
// Each statement puts its result last: a digit, or an earlier name, copied or with a digit added or
// subtracted modulo 10. The question asks for the last name of a chain; `hops` is the number of
// names between it and a digit. Several chains that have nothing to do with each other are
// interleaved. Names are single letters, used once each.
//
// A statement can be evaluated where its name is written, as soon as the name that it builds on has
// been: a transformer needs sequential steps in depth, some per hop, which is what looping offers.
// Every digit is as likely as any other, so that guessing is right one time in ten.
#ifndef LOOPLM_EXPERIMENTS_CHAINS_H_
#define LOOPLM_EXPERIMENTS_CHAINS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "looplm/status.h"

namespace looplm {

// A sixteenth of all prompts, chosen by a hash of the prompt, is held out.
enum class ChainSplit { kTrain, kHeldOut };

struct ChainOptions {
  int min_hops = 0;  // of each chain, drawn uniformly from min_hops .. max_hops
  int max_hops = 4;
  int max_chains = 4;    // drawn uniformly from 1 .. max_chains
  bool ask_all = false;  // ask for the last name of every chain, in random order; else of one
  ChainSplit split = ChainSplit::kTrain;
  uint64_t seed = 1;
};

// Fails when a range is empty or needs more than the 26 names.
Status check(const ChainOptions& options);

struct ChainQuestion {
  std::string prompt;      // ends in "NAME="; the first one holds the statements
  std::string completion;  // a digit
  int hops = 0;
};
struct ChainExample {
  std::vector<ChainQuestion> questions;
};

// The example with this index: a pure function of the options and the index.
ChainExample chain_example(const ChainOptions& options, uint64_t index);

// Of an example, by its first prompt.
ChainSplit chain_split(const std::string& prompt);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_CHAINS_H_
