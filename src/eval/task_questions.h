// A task's records as texts for a model: prompts with their examples, choices, right answers.
#ifndef LOOPLM_EVAL_TASK_QUESTIONS_H_
#define LOOPLM_EVAL_TASK_QUESTIONS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "looplm/model.h"
#include "looplm/status.h"

#include "eval/examples.h"
#include "eval/task.h"
#include "eval/task_data.h"

namespace looplm {

// What is scored: a choice after its prompt, or a window of a text.
struct ScoredText {
  EvalExample example;
  int64_t bytes = 0;       // of the scored text
  int64_t characters = 0;  // the same, without a space before it
};

struct TaskQuestion {
  TaskRecord record;
  std::string category;
  std::string prompt;             // as the model reads it, examples and all; of `contexts` empty
  std::vector<ScoredText> texts;  // one per choice; of perplexity, one per window
  size_t right = 0;               // choice
  std::vector<int32_t> ids;       // of the prompt, for generation
  std::string answer;             // right answer of generated text, extracted
  int64_t shots = 0;              // examples before it
  bool shortened = false;         // fewer than asked, for want of positions
};

struct TaskQuestions {
  std::vector<TaskQuestion> questions;
  std::vector<std::string> classes;  // of classification
  int64_t shortened = 0;  // questions with fewer examples than asked, for want of positions
};

struct QuestionLimits {
  int64_t questions = 0;  // at most; 0: all
  DataFolder folder;
};

// Errors name the record's file and line. A model without tokenizer.json cannot be asked.
Result<TaskQuestions> task_questions(const Task& task, const Model& model,
                                     const QuestionLimits& limits);

}  // namespace looplm

#endif  // LOOPLM_EVAL_TASK_QUESTIONS_H_
