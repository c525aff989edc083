#include "eval/word_problem_story.h"

#include <algorithm>
#include <cctype>
#include <set>

#include "eval/told_story.h"

namespace looplm {
namespace {

// "If Ann has 4 pens and loses 1, how many pens does she have?", of a story in one sentence; and
// questions typed in haste.
void loosen(std::string& told, std::string& question, Rng& rng) {
  const auto chance = [&](uint32_t of) { return rng.below(of) == 0; };
  if (told.find('.') + 1 == told.size() && chance(3)) {
    told.back() = ',';
    question[0] = 'h';
    if (chance(2)) {
      if (told.starts_with("A ") || told.starts_with("There ")) told[0] |= 0x20;
      told = "If " + told;
    }
  } else if (chance(8)) {
    question[0] = static_cast<char>(std::tolower(question[0]));
  }
  if (chance(8)) question.pop_back();
}

bool draw_two_people(const WordProblemOptions& options, Rng& rng) {
  return options.people == 0 ? rng.below(5) < 2 : options.people == 2;
}

}  // namespace

std::optional<WordProblem> draw_story(const WordProblemOptions& options, int steps, Rng& rng) {
  ToldStory story(options, rng);
  const bool two_people = draw_two_people(options, rng);
  story.begin(two_people);
  const int events = std::max(0, steps - 1 + static_cast<int>(rng.below(two_people ? 4 : 3)));
  for (int i = 0; i < events; ++i) story.go_on();
  std::vector<StoryQuestion> fitting = story.questions();
  std::erase_if(fitting, [&](const StoryQuestion& q) { return q.turn.steps != steps; });
  if (fitting.empty()) return std::nullopt;

  WordProblem problem;
  WordProblemTurn first = choose(fitting, rng);
  if (options.split == WordProblemSplit::kHeldOut && !first.number) return std::nullopt;
  std::set<std::string> asked = {first.question};
  std::string beginning = story.take_text();
  if (options.wording != WordProblemWording::kPlain) loosen(beginning, first.question, rng);
  first.question = beginning + ' ' + first.question;
  problem.turns.push_back(std::move(first));
  while (static_cast<int>(problem.turns.size()) < options.turns) {
    std::string told;
    if (rng.below(static_cast<uint32_t>(options.tell_every)) == 0) {
      for (uint32_t i = 0; i <= rng.below(2); ++i) story.go_on();
      told = story.take_text() + ' ';
      if (told != " ") asked.clear();
    }
    std::vector<StoryQuestion> more = story.questions();
    std::erase_if(more, [&](const StoryQuestion& q) { return asked.contains(q.turn.question); });
    if (more.empty()) break;
    WordProblemTurn next = choose(more, rng);
    asked.insert(next.question);
    if (options.wording == WordProblemWording::kWide && told.size() < 2 && rng.below(5) == 0) {
      next.question[0] = static_cast<char>(std::tolower(next.question[0]));
      next.question = "And " + next.question;
    }
    if (told.size() > 1) next.question = told + next.question;
    problem.turns.push_back(std::move(next));
  }
  problem.combination = story.combination();
  return problem;
}

bool counts_now(const WordProblemOptions& options, bool last, Rng& rng) {
  if (last || options.count_every == 0) return last;
  return rng.below(static_cast<uint32_t>(options.count_every)) == 0;
}

WordProblem draw_tale(const WordProblemOptions& options, int events, Rng& rng) {
  ToldStory story(options, rng);
  const bool two_people = draw_two_people(options, rng);
  story.begin(two_people);
  WordProblem problem;
  // Of two people often both, so that a model learns whose number is whose.
  const auto count = [&](bool both) {
    if (options.ask_every > 0 && rng.below(static_cast<uint32_t>(options.ask_every)) == 0) {
      // Of two people one to three: a number costs less reading so.
      const uint32_t more = two_people ? rng.below(3) : 0;
      for (uint32_t i = 0; i <= more; ++i) problem.turns.push_back(story.ask());
      return;
    }
    const size_t p = two_people ? rng.below(2) : 0;
    problem.turns.push_back(story.count(p));
    if (two_people && both) problem.turns.push_back(story.count(1 - p));
  };
  if (two_people && options.count_every > 0) count(true);
  for (int i = 0; i < events; ++i) {
    story.go_on();
    if (counts_now(options, i + 1 == events, rng)) count(rng.below(2) == 0);
  }
  problem.combination = story.combination();
  return problem;
}

}  // namespace looplm
