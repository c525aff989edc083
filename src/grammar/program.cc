#include "grammar/program.h"

#include <algorithm>
#include <array>
#include <map>
#include <numeric>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include <fmt/format.h>

#include "grammar/overlap.h"

namespace looplm {
namespace {

using Kind = Expression::Kind;
using State = GrammarProgram::State;

constexpr size_t kMostStates = 400'000;

// What a rule can do. Expressions share parts, so each is looked at once, not once per use: their
// number doubles with each level otherwise.
class Analysis {
 public:
  explicit Analysis(const Grammar& grammar)
      : grammar_(grammar),
        users_(grammar.rules.size()),
        productive_(grammar.rules.size(), false),
        nullable_(grammar.rules.size(), false) {}

  Status check() {
    for (const Grammar::Rule& rule : grammar_.rules) {
      if (rule.expression == nullptr) {
        return invalid_argument(fmt::format("grammar rule '{}' is not defined", rule.name));
      }
      if (!height(*rule.expression, 0).has_value()) {
        return invalid_argument(fmt::format("grammar rule '{}' nests deeper than {} expressions",
                                            rule.name, kMostExpressionDepth));
      }
    }
    for (size_t i = 0; i < grammar_.rules.size(); ++i) {
      std::unordered_set<const Expression*> seen;
      add_users(*grammar_.rules[i].expression, i, seen);
    }
    settle(productive_, are_productive_, [this](const Expression& e) { return productive(e); });
    settle(nullable_, are_nullable_, [this](const Expression& e) { return nullable(e); });
    if (!productive_[static_cast<size_t>(grammar_.start)]) {
      return invalid_argument(
          fmt::format("grammar rule '{}' matches no text at all",
                      grammar_.rules[static_cast<size_t>(grammar_.start)].name));
    }
    return check_left_recursion();
  }

  // Whether some finite text matches. What cannot be finished is left out of the program, so that a
  // model is never led into it.
  bool productive(const Expression& e) {
    return known(are_productive_, e, [&] { return find_productive(e); });
  }

 private:
  using Known = std::unordered_map<const Expression*, bool>;

  template <typename Find>
  static bool known(Known& values, const Expression& e, Find find) {
    if (e.parts.empty()) return find();
    if (const auto value = values.find(&e); value != values.end()) return value->second;
    return values[&e] = find();
  }

  bool find_productive(const Expression& e) {
    switch (e.kind) {
      case Kind::kText:
        return true;
      case Kind::kCharacters:
        return !e.ranges.empty();
      case Kind::kSequence:
        return std::all_of(e.parts.begin(), e.parts.end(),
                           [this](const ExpressionPtr& p) { return productive(*p); });
      case Kind::kChoice:
        return std::any_of(e.parts.begin(), e.parts.end(),
                           [this](const ExpressionPtr& p) { return productive(*p); });
      case Kind::kRepeat:
        if (e.most != kUnbounded && e.most < e.least) return false;
        return e.least == 0 || productive(*e.parts[0]);
      case Kind::kRule:
        return productive_[static_cast<size_t>(e.rule)];
      case Kind::kOverlap:
        break;  // has become rules
    }
    return false;
  }

  // Levels of an expression that stands `depth` deep; none where that is too deep.
  std::optional<int> height(const Expression& e, int depth) {
    if (depth > kMostExpressionDepth) return std::nullopt;
    if (e.parts.empty()) return 0;
    if (const auto known = heights_.find(&e); known != heights_.end()) {
      return depth + known->second > kMostExpressionDepth ? std::nullopt
                                                          : std::optional(known->second);
    }
    int most = 0;
    for (const ExpressionPtr& part : e.parts) {
      const std::optional<int> below = height(*part, depth + 1);
      if (!below.has_value()) return std::nullopt;
      most = std::max(most, *below + 1);
    }
    return heights_[&e] = most;
  }

  bool nullable(const Expression& e) {
    return known(are_nullable_, e, [&] { return find_nullable(e); });
  }
  bool find_nullable(const Expression& e) {
    switch (e.kind) {
      case Kind::kText:
        return e.text.empty();
      case Kind::kCharacters:
        return false;
      case Kind::kSequence:
        return std::all_of(e.parts.begin(), e.parts.end(),
                           [this](const ExpressionPtr& p) { return nullable(*p); });
      case Kind::kChoice:
        return std::any_of(e.parts.begin(), e.parts.end(),
                           [this](const ExpressionPtr& p) { return nullable(*p); });
      case Kind::kRepeat:
        return e.least == 0 || nullable(*e.parts[0]);
      case Kind::kRule:
        return nullable_[static_cast<size_t>(e.rule)];
      case Kind::kOverlap:
        break;
    }
    return false;
  }

  void add_users(const Expression& e, size_t rule, std::unordered_set<const Expression*>& seen) {
    if (!e.parts.empty() && !seen.insert(&e).second) return;
    if (e.kind == Kind::kRule) {
      std::vector<size_t>& users = users_[static_cast<size_t>(e.rule)];
      if (users.empty() || users.back() != rule) users.push_back(rule);
    }
    for (const ExpressionPtr& part : e.parts) add_users(*part, rule, seen);
  }

  // A rule is looked at again when one that it uses has become known. What is said of expressions
  // on the way may change with that.
  template <typename Property>
  void settle(std::vector<bool>& rules, Known& expressions, Property property) {
    std::vector<size_t> open(rules.size());
    std::iota(open.rbegin(), open.rend(), size_t{0});
    while (!open.empty()) {
      const size_t rule = open.back();
      open.pop_back();
      if (rules[rule]) continue;
      expressions.clear();
      if (!property(*grammar_.rules[rule].expression)) continue;
      rules[rule] = true;
      open.insert(open.end(), users_[rule].begin(), users_[rule].end());
    }
    expressions.clear();
  }

  // Rules that may stand first in `e`.
  void add_first_rules(const Expression& e, std::vector<int>& rules,
                       std::unordered_set<const Expression*>& seen) {
    if (!e.parts.empty() && !seen.insert(&e).second) return;
    switch (e.kind) {
      case Kind::kText:
      case Kind::kCharacters:
        return;
      case Kind::kSequence:
        for (const ExpressionPtr& part : e.parts) {
          add_first_rules(*part, rules, seen);
          if (!nullable(*part)) return;
        }
        return;
      case Kind::kChoice:
      case Kind::kRepeat:
        for (const ExpressionPtr& part : e.parts) add_first_rules(*part, rules, seen);
        return;
      case Kind::kRule:
        rules.push_back(e.rule);
        return;
      case Kind::kOverlap:
        return;
    }
  }

  Status check_left_recursion() {
    std::vector<std::vector<int>> first(grammar_.rules.size());
    for (size_t i = 0; i < first.size(); ++i) {
      std::unordered_set<const Expression*> seen;
      add_first_rules(*grammar_.rules[i].expression, first[i], seen);
    }
    enum class Mark : uint8_t { kNew, kOpen, kDone };
    std::vector<Mark> marks(first.size(), Mark::kNew);
    for (size_t root = 0; root < first.size(); ++root) {
      std::vector<std::pair<size_t, size_t>> path = {{root, 0}};  // rule, next of its first ones
      while (!path.empty()) {
        auto& [rule, next] = path.back();
        if (next == 0 && marks[rule] == Mark::kDone) {
          path.pop_back();
          continue;
        }
        marks[rule] = Mark::kOpen;
        if (next == first[rule].size()) {
          marks[rule] = Mark::kDone;
          path.pop_back();
          continue;
        }
        const auto target = static_cast<size_t>(first[rule][next++]);
        if (marks[target] == Mark::kOpen) {
          return invalid_argument(fmt::format(
              "grammar rule '{}' begins with itself (left recursion); write it as a repetition",
              grammar_.rules[target].name));
        }
        if (marks[target] == Mark::kNew) path.emplace_back(target, 0);
      }
    }
    return {};
  }

  const Grammar& grammar_;
  std::vector<std::vector<size_t>> users_;  // of each rule
  std::vector<bool> productive_;            // rules
  std::vector<bool> nullable_;
  Known are_productive_;  // expressions
  Known are_nullable_;
  std::unordered_map<const Expression*, int> heights_;
};

// A character range as UTF-8: sequences of up to four byte ranges.
struct ByteSequence {
  size_t length = 0;
  std::array<std::pair<uint8_t, uint8_t>, 4> bytes{};
};

void add_byte_sequences(uint32_t first, uint32_t last, std::vector<ByteSequence>& out) {
  // Ranges of one length, then ranges whose later bytes run through all continuations.
  constexpr std::array<uint32_t, 4> kLast = {0x7F, 0x7FF, 0xFFFF, 0x10FFFF};
  for (size_t length = 1; length <= 4; ++length) {
    if (first > kLast[length - 1]) continue;
    if (last > kLast[length - 1]) {
      add_byte_sequences(first, kLast[length - 1], out);
      add_byte_sequences(kLast[length - 1] + 1, last, out);
      return;
    }
    for (size_t i = 1; i < length; ++i) {
      const uint32_t low = (uint32_t{1} << (6 * i)) - 1;
      if ((first & ~low) == (last & ~low)) continue;
      if ((first & low) != 0) {
        add_byte_sequences(first, first | low, out);
        add_byte_sequences((first | low) + 1, last, out);
        return;
      }
      if ((last & low) != low) {
        add_byte_sequences(first, (last & ~low) - 1, out);
        add_byte_sequences(last & ~low, last, out);
        return;
      }
    }
    constexpr std::array<uint32_t, 4> kLead = {0x00, 0xC0, 0xE0, 0xF0};
    ByteSequence s;
    s.length = length;
    for (size_t i = 0; i < length; ++i) {
      const auto shift = static_cast<uint32_t>(6 * (length - 1 - i));
      const uint32_t mark = i == 0 ? kLead[length - 1] : 0x80;
      const uint32_t mask = i == 0 ? 0xFFu : 0x3Fu;
      s.bytes[i] = {static_cast<uint8_t>(mark | ((first >> shift) & mask)),
                    static_cast<uint8_t>(mark | ((last >> shift) & mask))};
    }
    out.push_back(s);
    return;
  }
}

class Compiler {
 public:
  Compiler(const Grammar& grammar, Analysis& analysis)
      : grammar_(grammar), analysis_(analysis), entries_(grammar.rules.size(), -1) {}

  Result<GrammarProgram> run() {
    for (size_t i = 0; i < entries_.size(); ++i) {
      if (analysis_.productive(*grammar_.rules[i].expression))
        entries_[i] = add(State::Kind::kSplit);
    }
    for (size_t i = 0; i < entries_.size(); ++i) {
      if (entries_[i] < 0) continue;
      const int32_t entry = compile(*grammar_.rules[i].expression, add(State::Kind::kEnd));
      at(entries_[i]).targets = {entry};
      if (program_.states.size() > kMostStates) {
        return resource_exhausted(fmt::format("the grammar needs more than {} states, at rule '{}'",
                                              kMostStates, grammar_.rules[i].name));
      }
    }
    program_.start = entries_[static_cast<size_t>(grammar_.start)];
    return std::move(program_);
  }

 private:
  State& at(int32_t state) { return program_.states[static_cast<size_t>(state)]; }
  int32_t add(State::Kind kind) {
    program_.states.emplace_back();
    program_.states.back().kind = kind;
    return static_cast<int32_t>(program_.states.size()) - 1;
  }

  // The state from which `e` is read, after which the machine goes on at `next`. `e` is productive.
  int32_t compile(const Expression& e, int32_t next) {
    if (program_.states.size() > kMostStates) return next;  // reported by run()
    if (e.parts.empty()) return compile_new(e, next);
    const auto known = compiled_.find({&e, next});
    if (known != compiled_.end()) return known->second;
    const int32_t entry = compile_new(e, next);
    compiled_.emplace(std::pair(&e, next), entry);
    return entry;
  }

  int32_t compile_new(const Expression& e, int32_t next) {
    switch (e.kind) {
      case Kind::kText: {
        int32_t state = next;
        for (auto byte = e.text.rbegin(); byte != e.text.rend(); ++byte) {
          state = byte_state({{static_cast<uint8_t>(*byte), static_cast<uint8_t>(*byte), state}});
        }
        return state;
      }
      case Kind::kCharacters:
        return compile_characters(e, next);
      case Kind::kSequence: {
        int32_t state = next;
        for (auto part = e.parts.rbegin(); part != e.parts.rend(); ++part) {
          state = compile(**part, state);
        }
        return state;
      }
      case Kind::kChoice: {
        std::vector<int32_t> targets;
        for (const ExpressionPtr& part : e.parts) {
          if (analysis_.productive(*part)) targets.push_back(compile(*part, next));
        }
        return split(std::move(targets));
      }
      case Kind::kRepeat:
        return compile_repeat(e, next);
      case Kind::kRule: {
        const int32_t state = add(State::Kind::kCall);
        at(state).body = entries_[static_cast<size_t>(e.rule)];
        at(state).next = next;
        return state;
      }
      case Kind::kOverlap:
        break;
    }
    return next;
  }

  int32_t split(std::vector<int32_t> targets) {
    if (targets.size() == 1) return targets[0];
    const int32_t state = add(State::Kind::kSplit);
    at(state).targets = std::move(targets);
    return state;
  }

  int32_t byte_state(std::vector<GrammarProgram::Edge> edges) {
    const int32_t state = add(State::Kind::kBytes);
    at(state).edges = std::move(edges);
    return state;
  }

  int32_t compile_characters(const Expression& e, int32_t next) {
    std::vector<ByteSequence> sequences;
    for (const auto& [first, last] : e.ranges) add_byte_sequences(first, last, sequences);
    // Sequences with the same tail share its states.
    std::map<std::vector<std::pair<uint8_t, uint8_t>>, int32_t> tails;
    std::vector<GrammarProgram::Edge> edges;
    for (const ByteSequence& s : sequences) {
      int32_t target = next;
      std::vector<std::pair<uint8_t, uint8_t>> tail;
      for (size_t i = s.length; i-- > 1;) {
        tail.insert(tail.begin(), s.bytes[i]);
        const auto [place, fresh] = tails.try_emplace(tail, -1);
        if (fresh) place->second = byte_state({{s.bytes[i].first, s.bytes[i].second, target}});
        target = place->second;
      }
      edges.push_back({s.bytes[0].first, s.bytes[0].second, target});
    }
    return byte_state(std::move(edges));
  }

  int32_t compile_repeat(const Expression& e, int32_t next) {
    const Expression& body = *e.parts[0];
    if (e.most == 0 || !analysis_.productive(body)) return next;
    if (e.most == 1 && e.least == 1) return compile(body, next);
    if (e.most == 1) return split({compile(body, next), next});
    if (e.most == kUnbounded && e.least <= 1) {
      const int32_t again = add(State::Kind::kSplit);
      const int32_t entry = compile(body, again);
      at(again).targets = {entry, next};
      return e.least == 0 ? again : entry;
    }
    const int32_t state = add(State::Kind::kRepeat);
    const int32_t entry = compile(body, add(State::Kind::kEnd));
    State& s = at(state);
    s.body = entry;
    s.next = next;
    s.least = e.least;
    s.most = e.most;
    return state;
  }

  const Grammar& grammar_;
  Analysis& analysis_;
  std::vector<int32_t> entries_;  // of rules
  std::map<std::pair<const Expression*, int32_t>, int32_t> compiled_;
  GrammarProgram program_;
};

}  // namespace

Result<GrammarProgram> compile_grammar(const Grammar& grammar) {
  OverlapBudget budget;
  return compile_grammar(grammar, budget);
}

Result<GrammarProgram> compile_grammar(const Grammar& given, OverlapBudget& budget) {
  LOOPLM_ASSIGN_OR_RETURN(const Grammar grammar, overlaps_as_rules(given, budget));
  Analysis analysis(grammar);
  LOOPLM_RETURN_IF_ERROR(analysis.check());
  return Compiler(grammar, analysis).run();
}

}  // namespace looplm
