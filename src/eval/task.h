// A task: what to ask a model, and how to mark the answers, as a YAML file says it.
// docs/evaluation.md lists the keys.
#ifndef LOOPLM_EVAL_TASK_H_
#define LOOPLM_EVAL_TASK_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "looplm/generate.h"
#include "looplm/status.h"

#include "base/json.h"
#include "eval/answer_text.h"
#include "eval/extractor.h"
#include "eval/text_template.h"
#include "text/regex.h"

namespace looplm {

enum class TaskKind {
  kMultipleChoice,  // the likeliest of the question's choices
  kClassification,  // the same with one list of choices for all questions, which are classes
  kGenerate,        // what the model writes, marked
  kPerplexity,      // how likely a text is
};
const char* task_kind_name(TaskKind kind);

// How the record names the right choice.
enum class AnswerForm {
  kIndex,     // 0, 1, ...
  kOneBased,  // 1, 2, ...
  kLetter,    // A, B, ...
  kLabel,     // an element of the list in `labels`
  kText,      // the choice's own text
};

struct TaskAnswer {
  std::string field;
  AnswerForm form = AnswerForm::kIndex;
  std::string labels;  // field of a list
};

// The choices of a question: a template each, or one for every element of a list in the record,
// which then sees `choice`, `letter` and `index` as fields.
struct TaskChoices {
  std::vector<TextTemplate> fixed;
  std::string list;  // field; empty: `fixed`
  TextTemplate text;
};

struct FewShot {
  std::vector<std::string> data;  // empty: the task's own
  int64_t count = 0;
  bool random = false;  // else the first ones of the file
  uint64_t seed = 1;
  std::string match;           // only records that agree with the question in this field
  std::vector<Json> examples;  // instead of a file
  std::string separator = "\n\n";
};

// Keeps records whose field is one of the values.
struct TaskFilter {
  std::string field;
  std::vector<std::string> is;
};

struct Replacement {
  Regex pattern;
  std::string with;
};

struct NamedExtractor {
  std::string name;
  Extractor extractor;
};

enum class TaskMetric {
  kAccuracy,            // acc: least nll of the whole choice
  kAccuracyCharacters,  // acc_norm: per character of the choice, a space before it not counted
  kAccuracyBytes,       // acc_bytes: per byte of the choice, that space too
  kAccuracyTokens,      // acc_norm_tokens
  kMacroF1,             // macro_f1: mean over classes, by the choice of `acc`
  kChoiceNll,       // nll of the right choice, nats per token (perplexity: of all scored tokens)
  kPerplexity,      // e to the nll per token
  kWordPerplexity,  // word_perplexity: e to the nll per target
  kBitsPerByte,     // bits_per_byte
  kTokenAccuracy,   // token_acc: scored tokens that are the most likely one
  kExactMatch,      // exact_match: generated answers, one figure for each extractor; perplexity:
                    // texts all of whose scored tokens are the most likely
  kAnySample,       // any_sample: questions that one of the samples answers
};
const char* task_metric_name(TaskMetric metric);

struct TaskGeneration {
  int64_t max_tokens = 256;
  std::vector<std::string> stop;
  SamplingOptions sampling;
  int64_t samples = 1;  // of each question; the seed counts up
};

struct Task {
  std::string file;  // where it was read
  std::string name;
  std::string about;
  std::string source;  // how to get the data
  TaskKind kind = TaskKind::kMultipleChoice;
  std::vector<std::string> data;  // files, * and ? allowed; relative to the data folder
  std::vector<TaskFilter> where;
  std::string category;  // field
  TextTemplate preamble;
  TextTemplate preamble_file;  // its path, relative to the data folder
  std::string preamble_after;  // of that file, only what stands after this text
  TextTemplate prompt;
  TextTemplate target;  // perplexity: what is scored; generate: what an example shows; multiple
                        // choice with `contexts`: what follows each
  TaskChoices choices;
  std::vector<TextTemplate> contexts;  // instead of prompt and choices: a prompt per choice
  TaskAnswer answer;
  TextTemplate right;  // generate: the right answer
  std::vector<NamedExtractor> extract;
  Extractor extract_right;
  Comparison comparison = Comparison::kExact;
  FewShot few_shot;
  std::vector<TaskMetric> metrics;  // the first is what tables of several tasks show
  TaskGeneration generation;
  std::vector<Replacement> clean;            // of prompts, choices and targets, in order
  std::map<std::string, TextTemplate> save;  // fields of a line per generated text
  bool special_tokens = false;               // those written in the prompt are read as such
  int64_t window = 0;   // perplexity: tokens read at once; 0: as many as the model has
  int64_t overlap = 0;  // of them, read again and not scored again
};

// Errors name file, line and key.
Result<Task> parse_task(const std::string& text, const std::string& file);
Result<Task> read_task(const std::string& path);

}  // namespace looplm

#endif  // LOOPLM_EVAL_TASK_H_
