// Whether two expressions have the same value, whatever their symbols stand for.
#ifndef LOOPLM_EVAL_MATH_VALUE_H_
#define LOOPLM_EVAL_MATH_VALUE_H_

#include <cstdint>

#include "eval/math_parser.h"

namespace looplm {

// Steps of evaluation that a comparison may take; without end a few symbols can ask for any number.
struct MathBudget {
  int64_t steps = 300'000;
};

// Where both are made of numbers, symbols and + - * / and whole powers, exactly (of 2^1000 and
// 2^1000 + 1 it says no): both are evaluated modulo primes, at points drawn at random. Else in
// floating point at such points, to a relative 1e-10. False where a value cannot be told.
bool same_value(const MathNode& a, const MathNode& b, MathBudget& budget);

// The same of numbers as people round them: whole ones exactly, others to a relative 1e-9.
bool same_rounded_number(const MathNode& a, const MathNode& b, MathBudget& budget);

// Whether b is a, multiplied by a number that is not 0; above it, where `positive`.
bool same_but_for_factor(const MathNode& a, const MathNode& b, bool positive, MathBudget& budget);

// Whether the expression has the same value wherever its symbols stand; no symbol, then.
bool is_constant(const MathNode& x);

}  // namespace looplm

#endif  // LOOPLM_EVAL_MATH_VALUE_H_
