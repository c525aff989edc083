// What a text may be, as a context-free grammar over Unicode characters.
//
// A grammar is a list of rules, each an expression; expressions are made by the functions below and
// shared freely. GBNF, regular expressions and JSON schemas are all turned into this form, and
// automaton.h reads it.
#ifndef LOOPLM_GRAMMAR_EXPRESSION_H_
#define LOOPLM_GRAMMAR_EXPRESSION_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace looplm {

struct Expression;
using ExpressionPtr = std::shared_ptr<const Expression>;

// Code points from first to last, both included.
using CharacterRange = std::pair<uint32_t, uint32_t>;

inline constexpr uint32_t kLastCharacter = 0x10FFFF;
inline constexpr int64_t kUnbounded = -1;
inline constexpr int kMostExpressionDepth = 2'000;  // of expressions inside each other

struct Expression {
  enum class Kind { kText, kCharacters, kSequence, kChoice, kRepeat, kRule, kOverlap };
  Kind kind = Kind::kText;
  // kText: these bytes; kOverlap: what it is, for errors, or nothing.
  std::string text{};
  std::vector<CharacterRange> ranges{};  // kCharacters: one of these; ascending, apart
  std::vector<ExpressionPtr> parts{};    // kSequence, kChoice, kOverlap; of kRepeat the one body
  int64_t least = 0;                     // kRepeat; kOverlap: how many parts must match
  int64_t most = kUnbounded;             // kRepeat
  int rule = -1;                         // kRule: its index
};

ExpressionPtr text(std::string bytes);
// Ranges in any order; they may overlap. Surrogates are left out. None: matches nothing.
ExpressionPtr characters(std::vector<CharacterRange> ranges);
// All characters but these.
ExpressionPtr characters_but(std::vector<CharacterRange> ranges);
ExpressionPtr sequence(std::vector<ExpressionPtr> parts);
ExpressionPtr choice(std::vector<ExpressionPtr> parts);  // none: matches nothing
ExpressionPtr repeat(ExpressionPtr body, int64_t least, int64_t most);
ExpressionPtr optional(ExpressionPtr body);
ExpressionPtr rule_reference(int rule);
ExpressionPtr any_text();
// Texts that all of `with` match, one at least, and none of `without`. No part refers to a rule.
ExpressionPtr overlap(std::vector<ExpressionPtr> with, std::vector<ExpressionPtr> without,
                      std::string what = "");

// Copies expressions with their leaves replaced: texts, characters, rules, and what matches
// nothing. Parts that are shared stay shared, among all expressions that one changer copies.
class LeafChanger {
 public:
  using Leaf = std::function<ExpressionPtr(const ExpressionPtr&)>;
  explicit LeafChanger(Leaf leaf) : leaf_(std::move(leaf)) {}

  // `e` must live as long as the changer.
  ExpressionPtr operator()(const ExpressionPtr& e);

 private:
  const Leaf leaf_;
  std::unordered_map<const Expression*, ExpressionPtr> changed_;
};

struct Grammar {
  struct Rule {
    std::string name;
    ExpressionPtr expression;  // null until it is defined
  };
  std::vector<Rule> rules;
  int start = 0;

  // Adds a rule to be defined later, and returns its index.
  int declare(std::string name) {
    rules.push_back({std::move(name), nullptr});
    return static_cast<int>(rules.size()) - 1;
  }
};

// Texts of one grammar or of the other.
Grammar either_of(Grammar a, const Grammar& b);

}  // namespace looplm

#endif  // LOOPLM_GRAMMAR_EXPRESSION_H_
