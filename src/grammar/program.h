// A grammar compiled to states over bytes: a small machine with a stack.
//
// Characters become UTF-8 byte ranges. Counted repeats keep a counter on the stack instead of
// copies of their body, so that "{1,100000}" costs three states.
#ifndef LOOPLM_GRAMMAR_PROGRAM_H_
#define LOOPLM_GRAMMAR_PROGRAM_H_

#include <cstdint>
#include <vector>

#include "looplm/status.h"

#include "grammar/expression.h"
#include "grammar/overlap.h"

namespace looplm {

struct GrammarProgram {
  struct Edge {
    uint8_t first;
    uint8_t last;
    int32_t target;
  };
  struct State {
    enum class Kind : uint8_t {
      kBytes,   // reads a byte along one of `edges`
      kSplit,   // goes on at any of `targets`
      kCall,    // runs `body`, then goes on at `next`
      kRepeat,  // runs `body` least .. most times, then goes on at `next`
      kEnd,     // the end of a rule or of a repeat's body
    };
    Kind kind = Kind::kEnd;
    std::vector<Edge> edges{};
    std::vector<int32_t> targets{};
    int32_t body = -1;
    int32_t next = -1;
    int64_t least = 0;
    int64_t most = 0;  // or kUnbounded
  };
  std::vector<State> states;
  int32_t start = 0;
};

// Fails on a grammar that matches no text at all, on rules that begin with themselves (left
// recursion), on rules that are missing, and on one that is too large; messages name the rule.
Result<GrammarProgram> compile_grammar(const Grammar& grammar);
// For one of several small grammars that share what their overlaps may take.
Result<GrammarProgram> compile_grammar(const Grammar& grammar, OverlapBudget& budget);

}  // namespace looplm

#endif  // LOOPLM_GRAMMAR_PROGRAM_H_
