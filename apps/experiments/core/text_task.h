// Generated tasks of a prompt and its completion, as token ids for training and for scoring.
#ifndef LOOPLM_EXPERIMENTS_CORE_TEXT_TASK_H_
#define LOOPLM_EXPERIMENTS_CORE_TEXT_TASK_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "looplm/model.h"
#include "looplm/tokenizer.h"
#include "looplm/train.h"

#include "base/json.h"
#include "eval/arithmetic.h"
#include "eval/examples.h"
#include "experiments/core/training_plan.h"

namespace looplm {

// How a task's text becomes ids.
class TaskText {
 public:
  // An id per character, in the alphabet's order from 1. 0 is no character's.
  static TaskText of_characters(std::string alphabet);
  // As a model reads it; an error where it has no token for a character of the alphabet. The
  // tokenizer must outlive this.
  static Result<TaskText> of_tokenizer(const Tokenizer& tokenizer, std::string_view alphabet);
  // The tokenizer of the model in `directory`, or characters where it is empty or has none.
  static Result<TaskText> of_model(const std::string& directory, std::string alphabet);

  int64_t vocab_size() const;
  // Characters outside the alphabet are a broken invariant of the task's generator.
  std::vector<int32_t> encode(std::string_view text, EncodeAs as) const;
  std::string decode(std::span<const int32_t> ids) const;

 private:
  std::string alphabet_;
  const Tokenizer* tokenizer_ = nullptr;
  std::shared_ptr<const Tokenizer> owned_;  // where it is this one's
};

struct TaskExample {
  std::string prompt;
  std::string completion;
  Json fields = Json::object();  // for grouping
};

// The example with this index: a pure function.
using TaskGenerator = std::function<TaskExample(uint64_t index)>;

// Prompt and completion, which alone is learnt. No end-of-text id: lengths are known.
class TaskStream : public DocumentStream {
 public:
  // `identity` says what decides the examples, in words.
  TaskStream(TaskGenerator generator, TaskText text, const std::string& identity);

  int64_t vocab_size() const override { return text_.vocab_size(); }
  uint64_t hash() const override { return hash_; }
  void document(uint64_t index, std::vector<int32_t>& ids,
                std::vector<bool>& learnt) const override;

 private:
  TaskGenerator generator_;
  TaskText text_;
  uint64_t hash_;
};

// Up to `count` examples of which no two have the same prompt, in the order of the generator. Of
// each value of the whole number `field`, one of `groups`, an equal share at most: short prompts
// are few, and drawn again and again would count as many examples. Fewer where the task has no
// more.
std::vector<TaskExample> different_examples(const TaskGenerator& generator, int64_t count,
                                            const char* field, int64_t groups);

// The share of examples that the most common completion answers.
double constant_guess(const std::vector<TaskExample>& examples);

// With the completions scored.
std::vector<EvalExample> task_examples(std::vector<TaskExample> tasks, const TaskText& text);
// Examples 0 .. count - 1.
std::vector<EvalExample> task_examples(const TaskGenerator& generator, const TaskText& text,
                                       int64_t count);

// The lines of a file as a model reads them, at most `count` (0: all) and each at most as long as
// the model takes; lines of less than two tokens are left out, and a file of nothing else is an
// error.
Result<std::vector<std::vector<int32_t>>> read_texts(const Model& model, const std::string& path,
                                                     int64_t count = 0);
// Every token but the first is scored.
EvalExample whole_text(std::vector<int32_t> ids);

// Writes a shard of documents 0 .. count - 1 whose last token alone is scored.
Status write_answer_shard(const std::string& path, int64_t vocab_size, int64_t count,
                          const std::function<std::vector<int32_t>(int64_t index)>& ids_of);

// Sums of eval/arithmetic.h, of which the answer is the completion.
struct SumsTask {
  ArithmeticOptions options{};
  int64_t examples = 2000;  // held out
  uint64_t seed = 2;        // of those

  // The keys of a table [sums].
  void read(TomlReader settings);
  TaskGenerator generator(ArithmeticSplit split, int max_operations, uint64_t seed) const;
  // All different.
  std::vector<TaskExample> held_out() const;
  // For the phases of a training whose unit is the operation.
  PhaseStream stream(const TaskText& text, uint64_t first_seed) const;
};

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_CORE_TEXT_TASK_H_
