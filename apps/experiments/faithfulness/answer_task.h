// Questions that a model answers with one token out of a few, and other questions to swap states
// with.
#ifndef LOOPLM_EXPERIMENTS_FAITHFULNESS_ANSWER_TASK_H_
#define LOOPLM_EXPERIMENTS_FAITHFULNESS_ANSWER_TASK_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "looplm/tokenizer.h"

#include "experiments/faithfulness/question_pairs.h"

namespace looplm {

struct AnswerChoices {
  std::vector<int32_t> ids;        // a token for each answer
  std::vector<std::string> texts;  // of the tokens
  std::vector<uint8_t> labels;     // 0 or 1, of each answer: what agreement and probes look at
  std::string label_name;          // of label 1

  // The answer whose token has the highest logit; of equals the first.
  int best(std::span<const float> logits) const;
};

struct AnswerItem {
  std::vector<int32_t> ids;  // the prompt: the answer is read at its last position
  int truth = -1;            // index of an answer; -1: not known
  // A prompt of the same length and another answer; empty: none is given.
  std::vector<int32_t> counterfactual;
};

struct AnswerTask {
  std::string name;
  std::string description;  // a sentence
  AnswerChoices choices;
  std::vector<AnswerItem> items;
};

// Sums of the bundled model's task (experiments/arithmetic.h), held out in its training. The answer
// is a digit, label 1 one of 5 to 9. The counterfactual differs in one operand, and in the answer.
struct ArithmeticTaskOptions {
  int examples = 1000;
  int min_operations = 1;
  int max_operations = 8;
  uint64_t seed = 7;
};
Result<AnswerTask> arithmetic_task(const Tokenizer& tokenizer,
                                   const ArithmeticTaskOptions& options);

// Pairs of questions through a template with {question1} and {question2}; label 1 says yes. No
// counterfactuals: any pair of the same length whose answer differs will do.
struct PairTaskOptions {
  std::string prompt =
      "Question 1: {question1}\nQuestion 2: {question2}\n"
      "Do the two questions have the same intent? Answer:";
  std::string yes = " yes";  // the first token of each is the answer's
  std::string no = " no";
  int64_t max_tokens = 512;  // longer prompts are left out
};
Result<AnswerTask> pair_task(const Tokenizer& tokenizer, std::span<const QuestionPair> pairs,
                             const PairTaskOptions& options);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_FAITHFULNESS_ANSWER_TASK_H_
