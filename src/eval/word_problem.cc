#include "eval/word_problem.h"

#include <cctype>
#include <utility>

#include <fmt/format.h>

#include "base/rng.h"
#include "eval/held_out.h"
#include "eval/word_problem_lookup.h"
#include "eval/word_problem_story.h"
#include "eval/word_problem_words.h"

namespace looplm {
namespace {

constexpr int kLargestNumber = WordProblemOptions::kLargestNumber;
constexpr int kMostTurns = 8;
constexpr int kLongestSilence = 8;
constexpr int kFewestNames = 8;
constexpr int kFewestThings = 2;
constexpr int kMostStories = 8;

int between(Rng& rng, int least, int most) {
  return least + static_cast<int>(rng.below(static_cast<uint32_t>(most - least + 1)));
}

template <typename T>
const T& any(std::span<const T> list, Rng& rng) {
  return list[rng.below(static_cast<uint32_t>(list.size()))];
}

struct Operation {
  char what;  // + - x (by 2) / (by 2)
  int by;
};

// One that leaves `value` within 0 .. kLargestNumber.
Operation draw_operation(int& value, bool scales, Rng& rng) {
  for (;;) {
    switch (rng.below(scales ? 5 : 4)) {
      case 4:
        if (value == 0) break;
        if (rng.below(2) == 0) {
          if (value * 2 > kLargestNumber) break;
          value *= 2;
          return {'x', 2};
        }
        if (value % 2 != 0) break;
        value /= 2;
        return {'/', 2};
      case 0:
      case 1: {
        if (value == kLargestNumber) break;
        const int by = between(rng, 1, std::min(9, kLargestNumber - value));
        value += by;
        return {'+', by};
      }
      default: {
        if (value == 0) break;
        const int by = between(rng, 1, std::min(9, value));
        value -= by;
        return {'-', by};
      }
    }
  }
}

WordProblem one_turn(std::string question, std::string opening, int number, int steps,
                     std::string combination) {
  WordProblemTurn turn;
  turn.question = std::move(question);
  turn.answer = fmt::format("{} {}.", opening, number);
  turn.opening = std::move(opening);
  turn.number = number;
  turn.steps = steps;
  return {{std::move(turn)}, std::move(combination)};
}

// A stretch of prose that ends with the number itself.
WordProblemTurn counted(std::string text, int number, int steps) {
  WordProblemTurn turn;
  turn.question = std::move(text);
  turn.answer = fmt::format(" {}", number);
  turn.number = number;
  turn.steps = steps;
  return turn;
}

bool is_wide(const WordProblemOptions& options) {
  return options.wording == WordProblemWording::kWide;
}

// Of wide wording: "what is 3 + 4", "hi".
std::string typed_in_haste(std::string text, Rng& rng) {
  if (rng.below(3) == 0) text[0] = static_cast<char>(std::tolower(text[0]));
  if (rng.below(3) == 0 && std::ispunct(text.back()) != 0) text.pop_back();
  return text;
}

// "3+4", "3 plus 4", "3 x 4"
std::string retyped(const std::string& sum, Rng& rng) {
  const uint32_t how = rng.below(4);
  std::string typed;
  for (const char c : sum) {
    if (how == 0) {
      if (c != ' ') typed += c;
    } else if (how == 1 && std::ispunct(c) != 0) {
      typed += c == '+' ? "plus" : c == '-' ? "minus" : c == '*' ? "times" : "divided by";
    } else {
      typed += how == 2 && c == '*' ? 'x' : c;
    }
  }
  return typed;
}

// + and - alone, but for a first product or quotient: so the order of operations is the same for
// everyone.
WordProblem draw_sum(const WordProblemOptions& options, int steps, Rng& rng) {
  int value = between(rng, 0, 12);
  std::string sum = std::to_string(value);
  const bool product = rng.below(6) == 0;
  if (product) {
    const int left = between(rng, 2, 9);
    const int right = between(rng, 2, kLargestNumber / left);
    value = left * right;
    sum = fmt::format("{} * {}", left, right);
    if (is_wide(options) && rng.below(3) == 0) {
      sum = fmt::format("{} / {}", value, right);
      value = left;
    }
  }
  const bool prose = options.form == WordProblemForm::kProse;
  WordProblem problem;
  int done = product ? 1 : 0;
  std::string untold = ' ' + sum;  // since the last count
  const auto count = [&] {
    if (!prose || done == 0 || !counts_now(options, done == steps, rng)) return;
    problem.turns.push_back(counted(untold + " =", value, done));
    untold.clear();
  };
  count();
  while (done < steps) {
    const Operation operation = draw_operation(value, false, rng);
    const std::string says = fmt::format(" {} {}", operation.what, operation.by);
    sum += says;
    untold += says;
    ++done;
    count();
  }
  problem.combination = sum;
  if (prose) return problem;
  static constexpr std::string_view kForms[] = {"{} =",          "{} =",      "{}",
                                                "What is {}?",   "{} = ?",    "How much is {}?",
                                                "Calculate {}.", "What is {}"};
  static constexpr std::string_view kWideForms[] = {"{}?", "What's {}?", "Can you work out {}?",
                                                    "What does {} make?", "How much does {} give?"};
  const bool wide = is_wide(options);
  const std::string_view form =
      any(wide && rng.below(2) == 0 ? std::span<const std::string_view>(kWideForms) : kForms, rng);
  const std::string typed = wide ? retyped(sum, rng) : sum;
  std::string question = fmt::format(fmt::runtime(form), typed);
  if (wide) question = typed_in_haste(std::move(question), rng);
  return one_turn(std::move(question), "That is", value, steps, sum);
}

std::string in_words(const Operation& operation, bool wide, Rng& rng) {
  if (wide && rng.below(3) == 0) {
    if (operation.what == '+') return fmt::format("plus {}", operation.by);
    if (operation.what == 'x') return rng.below(2) == 0 ? "multiply by 2" : "times 2";
    if (operation.what == '/') return rng.below(2) == 0 ? "divide by 2" : "divide it by 2";
    return fmt::format("minus {}", operation.by);
  }
  if (operation.what == '+') return fmt::format("add {}", operation.by);
  if (operation.what == 'x') return "double it";
  if (operation.what == '/') return "halve it";
  return fmt::format("{} {}", rng.below(2) == 0 ? "take away" : "subtract", operation.by);
}

// Prose counts from time to time: "Take 8. Halve it. Add 3. You get 7. Subtract 2, double it. You
// get 10".
WordProblem draw_chain(const WordProblemOptions& options, int steps, Rng& rng) {
  int value = between(rng, 0, 12);
  static constexpr std::string_view kStarts[] = {"Start with", "Take", "Think of", "Begin with"};
  std::string text =
      fmt::format("{} {}", any(std::span<const std::string_view>(kStarts), rng), value);
  static constexpr std::string_view kAsks[] = {"What do you get?", "What is the result?",
                                               "What comes out?"};
  const bool prose = options.form == WordProblemForm::kProse;
  const bool sentences = rng.below(2) == 0;
  std::vector<Operation> operations;
  std::vector<int> values;
  WordProblem problem;
  problem.combination = std::to_string(value);
  while (static_cast<int>(operations.size()) < steps) {
    operations.push_back(draw_operation(value, true, rng));
    values.push_back(value);
  }
  for (int done = 0; done < steps;) {
    const Operation operation = operations[static_cast<size_t>(done)];
    problem.combination += fmt::format("{}{}", operation.what, operation.by);
    ++done;
    const bool counts = prose && counts_now(options, done == steps, rng);
    const bool ends = counts || done == steps;
    const bool first = text.empty();
    if (!first) text += sentences ? ". " : ends && rng.below(2) == 0 ? " and " : ", ";
    std::string says = in_words(operation, is_wide(options), rng);
    if (is_wide(options) && done > 1 && rng.below(6) == 0) says = "then " + says;
    if (first || sentences) says[0] = static_cast<char>(says[0] - 'a' + 'A');
    text += says;
    if (done == steps && (!prose || options.count_every == 0)) {
      text += fmt::format(". {} You get", any(std::span<const std::string_view>(kAsks), rng));
    } else if (counts) {
      text += ". You get";
    }
    if (!counts) continue;
    text = (problem.turns.empty() ? " " : ". ") + text;
    const int now = values[static_cast<size_t>(done - 1)];
    problem.turns.push_back(counted(std::exchange(text, {}), now, done));
  }
  if (prose) return problem;
  text.resize(text.size() - std::string_view(" You get").size());
  if (is_wide(options)) text = typed_in_haste(std::move(text), rng);
  return one_turn(text, "You get", value, steps, problem.combination);
}

WordProblem draw_talk(bool wide, Rng& rng) {
  WordProblemTurn turn;
  const uint32_t what = rng.below(8);
  if (what == 0) {
    const int large = between(rng, 21, 99);
    const int by = between(rng, 2, 99);
    if (rng.below(2) == 0) {
      turn.question = fmt::format("What is {} {} {}?", large, rng.below(2) == 0 ? "+" : "*", by);
    } else {
      const std::string_view name = any(problem_names(), rng).name;
      const std::string_view things = any(problem_things(), rng);
      turn.question = fmt::format("{0} has {1} {2} and {3} {4}. How many {2} does {0} have?", name,
                                  large, things, any(gaining_verbs(), rng).present, by);
    }
    turn.answer = "I only know numbers up to 20.";
  } else if (what == 1) {
    const bool more = wide && rng.below(2) == 0;
    turn.question =
        rng.below(2) == 0
            ? std::string(any(more ? more_foreign_sentences() : foreign_sentences(), rng))
            : fmt::format("{} {}?", any(foreign_questions(), rng), any(foreign_subjects(), rng));
    turn.answer = "I do not know. I can only work out small problems with numbers.";
  } else {
    const SmallTalk& talk = any(small_talk(), rng);
    turn.question = any(wide && rng.below(2) == 0 ? talk.more_questions : talk.questions, rng);
    turn.answer = talk.answer;
  }
  if (wide && what != 0) turn.question = typed_in_haste(std::move(turn.question), rng);
  return {{turn}, turn.question};
}

WordProblem draw(const WordProblemOptions& options, Rng& rng) {
  const int steps = between(rng, options.min_steps, options.max_steps);
  switch (options.kind) {
    case WordProblemKind::kSum:
      return draw_sum(options, steps, rng);
    case WordProblemKind::kChain:
      return draw_chain(options, steps, rng);
    case WordProblemKind::kTalk:
      return draw_talk(is_wide(options), rng);
    case WordProblemKind::kLookup:
      return draw_lookup(options, rng);
    case WordProblemKind::kStory:
    case WordProblemKind::kMixed:
      break;
  }
  if (options.form == WordProblemForm::kProse) return draw_tale(options, steps, rng);
  std::optional<WordProblem> story = draw_story(options, steps, rng);
  while (!story) story = draw_story(options, steps, rng);
  return *std::move(story);
}

// One problem after another, each of the right split, and small talk and sums also amid the
// questions about one story.
WordProblem draw_mixed(const WordProblemOptions& options, uint64_t index, Rng& rng) {
  static constexpr WordProblemKind kOthers[] = {WordProblemKind::kSum, WordProblemKind::kChain,
                                                WordProblemKind::kTalk};
  WordProblem chat;
  const auto left = [&] { return options.turns - static_cast<int>(chat.turns.size()); };
  const auto problem_of = [&](WordProblemKind kind, int turns) {
    WordProblemOptions one = options;
    one.kind = kind;
    one.turns = turns;
    WordProblem problem = word_problem(one, index * kMostTurns + chat.turns.size());
    chat.combination += problem.combination + ';';
    return problem;
  };
  while (left() > 0) {
    const auto stories = static_cast<uint32_t>(options.stories);
    const uint32_t what = rng.below(stories + static_cast<uint32_t>(std::size(kOthers)));
    const bool story = what < stories;
    const WordProblemKind kind = story ? WordProblemKind::kStory : kOthers[what - stories];
    WordProblem problem = problem_of(kind, story ? between(rng, 1, std::min(3, left())) : 1);
    if (options.wording != WordProblemWording::kPlain && kind != WordProblemKind::kTalk &&
        !chat.turns.empty() && rng.below(6) == 0) {
      std::string& question = problem.turns.front().question;
      question = fmt::format("{} {}", any(new_problems(), rng), question);
    }
    for (WordProblemTurn& turn : problem.turns) {
      if (left() > 1 && &turn != problem.turns.data() && rng.below(4) == 0) {
        WordProblem amid = rng.below(2) == 0 ? draw_talk(is_wide(options), rng)
                                             : problem_of(WordProblemKind::kSum, 1);
        chat.turns.push_back(std::move(amid.turns.front()));
      }
      if (left() > 0) chat.turns.push_back(std::move(turn));
    }
  }
  return chat;
}

}  // namespace

Status check(const WordProblemOptions& o) {
  const int most = o.form == WordProblemForm::kProse ? WordProblemOptions::kMostStepsOfProse
                                                     : WordProblemOptions::kMostSteps;
  if (o.min_steps < 1 || o.min_steps > o.max_steps || o.max_steps > most) {
    return invalid_argument(
        fmt::format("steps {}..{}: expected a range within 1..{}", o.min_steps, o.max_steps, most));
  }
  if (o.turns < 1 || o.turns > kMostTurns) {
    return invalid_argument(fmt::format("turns is {}; expected 1 to {}", o.turns, kMostTurns));
  }
  if (o.tell_every < 1 || o.tell_every > kMostTurns) {
    return invalid_argument(fmt::format("telling before one question in {}; expected 1 to {}",
                                        o.tell_every, kMostTurns));
  }
  if (o.before < 0 || o.before > WordProblemOptions::kMostSteps) {
    return invalid_argument(fmt::format("looking back behind {} events; expected 0 to {}", o.before,
                                        WordProblemOptions::kMostSteps));
  }
  if (o.people < 0 || o.people > 2) {
    return invalid_argument(fmt::format("people is {}; expected 1, 2, or 0 for both", o.people));
  }
  const auto names = static_cast<int>(problem_names().size());
  if (o.names != 0 && (o.names < kFewestNames || o.names > names)) {
    return invalid_argument(
        fmt::format("names is {}; expected {} to {}, or 0 for all", o.names, kFewestNames, names));
  }
  if (o.stories < 1 || o.stories > kMostStories) {
    return invalid_argument(
        fmt::format("stories is {}; expected 1 to {}", o.stories, kMostStories));
  }
  const auto things = static_cast<int>(problem_foods().size());
  if (o.things != 0 && (o.things < kFewestThings || o.things > things)) {
    return invalid_argument(fmt::format("things is {}; expected {} to {}, or 0 for all", o.things,
                                        kFewestThings, things));
  }
  if (o.equal < 0 || o.equal > kLongestSilence) {
    return invalid_argument(fmt::format("equal numbers in one story of {}; expected 0 to {}",
                                        o.equal, kLongestSilence));
  }
  if (o.made_up < 0 || o.made_up > kLongestSilence) {
    return invalid_argument(
        fmt::format("one made-up name in {}; expected 0 to {}", o.made_up, kLongestSilence));
  }
  if (o.made_up_things < 0 || o.made_up_things > kLongestSilence) {
    return invalid_argument(fmt::format("one made-up kind of things in {}; expected 0 to {}",
                                        o.made_up_things, kLongestSilence));
  }
  if (o.ask_every < 0 || o.ask_every > kLongestSilence) {
    return invalid_argument(
        fmt::format("a question every {} counts; expected 0 to {}", o.ask_every, kLongestSilence));
  }
  if (o.form == WordProblemForm::kChat && o.kind == WordProblemKind::kLookup) {
    return invalid_argument("lookups have no form as a chat; expected prose");
  }
  if (o.count_every < 0 || o.count_every > kLongestSilence) {
    return invalid_argument(
        fmt::format("a count every {} events; expected 0 to {}", o.count_every, kLongestSilence));
  }
  if (o.form == WordProblemForm::kProse &&
      (o.kind == WordProblemKind::kTalk || o.kind == WordProblemKind::kMixed)) {
    return invalid_argument("small talk and mixed chats have no form in prose; expected chat");
  }
  return {};
}

WordProblemSplit word_problem_split(const std::string& combination) {
  return is_held_out(combination) ? WordProblemSplit::kHeldOut : WordProblemSplit::kTrain;
}

WordProblem word_problem(const WordProblemOptions& options, uint64_t index) {
  Rng rng(options.seed, index);
  if (options.kind == WordProblemKind::kMixed) return draw_mixed(options, index, rng);
  WordProblem problem = draw(options, rng);
  const bool split = options.kind != WordProblemKind::kTalk;
  while (split && word_problem_split(problem.combination) != options.split) {
    problem = draw(options, rng);
  }
  return problem;
}

}  // namespace looplm
