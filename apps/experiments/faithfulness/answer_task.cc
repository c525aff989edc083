#include "experiments/faithfulness/answer_task.h"

#include <fmt/format.h>

#include "base/check.h"
#include "base/rng.h"
#include "eval/arithmetic.h"
#include "experiments/core/text_task.h"

namespace looplm {
namespace {

constexpr EncodeOptions kPrompt = {.as = EncodeAs::kPrompt, .parse_special = false};
constexpr EncodeOptions kAnswer = {.as = EncodeAs::kContinuation, .parse_special = false};
constexpr int kTries = 50;

// The prompt with one digit exchanged so that the answer differs, or nothing.
std::string change_operand(const std::string& prompt, Rng& rng) {
  const int answer = arithmetic_value(prompt);
  for (int attempt = 0; attempt < kTries; ++attempt) {
    std::string changed = prompt;
    const uint32_t operands = static_cast<uint32_t>(prompt.size()) / 2;
    changed[2 * rng.below(operands)] = static_cast<char>('0' + rng.below(10));
    if (arithmetic_value(changed) != answer) return changed;
  }
  return {};
}

void replace(std::string& text, const std::string& what, const std::string& by) {
  const size_t at = text.find(what);
  if (at != std::string::npos) text.replace(at, what.size(), by);
}

}  // namespace

int AnswerChoices::best(std::span<const float> logits) const {
  size_t best = 0;
  for (size_t i = 1; i < ids.size(); ++i) {
    if (logits[static_cast<size_t>(ids[i])] > logits[static_cast<size_t>(ids[best])]) best = i;
  }
  return static_cast<int>(best);
}

Result<AnswerTask> arithmetic_task(const Tokenizer& tokenizer,
                                   const ArithmeticTaskOptions& options) {
  ArithmeticOptions arithmetic;
  arithmetic.min_operations = options.min_operations;
  arithmetic.max_operations = options.max_operations;
  arithmetic.split = ArithmeticSplit::kHeldOut;
  arithmetic.seed = options.seed;
  LOOPLM_RETURN_IF_ERROR(check(arithmetic));
  AnswerTask task;
  task.name = "arithmetic";
  task.choices.label_name = "5 or more";
  for (char digit = '0'; digit <= '9'; ++digit) {
    LOOPLM_ASSIGN_OR_RETURN(const std::vector<int32_t> ids,
                            tokenizer.encode(std::string(1, digit), kAnswer));
    if (ids.size() != 1) {
      return invalid_argument(fmt::format(
          "the tokenizer writes '{}' as {} tokens; sums need one per digit", digit, ids.size()));
    }
    task.choices.ids.push_back(ids.front());
    task.choices.texts.emplace_back(1, digit);
    task.choices.labels.push_back(digit >= '5' ? 1 : 0);
  }
  // All different, or copies would stand in what a probe learns from and in what judges it.
  const std::vector<TaskExample> examples =
      SumsTask{arithmetic, options.examples, options.seed}.held_out();
  for (size_t i = 0; i < examples.size(); ++i) {
    const auto index = static_cast<uint64_t>(i);
    const TaskExample& example = examples[i];
    AnswerItem item;
    LOOPLM_ASSIGN_OR_RETURN(item.ids, tokenizer.encode(example.prompt, kPrompt));
    item.truth = example.completion[0] - '0';
    Rng rng(options.seed ^ 0xC0DE, index);
    const std::string changed = change_operand(example.prompt, rng);
    if (!changed.empty()) {
      LOOPLM_ASSIGN_OR_RETURN(item.counterfactual, tokenizer.encode(changed, kPrompt));
    }
    if (item.counterfactual.size() != item.ids.size()) item.counterfactual.clear();
    task.items.push_back(std::move(item));
  }
  task.description = fmt::format(
      "{} sums of {} to {} operations, worked out from left to right modulo 10 (`7-2*3=`), no two "
      "the same and none of them seen in training. The answer is a digit; the label is whether it "
      "is 5 or more. A counterfactual is the same sum with one other operand, and another answer.",
      std::ssize(task.items), options.min_operations, options.max_operations);
  return task;
}

Result<AnswerTask> pair_task(const Tokenizer& tokenizer, std::span<const QuestionPair> pairs,
                             const PairTaskOptions& options) {
  for (const char* place : {"{question1}", "{question2}"}) {
    if (options.prompt.find(place) == std::string::npos) {
      return invalid_argument(fmt::format("the prompt '{}' has no {}", options.prompt, place));
    }
  }
  AnswerTask task;
  task.name = "pairs";
  task.choices.label_name = "same intent";
  for (const std::string& text : {options.no, options.yes}) {
    LOOPLM_ASSIGN_OR_RETURN(const std::vector<int32_t> ids, tokenizer.encode(text, kAnswer));
    if (ids.empty()) return invalid_argument(fmt::format("the answer '{}' has no token", text));
    task.choices.ids.push_back(ids.front());
    task.choices.texts.push_back(text);
    task.choices.labels.push_back(static_cast<uint8_t>(task.choices.labels.size()));
  }
  if (task.choices.ids[0] == task.choices.ids[1]) {
    return invalid_argument(fmt::format("the answers '{}' and '{}' begin with the same token {}",
                                        options.no, options.yes, task.choices.ids[0]));
  }
  for (const QuestionPair& pair : pairs) {
    // The second place first: the first question might hold its name.
    std::string prompt = options.prompt;
    replace(prompt, "{question2}", pair.question2);
    replace(prompt, "{question1}", pair.question1);
    AnswerItem item;
    LOOPLM_ASSIGN_OR_RETURN(item.ids, tokenizer.encode(prompt, kPrompt));
    item.truth = pair.duplicate ? 1 : 0;
    if (static_cast<int64_t>(item.ids.size()) > options.max_tokens) continue;
    task.items.push_back(std::move(item));
  }
  if (task.items.empty()) {
    return invalid_argument(fmt::format("no pair fits into {} tokens", options.max_tokens));
  }
  task.description = fmt::format(
      "{} pairs of questions; the answer is the likelier of `{}` and `{}` after the prompt. "
      "Counterfactuals are pairs of as many tokens that the model answers otherwise.",
      task.items.size(), options.yes, options.no);
  return task;
}

}  // namespace looplm
