#include "grammar/json_members.h"

#include <algorithm>
#include <memory>
#include <utility>

#include <fmt/format.h>

#include "grammar/automaton.h"
#include "grammar/json_parts.h"

namespace looplm {
namespace {

// Rules that count an object's members.
constexpr size_t kMostMemberStates = 10'000;

// Members without a name of their own, behind those that have one, and the space at the end.
ExpressionPtr others_after(int64_t written, const ExpressionPtr& extra, const MemberCounts& count) {
  if (count.most != kUnbounded && written > count.most) return choice({});
  const int64_t missing = std::max<int64_t>(0, count.least - written);
  const int64_t room = count.most == kUnbounded ? kUnbounded : count.most - written;
  if (extra == nullptr || room == 0) {
    if (missing > 0) return choice({});
    return written == 0 ? text("") : json_space();
  }
  if (missing > 1) return choice({});  // others may all have the same name
  if (room != kUnbounded && room < missing) return choice({});
  const ExpressionPtr more = sequence({json_comma(), extra});
  if (written > 0) return sequence({repeat(more, missing, room), json_space()});
  const ExpressionPtr some =
      sequence({extra, repeat(more, 0, room == kUnbounded ? kUnbounded : room - 1), json_space()});
  return missing > 0 ? some : optional(some);
}

}  // namespace

ExpressionPtr as_rule(ExpressionPtr expression, std::string name, Grammar& grammar) {
  if (expression->kind == Expression::Kind::kRule) return expression;
  const int rule = grammar.declare(std::move(name));
  grammar.rules[static_cast<size_t>(rule)].expression = std::move(expression);
  return rule_reference(rule);
}

Result<ExpressionPtr> members_in_order(const std::vector<ObjectMember>& members,
                                       const ExpressionPtr& extra, const MemberCounts& count,
                                       const std::string& place, Grammar& grammar) {
  const auto size = static_cast<int64_t>(members.size());
  const bool unbounded = count.most == kUnbounded || (extra == nullptr && count.most >= size);
  const int64_t cap = std::min(std::max<int64_t>({1, count.least, unbounded ? 0 : count.most}),
                               std::max<int64_t>(1, size + 1));
  if (members.size() * static_cast<size_t>(cap) > kMostMemberStates) {
    return unsupported(fmt::format(
        "{}: minProperties and maxProperties are too large for {} properties", place, size));
  }
  // By the number of members written: what may follow.
  std::vector<ExpressionPtr> after;
  for (int64_t written = 0; written <= cap; ++written) {
    after.push_back(
        others_after(written, extra, {count.least, unbounded ? kUnbounded : count.most}));
  }
  for (int64_t i = size; i-- > 0;) {
    const ObjectMember& m = members[static_cast<size_t>(i)];
    for (size_t k = 0; k < after.size(); ++k) {
      after[k] = as_rule(std::move(after[k]), fmt::format("{} (member {} after {})", place, i, k),
                         grammar);
    }
    std::vector<ExpressionPtr> from;
    for (int64_t written = 0; written <= cap; ++written) {
      std::vector<ExpressionPtr> choices;
      if (unbounded || written < count.most) {
        choices.push_back(sequence({written == 0 ? text("") : json_comma(), m.expression,
                                    after[static_cast<size_t>(std::min(written + 1, cap))]}));
      }
      if (!m.required) choices.push_back(after[static_cast<size_t>(written)]);
      from.push_back(choice(std::move(choices)));
    }
    after = std::move(from);
  }
  return after[0];
}

Result<std::vector<std::string>> keys_that_match(const OrderedJson& object,
                                                 const ExpressionPtr& name,
                                                 const std::string& place, OverlapBudget& budget) {
  std::vector<std::string> keys;
  if (object.empty()) return keys;
  Grammar grammar;
  grammar.declare("name");
  grammar.rules[0].expression = name;
  Result<GrammarProgram> program = compile_grammar(grammar, budget);
  if (!program.ok()) return program.status().with_context(place);
  GrammarAutomaton automaton(std::make_shared<const GrammarProgram>(std::move(program).value()));
  for (const auto& [key, value] : object.items()) {
    GrammarAutomaton::StateId state = automaton.start();
    for (const char c : dump_json(OrderedJson(key))) {
      state = automaton.after(state, static_cast<uint8_t>(c));
    }
    if (automaton.accepts(state)) keys.push_back(key);
  }
  return keys;
}

std::string fixed_beginning(const std::string& pattern) {
  if (!pattern.starts_with('^') || pattern.find('|') != std::string::npos) return "";
  const size_t end = std::min(pattern.find_first_of("\\[](){}.*+?^$", 1), pattern.size());
  std::string beginning = pattern.substr(1, end - 1);
  const bool repeated =
      end < pattern.size() && (pattern[end] == '*' || pattern[end] == '?' || pattern[end] == '{');
  if (repeated) {  // takes the last character, of one or several bytes
    while (!beginning.empty() && (static_cast<uint8_t>(beginning.back()) & 0xC0) == 0x80)
      beginning.pop_back();
    if (!beginning.empty()) beginning.pop_back();
  }
  return beginning;
}

}  // namespace looplm
