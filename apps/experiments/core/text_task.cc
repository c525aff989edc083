#include "experiments/core/text_task.h"

#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

#include "base/check.h"
#include "base/file.h"
#include "base/hash.h"
#include "text/lines.h"
#include "train/token_shard.h"

namespace looplm {
namespace {

// Tokenised apart, as `looplm data build` does.
size_t encode_example(const TaskExample& example, const TaskText& text, std::vector<int32_t>& ids) {
  ids = text.encode(example.prompt, EncodeAs::kPrompt);
  const size_t prompt = ids.size();
  const std::vector<int32_t> completion = text.encode(example.completion, EncodeAs::kContinuation);
  ids.insert(ids.end(), completion.begin(), completion.end());
  return prompt;
}

std::vector<bool> after(size_t prompt, size_t size) {
  std::vector<bool> flags(size, true);
  std::fill_n(flags.begin(), prompt, false);
  return flags;
}

}  // namespace

TaskText TaskText::of_characters(std::string alphabet) {
  TaskText text;
  text.alphabet_ = std::move(alphabet);
  return text;
}

Result<TaskText> TaskText::of_tokenizer(const Tokenizer& tokenizer, std::string_view alphabet) {
  LOOPLM_RETURN_IF_ERROR(tokenizer.encode(alphabet).status());
  TaskText text;
  text.tokenizer_ = &tokenizer;
  return text;
}

Result<TaskText> TaskText::of_model(const std::string& directory, std::string alphabet) {
  if (directory.empty() || !file_exists(directory + "/tokenizer.json")) {
    return of_characters(std::move(alphabet));
  }
  LOOPLM_ASSIGN_OR_RETURN(std::unique_ptr<Tokenizer> tokenizer, Tokenizer::load(directory));
  LOOPLM_ASSIGN_OR_RETURN(TaskText text, of_tokenizer(*tokenizer, alphabet));
  text.owned_ = std::move(tokenizer);
  return text;
}

int64_t TaskText::vocab_size() const {
  return tokenizer_ != nullptr ? tokenizer_->vocab_size()
                               : static_cast<int64_t>(alphabet_.size()) + 1;
}

std::vector<int32_t> TaskText::encode(std::string_view text, EncodeAs as) const {
  if (tokenizer_ != nullptr) {
    auto encoded = tokenizer_->encode(text, {.as = as, .parse_special = false});
    LOOPLM_CHECK(encoded.ok(), "{}", encoded.status().message());
    return std::move(encoded).value();
  }
  std::vector<int32_t> ids;
  ids.reserve(text.size());
  for (const char c : text) {
    const size_t at = alphabet_.find(c);
    LOOPLM_CHECK(at != std::string::npos, "'{}' is not in the alphabet '{}'", c, alphabet_);
    ids.push_back(static_cast<int32_t>(at) + 1);
  }
  return ids;
}

std::string TaskText::decode(std::span<const int32_t> ids) const {
  if (tokenizer_ != nullptr) return tokenizer_->decode(ids);
  std::string text;
  for (const int32_t id : ids) {
    const auto at = static_cast<size_t>(id) - 1;
    text += id > 0 && at < alphabet_.size() ? alphabet_[at] : '?';
  }
  return text;
}

TaskStream::TaskStream(TaskGenerator generator, TaskText text, const std::string& identity)
    : generator_(std::move(generator)), text_(std::move(text)), hash_(fnv1a(identity)) {}

void TaskStream::document(uint64_t index, std::vector<int32_t>& ids,
                          std::vector<bool>& learnt) const {
  const size_t prompt = encode_example(generator_(index), text_, ids);
  learnt = after(prompt, ids.size());
}

std::vector<TaskExample> different_examples(const TaskGenerator& generator, int64_t count,
                                            const char* field, int64_t groups) {
  const int64_t share = (count + groups - 1) / groups;
  const int64_t patience = 20 * count + 1000;  // draws without anything new
  std::set<std::string> seen;
  std::map<int64_t, int64_t> taken;
  std::vector<TaskExample> examples;
  int64_t barren = 0;
  for (uint64_t index = 0; barren < patience && std::ssize(examples) < count; ++index, ++barren) {
    TaskExample example = generator(index);
    int64_t& of_group = taken[example.fields.at(field).get<int64_t>()];
    if (of_group == share || !seen.insert(example.prompt).second) continue;
    ++of_group;
    examples.push_back(std::move(example));
    barren = 0;
  }
  return examples;
}

double constant_guess(const std::vector<TaskExample>& examples) {
  std::map<std::string, int64_t> counts;
  int64_t most = 0;
  for (const TaskExample& e : examples) most = std::max(most, ++counts[e.completion]);
  return examples.empty() ? 0 : static_cast<double>(most) / static_cast<double>(examples.size());
}

std::vector<EvalExample> task_examples(const TaskGenerator& generator, const TaskText& text,
                                       int64_t count) {
  std::vector<TaskExample> tasks;
  for (int64_t i = 0; i < count; ++i) tasks.push_back(generator(static_cast<uint64_t>(i)));
  return task_examples(std::move(tasks), text);
}

std::vector<EvalExample> task_examples(std::vector<TaskExample> tasks, const TaskText& text) {
  std::vector<EvalExample> examples;
  for (TaskExample& task : tasks) {
    EvalExample example;
    const size_t prompt = encode_example(task, text, example.ids);
    example.scored = after(prompt, example.ids.size());
    example.fields = std::move(task.fields);
    examples.push_back(std::move(example));
  }
  return examples;
}

Result<std::vector<std::vector<int32_t>>> read_texts(const Model& model, const std::string& path,
                                                     int64_t count) {
  LOOPLM_ASSIGN_OR_RETURN(std::vector<std::string> lines, read_lines(path));
  if (count > 0 && std::ssize(lines) > count) lines.resize(static_cast<size_t>(count));
  const auto longest = static_cast<size_t>(model.config().max_positions);
  std::vector<std::vector<int32_t>> texts;
  for (const std::string& line : lines) {
    LOOPLM_ASSIGN_OR_RETURN(std::vector<int32_t> ids,
                            model.tokenizer()->encode(line, {.parse_special = false}));
    if (ids.size() < 2) continue;
    ids.resize(std::min(ids.size(), longest));
    texts.push_back(std::move(ids));
  }
  if (!texts.empty()) return texts;
  return invalid_argument(fmt::format("'{}' has no line of two tokens or more", path));
}

EvalExample whole_text(std::vector<int32_t> ids) {
  EvalExample example;
  example.scored = after(1, ids.size());
  example.ids = std::move(ids);
  return example;
}

Status write_answer_shard(const std::string& path, int64_t vocab_size, int64_t count,
                          const std::function<std::vector<int32_t>(int64_t index)>& ids_of) {
  TokenShardWriter writer(vocab_size);
  for (int64_t i = 0; i < count; ++i) {
    const std::vector<int32_t> ids = ids_of(i);
    writer.add(ids, std::ssize(ids) - 1);
  }
  return writer.write(path);
}

void SumsTask::read(TomlReader s) {
  s.read("examples", examples, 2, 1 << 24);
  s.read("modulus", options.modulus, 2, 10);
  s.read("max_operations", options.max_operations, 1, 1000);
  s.read("seed", seed);
}

TaskGenerator SumsTask::generator(ArithmeticSplit split, int max_operations, uint64_t from) const {
  ArithmeticOptions o = options;
  o.max_operations = max_operations;
  o.split = split;
  o.seed = from;
  return [o](uint64_t index) {
    const ArithmeticExample e = arithmetic_example(o, index);
    return TaskExample{e.prompt, e.completion, {{"operations", e.operations}}};
  };
}

std::vector<TaskExample> SumsTask::held_out() const {
  return different_examples(generator(ArithmeticSplit::kHeldOut, options.max_operations, seed),
                            examples, "operations",
                            options.max_operations - options.min_operations + 1);
}

PhaseStream SumsTask::stream(const TaskText& text, uint64_t first_seed) const {
  return [this, text, first_seed](const TrainingPhase& phase, size_t index) {
    const uint64_t from = first_seed + index;
    return std::make_shared<TaskStream>(
        generator(ArithmeticSplit::kTrain, phase.longest, from), text,
        fmt::format("sums {} {} {}", options.modulus, phase.longest, from));
  };
}

}  // namespace looplm
