// Arithmetic in a row: a synthetic task whose answers take a known number of steps.
//
//   7-2*3+8=        answer: 3      (7-2 is 5, 5*3 is 15, 15+8 is 23)
//
// Digits joined by + - *, worked out from left to right without precedence, keeping only the last
// digit (that is, modulo 10, or less) after each operation. `operations` counts them. Each result
// depends on the one before it in a way that does not commute, so a transformer needs steps one
// after another in depth, which is what looping offers.
//
// Multiplying forgets (everything times 0 is 0), so a later operation can make earlier ones
// irrelevant: steps_needed counts those that matter.
#ifndef LOOPLM_EVAL_ARITHMETIC_H_
#define LOOPLM_EVAL_ARITHMETIC_H_

#include <cstdint>
#include <string>

#include "looplm/status.h"

#include "base/named.h"

namespace looplm {

// The characters of prompts and completions.
inline constexpr const char* kArithmeticAlphabet = "0123456789+-*=";

// A sixteenth of all prompts, chosen by a hash of the prompt, is held out.
enum class ArithmeticSplit { kTrain, kHeldOut };
inline constexpr NameTable<ArithmeticSplit, 2> kArithmeticSplitNames = {
    {{ArithmeticSplit::kTrain, "train"}, {ArithmeticSplit::kHeldOut, "held-out"}}};

struct ArithmeticOptions {
  int min_operations = 1;  // drawn uniformly from min_operations .. max_operations
  int max_operations = 8;
  int modulus = 10;  // 2 .. 10; digits are below it
  ArithmeticSplit split = ArithmeticSplit::kTrain;
  uint64_t seed = 1;
};

// Fails when the range is empty or leaves 1 .. 1000, and on a modulus out of range.
Status check(const ArithmeticOptions& options);

struct ArithmeticExample {
  std::string prompt;      // ends in "="
  std::string completion;  // a digit
  int operations = 0;
  int steps_needed = 0;  // operations from the last factor 0 on; all of them when there is none
};

// The example with this index: a pure function of the options and the index.
ArithmeticExample arithmetic_example(const ArithmeticOptions& options, uint64_t index);

ArithmeticSplit arithmetic_split(const std::string& prompt);

// The answer to a well-formed prompt.
int arithmetic_value(const std::string& prompt, int modulus = 10);

}  // namespace looplm

#endif  // LOOPLM_EVAL_ARITHMETIC_H_
