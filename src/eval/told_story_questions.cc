#include <algorithm>
#include <bit>
#include <cstdlib>

#include "eval/told_story.h"

namespace looplm {
namespace {

constexpr int kLargestAnswer = WordProblemOptions::kLargestNumber;

int steps_of(uint64_t operations) { return std::popcount(operations); }

}  // namespace

template <typename Ask>
void ToldStory::ask_as_typed(size_t p, const Ask& ask) const {
  const Person& person = people_[p];
  if (person.kind == Kind::kPlace) return;
  const std::string things = ' ' + thing(person.count.value, things_);
  const std::string now = now_has(p);
  const bool i = person.kind == Kind::kI;
  std::vector<std::string> subjects = {i ? "do I have" : fmt::format("does {} have", name(p))};
  // Of two people "she" is one who was told of as "She", beside a man.
  const bool one_is_she = known_ == 1 || (person.as_she && people_[1 - p].kind != Kind::kI &&
                                          people_[0].name.she != people_[1].name.she);
  if (!i && one_is_she) subjects.push_back(fmt::format("does {} have", pronoun(p)));
  for (const std::string& what : {"How many " + things_, std::string("How many")}) {
    for (const std::string& does : subjects) {
      ask(1, fmt::format("{} {}?", what, does), now, person.count, things);
      ask(1, fmt::format("{} {} now?", what, does), now, person.count, things);
      if (person.lost_last) {
        ask(2, fmt::format("{} {} left?", what, does), now, person.count, things + " left");
      } else if (known_ == 1) {
        for (const char* in_all : {"in all", "in total", "altogether"}) {
          ask(1, fmt::format("{} {} {}?", what, does, in_all), now, person.count, things);
        }
      }
    }
  }
}

std::vector<StoryQuestion> ToldStory::questions() const {
  std::vector<StoryQuestion> all;
  const auto ask = [&](int weight, std::string question, std::string opening, Count count,
                       const std::string& after, bool one_more_step = false) {
    WordProblemTurn turn;
    turn.question = std::move(question);
    turn.answer = fmt::format("{} {}{}.", opening, count.value, after);
    turn.opening = std::move(opening);
    turn.number = count.value;
    turn.steps = steps_of(count.operations) + (one_more_step ? 1 : 0);
    all.push_back({std::move(turn), weight});
  };
  for (size_t p = 0; p < known_; ++p) {
    const Person& person = people_[p];
    const std::string now_has = this->now_has(p);
    const bool place = person.kind == Kind::kPlace;
    const std::string does = place                     ? "are there"
                             : person.kind == Kind::kI ? "do I have"
                                                       : fmt::format("does {} have", name(p));
    const Count now = person.count;
    const std::string things = ' ' + thing(now.value, things_);
    ask(4, fmt::format("How many {} {} now?", things_, does), now_has, now, things);
    ask(3, fmt::format("How many {} {}?", things_, does), now_has, now, things);
    if (wide_) ask_as_typed(p, ask);
    if (known_ == 1 && person.kind != Kind::kI) {
      ask(1,
          place ? "How many are there now?" : fmt::format("How many does {} have now?", pronoun(p)),
          now_has, now, things);
    }
    if (person.lost_last) {
      if (!place) {
        ask(2, fmt::format("How many {} {} left?", things_, does), now_has, now, things + " left");
      }
      if (known_ == 1) {
        const std::string there = now.value == 1 ? "There is" : "There are";
        ask(2, "How many are left?", there, now, things + " left");
        ask(2, fmt::format("How many {} are left?", things_), there, now, things + " left");
        if (free_) {
          ask(2, fmt::format("How many {} remain?", things_), there, now, things + " left");
          ask(1, "How many remain?", there, now, things + " left");
        }
      }
    }
    const int first = person.first.value;
    const std::string_view were = first == 1 ? "there was" : "there were";
    const std::string had = place                     ? std::string(were)
                            : person.kind == Kind::kI ? "you had"
                                                      : fmt::format("{} had", name(p));
    ask(1,
        place ? fmt::format("How many {} were there at first?", things_)
              : fmt::format("How many {} did {} have at first?", things_,
                            person.kind == Kind::kI ? "I" : name(p)),
        "At first, " + had, person.first, ' ' + thing(first, things_));
    // Long ago is not asked for, or most questions of long stories would be of this kind.
    const size_t old = person.before.size() - std::min(look_back_, person.before.size());
    for (const Moment& moment : std::span(person.before).subspan(old)) {
      const auto same = [&](const Moment& other) { return other.past == moment.past; };
      if (moment.past.empty() || std::ranges::count_if(person.before, same) > 1) continue;
      ask(1,
          fmt::format("How many {} did {} have before {} {}?", things_,
                      person.kind == Kind::kI ? "I" : name(p), pronoun(p), moment.past),
          "Before that, " + had, moment.count, ' ' + thing(moment.count.value, things_));
    }
  }
  if (known_ < 2) return all;
  const Count& a = people_[0].count;
  const Count& b = people_[1].count;
  const uint64_t both = a.operations | b.operations;
  // "I" comes last, and is "you" in answers.
  const auto is_i = [&](size_t p) { return people_[p].kind == Kind::kI; };
  const bool we = is_i(0) || is_i(1);
  const size_t last = is_i(0) ? 0 : 1;
  if (a.value + b.value <= kLargestAnswer) {
    const Count sum{a.value + b.value, both};
    const std::string things = ' ' + thing(sum.value, things_);
    const std::string opening = we ? "Together you have" : "Together they have";
    const std::string do_they_have = we ? "do we have" : "do they have";
    ask(3, fmt::format("How many {} together?", do_they_have), opening, sum, things, true);
    ask(3,
        fmt::format("How many {} do {} and {} have together?", things_, name(1 - last),
                    is_i(last) ? "I" : name(last)),
        opening, sum, things, true);
    for (const char* all_of_them : {"in all", "in total", "altogether"}) {
      if (!free_) break;
      ask(1, fmt::format("How many {} {} {}?", things_, do_they_have, all_of_them), opening, sum,
          things, true);
    }
  }
  const bool equal = a.value == b.value;
  for (size_t more = 0; more < 2; ++more) {
    const size_t less = 1 - more;
    const int by = people_[more].count.value - people_[less].count.value;
    if (by < 0 || (equal && !wide_)) continue;
    const Count gap{by, both};
    const auto has_than = [&](size_t p) {
      const std::string who = is_i(p) ? "do I" : fmt::format("does {}", name(p));
      return fmt::format("{} have than {}", who, other(1 - p));
    };
    const auto than = [&](size_t p) { return is_i(p) ? "you" : name(p); };
    const std::string more_things = fmt::format(" more {} than {}", thing(by, things_), than(less));
    const int weight = equal && begins_equal_ ? 5 : 1;
    ask(4 * weight, fmt::format("How many more {} {}?", things_, has_than(more)), now_has(more),
        gap, more_things, true);
    if (wide_) {
      ask(1, fmt::format("How many more {}?", has_than(more)), now_has(more), gap, more_things,
          true);
    }
    ask(2, fmt::format("How many fewer {} {}?", things_, has_than(less)), now_has(less), gap,
        fmt::format(" fewer {} than {}", thing(by, things_), than(more)), true);
    WordProblemTurn who;
    who.question = fmt::format("Who has more {}?", things_);
    who.answer = equal ? fmt::format("{} have the same number.", we ? "You" : "They")
                       : fmt::format("{} more.", now_has(more));
    who.steps = steps_of(both) + 1;
    all.push_back({who, 2 * weight - 1});
  }
  return all;
}

WordProblemTurn choose(const std::vector<StoryQuestion>& questions, Rng& rng) {
  uint32_t weights = 0;
  for (const StoryQuestion& q : questions) weights += static_cast<uint32_t>(q.weight);
  auto at = static_cast<int>(rng.below(weights));
  for (const StoryQuestion& q : questions) {
    at -= q.weight;
    if (at < 0) return q.turn;
  }
  return questions.back().turn;
}

WordProblemTurn ToldStory::ask() {
  std::vector<StoryQuestion> numbers = questions();
  std::erase_if(numbers, [](const StoryQuestion& q) { return !q.turn.number; });
  WordProblemTurn turn = choose(numbers, rng_);
  const std::string number = fmt::format(" {}", *turn.number);
  turn.question = fmt::format("{} {} {}", untold(), turn.question, turn.opening);
  after_count_ = turn.answer.substr(turn.opening.size() + number.size());
  turn.answer = number;
  return turn;
}

}  // namespace looplm
