// Sums with the work written out: a task of which later tokens depend on tokens generated before.
//
//   7-2*3+8*2=          answer with two operations a line: 7-2*3=5;5+8*2=6
//
// Each line takes the next operations of the prompt and begins with the result of the line before,
// so that a wrong digit, or keys and values that say less than they should, spoil what follows. The
// sums are those of experiments/arithmetic.h. More operations a line need more depth per result.
#ifndef LOOPLM_EXPERIMENTS_KV_WORKED_SUM_H_
#define LOOPLM_EXPERIMENTS_KV_WORKED_SUM_H_

#include <cstdint>
#include <string>

#include "looplm/status.h"

#include "eval/arithmetic.h"

namespace looplm {

struct WorkedSumOptions {
  int min_lines = 2;  // drawn uniformly from min_lines .. max_lines
  int max_lines = 4;
  int operations_per_line = 2;
  int modulus = 10;                                 // as in arithmetic.h
  ArithmeticSplit split = ArithmeticSplit::kTrain;  // of prompts, as there
  uint64_t seed = 1;
};

// Fails when the range is empty, or on sums that arithmetic.h would refuse.
Status check(const WorkedSumOptions& options);

struct WorkedSum {
  std::string prompt;  // ends in "="
  std::string work;    // the lines joined by ";"; its last character is the answer
  int lines = 0;
};

// The example with this index: a pure function of the options and the index.
WorkedSum worked_sum(const WorkedSumOptions& options, uint64_t index);

inline constexpr const char* kWorkedSumAlphabet = "0123456789+-*=;";

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_KV_WORKED_SUM_H_
