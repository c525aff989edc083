#include "grammar/json_items.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <map>

#include <fmt/format.h>

#include "grammar/json_parts.h"

namespace looplm {
namespace {

constexpr int64_t kMostStates = 4'000;  // rules of one array
constexpr int64_t kMostDifferent = 64;  // items, where none may come twice
constexpr int kMostSets = 5'000;        // of such items

ExpressionPtr in_brackets(ExpressionPtr items) {
  return sequence({text("["), json_space(), std::move(items), json_space(), text("]")});
}

// What may follow when the values of the set `used` are there.
ExpressionPtr values_but(uint64_t used, const std::vector<std::string>& values,
                         const MemberCounts& length, const std::string& place,
                         std::map<uint64_t, int>& rules, Grammar& grammar) {
  const auto [known, fresh] = rules.try_emplace(used, -1);
  if (!fresh) return rule_reference(known->second);
  const int rule = grammar.declare(fmt::format("{} (items but {:b})", place, used));
  known->second = rule;
  const int64_t count = std::popcount(used);
  std::vector<ExpressionPtr> choices;
  if (count >= length.least) choices.push_back(text(""));
  for (size_t i = 0; i < values.size() && (length.most == kUnbounded || count < length.most); ++i) {
    const uint64_t bit = uint64_t{1} << i;
    if ((used & bit) != 0) continue;
    choices.push_back(sequence({used == 0 ? text("") : json_comma(), text(values[i]),
                                values_but(used | bit, values, length, place, rules, grammar)}));
  }
  grammar.rules[static_cast<size_t>(rule)].expression = choice(std::move(choices));
  return rule_reference(rule);
}

// Counts up to where more make no difference.
struct Counter {
  explicit Counter(const MemberCounts& c)
      : counts(c), last(c.most == kUnbounded ? c.least : c.most) {}
  bool enough(int64_t n) const { return n >= counts.least; }
  bool has_room(int64_t n) const { return counts.most == kUnbounded || n < counts.most; }
  int64_t after(int64_t n) const { return std::min(n + 1, last); }

  MemberCounts counts;
  int64_t last = 0;
};

}  // namespace

ExpressionPtr json_list(const std::string& opening, const ExpressionPtr& item,
                        const MemberCounts& length, const std::string& closing) {
  std::vector<ExpressionPtr> choices;
  if (length.most == kUnbounded || length.most > 0) {
    const int64_t more = length.most == kUnbounded ? kUnbounded : length.most - 1;
    const int64_t least = std::max<int64_t>(0, length.least - 1);
    choices.push_back(
        sequence({item, repeat(sequence({json_comma(), item}), least, more), json_space()}));
  }
  if (length.least == 0) choices.push_back(text(""));
  return sequence({text(opening), json_space(), choice(std::move(choices)), text(closing)});
}

Result<ExpressionPtr> json_items_once(const std::vector<std::string>& values,
                                      const MemberCounts& length, const std::string& place,
                                      Grammar& grammar) {
  const auto size = static_cast<int64_t>(values.size());
  const int64_t most = length.most == kUnbounded ? size : std::min(size, length.most);
  double sets = 1;  // of at most so many values
  double of_size = 1;
  for (int64_t used = 1; used <= most; ++used) {
    of_size *= static_cast<double>(size - used + 1) / static_cast<double>(used);
    sets += of_size;
  }
  if (size > kMostDifferent || sets > kMostSets) {
    return unsupported(fmt::format(
        "{}.uniqueItems: {} of {} values make too many sets; expected at most {} values "
        "and {} sets of them",
        place, most, size, kMostDifferent, kMostSets));
  }
  std::map<uint64_t, int> rules;
  return in_brackets(values_but(0, values, length, place, rules, grammar));
}

Result<ExpressionPtr> json_items_with(const ExpressionPtr& some, const MemberCounts& found,
                                      const ExpressionPtr& others, const MemberCounts& length,
                                      const std::string& place, Grammar& grammar) {
  const Counter hits(found);
  const Counter items(length);
  if (hits.last > kMostStates || items.last > kMostStates ||
      (hits.last + 1) * (items.last + 1) > kMostStates) {
    return unsupported(fmt::format("{}: {} items of which {} are counted are too many", place,
                                   items.last, hits.last));
  }
  const auto first = static_cast<int>(grammar.rules.size());
  const auto rule_of = [&](int64_t hit, int64_t item) {
    return first + static_cast<int>(hit * (items.last + 1) + item);
  };
  for (int64_t hit = 0; hit <= hits.last; ++hit) {
    for (int64_t item = 0; item <= items.last; ++item) {
      grammar.declare(fmt::format("{} ({} of {} items)", place, hit, item));
    }
  }
  const auto rest = [&](int64_t hit, int64_t item, const ExpressionPtr& separator) {
    std::vector<ExpressionPtr> choices;
    if (hits.enough(hit) && items.enough(item)) choices.push_back(text(""));
    if (items.has_room(item)) {
      const int64_t next = items.after(item);
      choices.push_back(sequence({separator, others, rule_reference(rule_of(hit, next))}));
      if (hits.has_room(hit)) {
        choices.push_back(
            sequence({separator, some, rule_reference(rule_of(hits.after(hit), next))}));
      }
    }
    return choice(std::move(choices));
  };
  for (int64_t hit = 0; hit <= hits.last; ++hit) {
    for (int64_t item = 0; item <= items.last; ++item) {
      grammar.rules[static_cast<size_t>(rule_of(hit, item))].expression =
          rest(hit, item, json_comma());
    }
  }
  return in_brackets(rest(0, 0, text("")));
}

}  // namespace looplm
