#include "grammar/overlap.h"

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include <fmt/format.h>

#include "grammar/automaton.h"
#include "text/utf8.h"

namespace looplm {
namespace {

using Kind = Expression::Kind;

constexpr size_t kMostPlaces = 4'000;  // rules of one overlap

// Characters that no part tells apart, and one of them.
struct CharacterClass {
  std::vector<CharacterRange> ranges;
  std::string sample;
};

void collect_leaves(const ExpressionPtr& e, std::unordered_set<const Expression*>& seen,
                    std::vector<const Expression*>& leaves) {
  if (!seen.insert(e.get()).second) return;
  if (e->parts.empty()) leaves.push_back(e.get());
  for (const ExpressionPtr& part : e->parts) collect_leaves(part, seen, leaves);
}

bool holds(const std::vector<CharacterRange>& ranges, uint32_t c) {
  const auto after = std::upper_bound(ranges.begin(), ranges.end(), CharacterRange{c, UINT32_MAX});
  return after != ranges.begin() && c <= std::prev(after)->second;
}

std::vector<CharacterClass> character_classes(const std::vector<const Expression*>& leaves) {
  std::set<uint32_t> cuts = {0, 0xE000};  // where a class may begin
  std::set<uint32_t> alone;               // characters of texts
  for (const Expression* leaf : leaves) {
    for (const auto& [first, last] : leaf->ranges) {
      cuts.insert(first);
      cuts.insert(last + 1);
    }
    for (std::string_view rest = leaf->text; !rest.empty();) {
      const Utf8Step step = utf8_step(rest);
      if (step.kind == Utf8Step::Kind::kCharacter) {
        const uint32_t c = utf8_decode(rest.substr(0, step.size));
        alone.insert(c);
        cuts.insert(c);
        cuts.insert(c + 1);
      }
      rest.remove_prefix(step.size);
    }
  }
  std::map<std::string, CharacterClass> classes;  // by which leaves hold them
  for (auto cut = cuts.begin(); cut != cuts.end() && *cut <= kLastCharacter; ++cut) {
    const uint32_t first = *cut;
    const uint32_t end = std::next(cut) == cuts.end() ? kLastCharacter + 1 : *std::next(cut);
    uint32_t last = std::min(end - 1, kLastCharacter);
    if (first >= 0xD800 && first < 0xE000) continue;  // surrogates are no characters
    if (first < 0xD800) last = std::min(last, uint32_t{0xD7FF});
    std::string held = alone.contains(first) ? fmt::format("{} ", first) : "";
    for (const Expression* leaf : leaves) {
      if (leaf->kind == Kind::kCharacters) held += holds(leaf->ranges, first) ? '1' : '0';
    }
    CharacterClass& c = classes[held];
    if (c.sample.empty()) utf8_append(c.sample, first);
    c.ranges.emplace_back(first, last);
  }
  std::vector<CharacterClass> list;
  list.reserve(classes.size());
  for (auto& [held, c] : classes) list.push_back(std::move(c));
  return list;
}

// The automata of an overlap's parts, side by side.
class Overlap {
 public:
  Overlap(const Expression& e, std::string name, Grammar& grammar, OverlapBudget& budget)
      : e_(e), name_(std::move(name)), grammar_(grammar), budget_(budget) {}

  Result<ExpressionPtr> as_rules() {
    LOOPLM_RETURN_IF_ERROR(prepare());
    std::vector<GrammarAutomaton::StateId> start;
    start.reserve(automata_.size());
    for (GrammarAutomaton& automaton : automata_) start.push_back(automaton.start());
    place_of(start);
    for (size_t i = 0; i < places_.size(); ++i) {
      size_t steps = 1;
      for (size_t part = 0; part < automata_.size(); ++part) {
        steps += automata_[part].readings(places_[i].states[part]);
      }
      steps *= classes_.size();
      if (places_.size() > std::min(kMostPlaces, budget_.places) || steps > budget_.steps ||
          lost_) {
        return unsupported(
            e_.text.empty()
                ? fmt::format("{}: look-ahead, 'not' or several patterns together need too many "
                              "states (each character of a length is one)",
                              name_)
                : fmt::format("{} needs too many states", e_.text));
      }
      budget_.steps -= steps;
      for (size_t c = 0; c < classes_.size() && !lost_; ++c) follow(i, c);
    }
    budget_.places -= std::min(places_.size(), budget_.places);
    return rules();
  }

 private:
  struct Place {
    std::vector<GrammarAutomaton::StateId> states;
    bool accepts = false;
    std::map<size_t, std::vector<size_t>> after{};  // classes by where they lead
  };

  Status prepare() {
    std::unordered_set<const Expression*> seen;
    std::vector<const Expression*> leaves;
    for (const ExpressionPtr& part : e_.parts) collect_leaves(part, seen, leaves);
    for (const Expression* leaf : leaves) {
      if (leaf->kind == Kind::kRule) {
        return unsupported(fmt::format("{}: a part of an overlap refers to a rule", name_));
      }
    }
    for (const ExpressionPtr& part : e_.parts) {
      // A byte that stands in no text keeps the grammar of a part that matches nothing alive.
      Grammar alone;
      alone.declare(name_);
      alone.rules[0].expression = choice({part, text("\xFF")});
      LOOPLM_ASSIGN_OR_RETURN(GrammarProgram program, compile_grammar(alone));
      automata_.emplace_back(std::make_shared<const GrammarProgram>(std::move(program)));
    }
    classes_ = character_classes(leaves);
    return {};
  }

  bool is_with(size_t part) const { return static_cast<int64_t>(part) < e_.least; }

  size_t place_of(const std::vector<GrammarAutomaton::StateId>& states) {
    const auto [known, fresh] = ids_.try_emplace(states, places_.size());
    if (!fresh) return known->second;
    Place place = {states, true};
    for (size_t i = 0; i < states.size(); ++i) {
      if (automata_[i].accepts(states[i]) != is_with(i)) place.accepts = false;
    }
    places_.push_back(std::move(place));
    return places_.size() - 1;
  }

  void follow(size_t place, size_t character) {
    std::vector<GrammarAutomaton::StateId> next = places_[place].states;
    for (size_t i = 0; i < next.size(); ++i) {
      for (const char byte : classes_[character].sample) {
        next[i] = automata_[i].after(next[i], static_cast<uint8_t>(byte));
      }
      if (next[i] == GrammarAutomaton::kDead && is_with(i)) return;
      if (next[i] == GrammarAutomaton::kLost) lost_ = true;
    }
    const size_t target = place_of(next);
    places_[place].after[target].push_back(character);
  }

  ExpressionPtr rules() {
    const auto first = static_cast<int>(grammar_.rules.size());
    for (size_t i = 0; i < places_.size(); ++i) {
      grammar_.declare(fmt::format("{} (place {})", name_, i));
    }
    for (size_t i = 0; i < places_.size(); ++i) {
      std::vector<ExpressionPtr> choices;
      if (places_[i].accepts) choices.push_back(text(""));
      for (const auto& [target, read] : places_[i].after) {
        std::vector<CharacterRange> ranges;
        for (const size_t c : read) {
          ranges.insert(ranges.end(), classes_[c].ranges.begin(), classes_[c].ranges.end());
        }
        choices.push_back(sequence(
            {characters(std::move(ranges)), rule_reference(first + static_cast<int>(target))}));
      }
      grammar_.rules[static_cast<size_t>(first) + i].expression = choice(std::move(choices));
    }
    return rule_reference(first);
  }

  const Expression& e_;
  const std::string name_;
  Grammar& grammar_;
  OverlapBudget& budget_;
  bool lost_ = false;  // a part can be read in too many ways
  std::vector<GrammarAutomaton> automata_;
  std::vector<CharacterClass> classes_;
  std::vector<Place> places_;
  std::map<std::vector<GrammarAutomaton::StateId>, size_t> ids_;
};

class Changer {
 public:
  Changer(Grammar& grammar, OverlapBudget& budget) : grammar_(grammar), budget_(budget) {}

  Result<ExpressionPtr> operator()(const ExpressionPtr& e, const std::string& name) {
    if (!has_overlap(e)) return e;
    ExpressionPtr& known = changed_[e.get()];
    if (known != nullptr) return known;
    if (e->kind == Kind::kOverlap) {
      LOOPLM_ASSIGN_OR_RETURN(ExpressionPtr rules, Overlap(*e, name, grammar_, budget_).as_rules());
      return changed_[e.get()] = std::move(rules);
    }
    Expression copy = *e;
    for (ExpressionPtr& part : copy.parts) {
      LOOPLM_ASSIGN_OR_RETURN(part, (*this)(part, name));
    }
    return changed_[e.get()] = std::make_shared<Expression>(std::move(copy));
  }

  // What is nested too deeply is refused later.
  bool has_overlap(const ExpressionPtr& e, int depth = 0) {
    if (e->parts.empty() || depth > kMostExpressionDepth) return false;
    const auto known = has_.find(e.get());
    if (known != has_.end()) return known->second;
    const bool has =
        e->kind == Kind::kOverlap || std::ranges::any_of(e->parts, [&](const ExpressionPtr& part) {
          return has_overlap(part, depth + 1);
        });
    return has_[e.get()] = has;
  }

 private:
  Grammar& grammar_;
  OverlapBudget& budget_;
  std::unordered_map<const Expression*, bool> has_;
  std::unordered_map<const Expression*, ExpressionPtr> changed_;
};

}  // namespace

Result<Grammar> overlaps_as_rules(const Grammar& given, OverlapBudget& budget) {
  Grammar grammar = given;
  Changer changer(grammar, budget);
  for (size_t i = 0; i < given.rules.size(); ++i) {
    if (given.rules[i].expression == nullptr) continue;
    LOOPLM_ASSIGN_OR_RETURN(ExpressionPtr changed,
                            changer(given.rules[i].expression, given.rules[i].name));
    grammar.rules[i].expression = std::move(changed);
  }
  return grammar;
}

}  // namespace looplm
