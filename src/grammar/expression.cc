#include "grammar/expression.h"

#include <algorithm>

namespace looplm {
namespace {

constexpr uint32_t kFirstSurrogate = 0xD800;
constexpr uint32_t kLastSurrogate = 0xDFFF;

std::vector<CharacterRange> normalised(std::vector<CharacterRange> ranges) {
  std::sort(ranges.begin(), ranges.end());
  std::vector<CharacterRange> merged;
  for (const auto& [first, last] : ranges) {
    if (first > last) continue;
    if (!merged.empty() && first <= merged.back().second + 1) {
      merged.back().second = std::max(merged.back().second, last);
    } else {
      merged.emplace_back(first, last);
    }
  }
  return merged;
}

std::vector<CharacterRange> inverse(const std::vector<CharacterRange>& ranges) {
  std::vector<CharacterRange> rest;
  uint32_t next = 0;
  for (const auto& [first, last] : ranges) {
    if (first > next) rest.emplace_back(next, first - 1);
    next = last + 1;
  }
  if (next <= kLastCharacter) rest.emplace_back(next, kLastCharacter);
  return rest;
}

ExpressionPtr of_ranges(std::vector<CharacterRange> ranges) {
  Expression e;
  e.kind = Expression::Kind::kCharacters;
  e.ranges = std::move(ranges);
  return std::make_shared<Expression>(std::move(e));
}

}  // namespace

ExpressionPtr text(std::string bytes) {
  Expression e;
  e.text = std::move(bytes);
  return std::make_shared<Expression>(std::move(e));
}

ExpressionPtr characters(std::vector<CharacterRange> ranges) {
  std::vector<CharacterRange> others = inverse(normalised(std::move(ranges)));
  others.emplace_back(kFirstSurrogate, kLastSurrogate);
  return of_ranges(inverse(normalised(std::move(others))));
}

ExpressionPtr characters_but(std::vector<CharacterRange> ranges) {
  ranges.emplace_back(kFirstSurrogate, kLastSurrogate);
  return of_ranges(inverse(normalised(std::move(ranges))));
}

ExpressionPtr sequence(std::vector<ExpressionPtr> parts) {
  if (parts.size() == 1) return parts[0];
  Expression e;
  e.kind = Expression::Kind::kSequence;
  e.parts = std::move(parts);
  return std::make_shared<Expression>(std::move(e));
}

ExpressionPtr choice(std::vector<ExpressionPtr> parts) {
  if (parts.size() == 1) return parts[0];
  Expression e;
  e.kind = Expression::Kind::kChoice;
  e.parts = std::move(parts);
  return std::make_shared<Expression>(std::move(e));
}

ExpressionPtr repeat(ExpressionPtr body, int64_t least, int64_t most) {
  if (least == 1 && most == 1) return body;
  Expression e;
  e.kind = Expression::Kind::kRepeat;
  e.parts = {std::move(body)};
  e.least = least;
  e.most = most;
  return std::make_shared<Expression>(std::move(e));
}

ExpressionPtr optional(ExpressionPtr body) { return repeat(std::move(body), 0, 1); }

ExpressionPtr rule_reference(int rule) {
  Expression e;
  e.kind = Expression::Kind::kRule;
  e.rule = rule;
  return std::make_shared<Expression>(std::move(e));
}

ExpressionPtr any_text() { return repeat(characters_but({}), 0, kUnbounded); }

ExpressionPtr overlap(std::vector<ExpressionPtr> with, std::vector<ExpressionPtr> without,
                      std::string what) {
  if (with.size() == 1 && without.empty()) return with[0];
  Expression e;
  e.kind = Expression::Kind::kOverlap;
  e.text = std::move(what);
  e.least = static_cast<int64_t>(with.size());
  e.parts = std::move(with);
  e.parts.insert(e.parts.end(), without.begin(), without.end());
  return std::make_shared<Expression>(std::move(e));
}

ExpressionPtr LeafChanger::operator()(const ExpressionPtr& e) {
  if (e->parts.empty()) return leaf_(e);
  ExpressionPtr& known = changed_[e.get()];
  if (known != nullptr) return known;
  Expression copy = *e;
  for (ExpressionPtr& part : copy.parts) part = (*this)(part);
  return known = std::make_shared<Expression>(std::move(copy));
}

Grammar either_of(Grammar a, const Grammar& b) {
  const auto count = static_cast<int>(a.rules.size());
  LeafChanger moved([count](const ExpressionPtr& leaf) {
    return leaf->kind == Expression::Kind::kRule ? rule_reference(leaf->rule + count) : leaf;
  });
  for (const Grammar::Rule& rule : b.rules) {
    a.rules.push_back({rule.name, rule.expression == nullptr ? nullptr : moved(rule.expression)});
  }
  const int start = a.declare("either");
  a.rules[static_cast<size_t>(start)].expression =
      choice({rule_reference(a.start), rule_reference(b.start + count)});
  a.start = start;
  return a;
}

}  // namespace looplm
