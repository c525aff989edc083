#include "eval/task_questions.h"

#include <algorithm>
#include <charconv>
#include <map>

#include <fmt/format.h>

#include "base/file.h"
#include "eval/few_shot.h"
#include "eval/joined.h"
#include "eval/prefix_tree.h"

namespace looplm {
namespace {

// The record of one choice, for its template.
Json with_choice(const Json& fields, const Json& choice, size_t index) {
  Json with = fields;
  with["choice"] = choice;
  with["letter"] = choice_letter(index);
  with["index"] = index;
  return with;
}

// Of UTF-8.
bool goes_on_with_character(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }
int64_t characters(const std::string& text) {
  return std::ssize(text) - std::count_if(text.begin(), text.end(), goes_on_with_character);
}

class QuestionBuilder {
 public:
  QuestionBuilder(const Task& task, const Model& model, const QuestionLimits& limits)
      : task_(task),
        config_(model.config()),
        tokenizer_(*model.tokenizer()),
        limits_(limits),
        encode_{.parse_special = task.special_tokens} {}

  Result<TaskQuestions> build() {
    LOOPLM_ASSIGN_OR_RETURN(std::vector<TaskRecord> records,
                            read_records(task_, task_.data, limits_.folder));
    if (records.empty()) {
      return invalid_argument(fmt::format("{}: {} holds no record{}", task_.file,
                                          joined(task_.data),
                                          task_.where.empty() ? "" : " that 'where' lets pass"));
    }
    LOOPLM_ASSIGN_OR_RETURN(const FewShotSource source,
                            FewShotSource::create(task_, records, limits_.folder));
    source_ = &source;
    if (limits_.questions > 0 && static_cast<int64_t>(records.size()) > limits_.questions) {
      records.resize(static_cast<size_t>(limits_.questions));
    }
    TaskQuestions result;
    for (TaskRecord& record : records) {
      TaskQuestion question;
      question.record = std::move(record);
      const Status status = fill(question);
      if (!status.ok()) {
        // Most messages name the place already.
        return status.message().find(question.record.where) == 0
                   ? status
                   : status.with_context(question.record.where);
      }
      result.shortened += question.shortened ? 1 : 0;
      result.questions.push_back(std::move(question));
    }
    if (task_.kind == TaskKind::kClassification) {
      for (const TextTemplate& c : task_.choices.fixed) result.classes.push_back(c.source());
    }
    return result;
  }

 private:
  Result<std::string> cleaned(const TextTemplate& text, const Json& fields) const {
    LOOPLM_ASSIGN_OR_RETURN(std::string result, text.render(fields));
    for (const Replacement& replacement : task_.clean) {
      Regex::Matcher matcher(replacement.pattern);
      std::string changed;
      size_t from = 0, search = 0, begin = 0, end = 0;
      while (search <= result.size()) {
        LOOPLM_ASSIGN_OR_RETURN(const bool found, matcher.find(result, search, &begin, &end));
        if (!found) break;
        changed.append(result, from, begin - from);
        changed += replacement.with;
        from = search = end;
        // Past an empty match, to the next character.
        if (end == begin) {
          do ++search;
          while (search < result.size() && goes_on_with_character(result[search]));
        }
      }
      result = changed + result.substr(from);
    }
    return result;
  }

  Result<std::vector<std::string>> choices_of(const Json& fields) const {
    std::vector<std::string> choices;
    const TaskChoices& c = task_.choices;
    if (c.list.empty()) {
      for (size_t i = 0; i < c.fixed.size(); ++i) {
        LOOPLM_ASSIGN_OR_RETURN(std::string text,
                                cleaned(c.fixed[i], with_choice(fields, nullptr, i)));
        choices.push_back(std::move(text));
      }
      return choices;
    }
    const Json* list = find_field(fields, c.list);
    if (list == nullptr || !list->is_array() || list->size() < 2) {
      return invalid_argument(fmt::format("the field '{}' is {}; expected a list of choices",
                                          c.list,
                                          list == nullptr ? "not there" : shown_json(*list)));
    }
    for (size_t i = 0; i < list->size(); ++i) {
      LOOPLM_ASSIGN_OR_RETURN(std::string text,
                              cleaned(c.text, with_choice(fields, (*list)[i], i)));
      choices.push_back(std::move(text));
    }
    return choices;
  }

  // Which of `count` choices is right.
  Result<size_t> right_choice(const Json& fields, size_t count,
                              const std::vector<std::string>& choices) const {
    const TaskAnswer& answer = task_.answer;
    const Json* value = find_field(fields, answer.field);
    if (value == nullptr) {
      return invalid_argument(fmt::format("there is no field '{}', the answer's", answer.field));
    }
    LOOPLM_ASSIGN_OR_RETURN(const std::string text, field_text(*value, answer.field));
    size_t right = count;
    std::string expected;
    const auto number = [&](size_t first) {
      size_t n = 0;
      const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), n);
      if (error == std::errc() && stop == text.data() + text.size() && n >= first)
        right = n - first;
      expected = fmt::format("a number from {} to {}", first, count - 1 + first);
    };
    switch (answer.form) {
      case AnswerForm::kIndex:
        number(0);
        break;
      case AnswerForm::kOneBased:
        number(1);
        break;
      case AnswerForm::kLetter:
        for (size_t i = 0; i < count; ++i) {
          if (text == choice_letter(i)) right = i;
        }
        expected = fmt::format("a letter from A to {}", choice_letter(count - 1));
        break;
      case AnswerForm::kLabel: {
        const Json* labels = find_field(fields, answer.labels);
        expected = fmt::format("an element of '{}'", answer.labels);
        for (size_t i = 0; labels != nullptr && i < labels->size() && i < count; ++i) {
          const Result<std::string> label = field_text((*labels)[i], answer.labels);
          if (label.ok() && label.value() == text) right = i;
        }
        break;
      }
      case AnswerForm::kText:
        expected = "the text of a choice";
        for (size_t i = 0; i < choices.size(); ++i) {
          if (normal_text(choices[i]) == normal_text(text)) right = i;
        }
        break;
    }
    if (right >= count) {
      return invalid_argument(
          fmt::format("the answer '{}' is '{}'; expected {}", answer.field, text, expected));
    }
    return right;
  }

  // Prompt and what follows it in a solved example.
  Result<std::string> example_text(const Json& fields) const {
    if (!task_.contexts.empty()) {
      LOOPLM_ASSIGN_OR_RETURN(const size_t right, right_choice(fields, task_.contexts.size(), {}));
      LOOPLM_ASSIGN_OR_RETURN(const std::string context, cleaned(task_.contexts[right], fields));
      LOOPLM_ASSIGN_OR_RETURN(const std::string target, cleaned(task_.target, fields));
      return context + target;
    }
    LOOPLM_ASSIGN_OR_RETURN(const std::string prompt, cleaned(task_.prompt, fields));
    if (task_.kind == TaskKind::kGenerate || task_.kind == TaskKind::kPerplexity) {
      LOOPLM_ASSIGN_OR_RETURN(const std::string target, cleaned(task_.target, fields));
      return prompt + target;
    }
    LOOPLM_ASSIGN_OR_RETURN(const std::vector<std::string> choices, choices_of(fields));
    LOOPLM_ASSIGN_OR_RETURN(const size_t right, right_choice(fields, choices.size(), choices));
    return prompt + choices[right];
  }

  Result<std::string> preamble(const Json& fields) {
    LOOPLM_ASSIGN_OR_RETURN(std::string text, task_.preamble.render(fields));
    if (task_.preamble_file.empty()) return text;
    LOOPLM_ASSIGN_OR_RETURN(const std::string path, task_.preamble_file.render(fields));
    auto known = preamble_files_.find(path);
    if (known == preamble_files_.end()) {
      LOOPLM_ASSIGN_OR_RETURN(const std::vector<std::string> files,
                              find_data(task_, path, limits_.folder));
      LOOPLM_ASSIGN_OR_RETURN(std::string contents, read_text_file(files.front()));
      const size_t cut =
          task_.preamble_after.empty() ? std::string::npos : contents.find(task_.preamble_after);
      if (cut != std::string::npos) contents.erase(0, cut + task_.preamble_after.size());
      known = preamble_files_.emplace(path, std::move(contents)).first;
    }
    return text + known->second;
  }

  Status fill(TaskQuestion& question) {
    const Json& fields = question.record.fields;
    if (!task_.category.empty()) {
      const Json* category = find_field(fields, task_.category);
      if (category == nullptr) {
        return invalid_argument(
            fmt::format("there is no field '{}', the category", task_.category));
      }
      LOOPLM_ASSIGN_OR_RETURN(question.category, field_text(*category, task_.category));
    }
    LOOPLM_ASSIGN_OR_RETURN(const std::string key, question_key(task_, question.record));
    LOOPLM_ASSIGN_OR_RETURN(const auto examples, source_->examples(question.record, key));
    std::vector<std::string> before;
    for (const TaskRecord* example : examples) {
      Result<std::string> text = example_text(example->fields);
      if (!text.ok()) return text.status().with_context(example->where);
      before.push_back(*text + task_.few_shot.separator);
    }
    LOOPLM_ASSIGN_OR_RETURN(const std::string start, preamble(fields));
    // The first examples go where the model has too few positions for all.
    for (size_t first = 0;; ++first) {
      std::string prefix = start;
      for (size_t i = first; i < before.size(); ++i) prefix += before[i];
      question.shots = static_cast<int64_t>(before.size() - first);
      LOOPLM_RETURN_IF_ERROR(fill_texts(question, prefix));
      question.shortened = first > 0;
      const int64_t needed = positions(question);
      if (needed <= config_.max_positions) return {};
      if (first == before.size()) return too_long(question, needed);
    }
  }

  Status too_long(const TaskQuestion& question, int64_t needed) const {
    const char* const even = task_.few_shot.count > 0 ? ", even without examples" : "";
    if (task_.kind != TaskKind::kGenerate) {
      return invalid_argument(
          fmt::format("{} tokens exceed {} positions{}", needed, config_.max_positions, even));
    }
    return invalid_argument(
        fmt::format("prompt {} tokens + generation.max_tokens {} exceed {} positions{}",
                    question.ids.size(), task_.generation.max_tokens, config_.max_positions, even));
  }

  int64_t positions(const TaskQuestion& question) const {
    int64_t most = 0;
    for (const ScoredText& t : question.texts) {
      most = std::max(most, static_cast<int64_t>(t.example.ids.size()) - 1);
    }
    if (task_.kind == TaskKind::kGenerate) {
      most = static_cast<int64_t>(question.ids.size()) + task_.generation.max_tokens - 1;
    }
    return most;
  }

  Status fill_texts(TaskQuestion& question, const std::string& prefix) const {
    const Json& fields = question.record.fields;
    question.texts.clear();
    if (!task_.contexts.empty()) {
      LOOPLM_ASSIGN_OR_RETURN(const std::string target, cleaned(task_.target, fields));
      for (const TextTemplate& context : task_.contexts) {
        LOOPLM_ASSIGN_OR_RETURN(const std::string text, cleaned(context, fields));
        LOOPLM_RETURN_IF_ERROR(add_scored(question, prefix + text, target));
      }
      LOOPLM_ASSIGN_OR_RETURN(question.right, right_choice(fields, task_.contexts.size(), {}));
      return {};
    }
    LOOPLM_ASSIGN_OR_RETURN(const std::string prompt, cleaned(task_.prompt, fields));
    question.prompt = prefix + prompt;
    if (task_.kind == TaskKind::kGenerate) return fill_generation(question);
    if (task_.kind == TaskKind::kPerplexity) {
      LOOPLM_ASSIGN_OR_RETURN(const std::string target, cleaned(task_.target, fields));
      LOOPLM_RETURN_IF_ERROR(add_scored(question, question.prompt, target));
      cut_windows(question);
      return {};
    }
    LOOPLM_ASSIGN_OR_RETURN(const std::vector<std::string> choices, choices_of(fields));
    LOOPLM_ASSIGN_OR_RETURN(question.right, right_choice(fields, choices.size(), choices));
    for (const std::string& choice : choices) {
      LOOPLM_RETURN_IF_ERROR(add_scored(question, question.prompt, choice));
    }
    return {};
  }

  Status fill_generation(TaskQuestion& question) const {
    LOOPLM_ASSIGN_OR_RETURN(question.ids, tokenizer_.encode(question.prompt, encode_));
    if (question.ids.empty()) question.ids = begin_ids();
    if (question.ids.empty()) return invalid_argument("the prompt holds no token");
    if (task_.right.empty()) return {};
    LOOPLM_ASSIGN_OR_RETURN(const std::string text, task_.right.render(question.record.fields));
    LOOPLM_ASSIGN_OR_RETURN(const auto answer, task_.extract_right.find(text));
    if (!answer) {
      return invalid_argument(
          fmt::format("the right answer '{}' does not hold what 'answer' extracts", text));
    }
    if (answer->empty() && task_.comparison == Comparison::kMath) {
      return invalid_argument("the right answer is empty, which no answer in mathematics equals");
    }
    question.answer = *answer;
    return {};
  }

  // What stands before a text that has nothing before it.
  std::vector<int32_t> begin_ids() const {
    if (config_.bos_token_id >= 0) return {static_cast<int32_t>(config_.bos_token_id)};
    if (!config_.eos_token_ids.empty()) return {static_cast<int32_t>(config_.eos_token_ids[0])};
    return {};
  }

  // Encoded together, since tokens may reach over the seam; scored from the first token on that the
  // prompt alone does not have.
  Status add_scored(TaskQuestion& question, const std::string& prompt,
                    const std::string& text) const {
    LOOPLM_ASSIGN_OR_RETURN(const std::vector<int32_t> before, tokenizer_.encode(prompt, encode_));
    LOOPLM_ASSIGN_OR_RETURN(std::vector<int32_t> ids, tokenizer_.encode(prompt + text, encode_));
    auto first = static_cast<size_t>(common_prefix(before, ids));
    if (first == ids.size()) {
      return invalid_argument(fmt::format("'{}' adds no token to its prompt", text));
    }
    if (first == 0) {
      const std::vector<int32_t> begin = begin_ids();
      ids.insert(ids.begin(), begin.begin(), begin.end());
      first = begin.size();
    }
    ScoredText scored;
    scored.bytes = static_cast<int64_t>(text.size());
    scored.characters = characters(text) - (text.starts_with(' ') ? 1 : 0);
    scored.example.scored.assign(ids.size(), false);
    for (size_t i = std::max<size_t>(first, 1); i < ids.size(); ++i)
      scored.example.scored[i] = true;
    scored.example.ids = std::move(ids);
    if (scored.example.ids.size() < 2) {
      return invalid_argument("a text of one token, with nothing before it to predict it from");
    }
    question.texts.push_back(std::move(scored));
    return {};
  }

  // A text longer than what the model reads at once, in windows.
  void cut_windows(TaskQuestion& question) const {
    const ScoredText whole = std::move(question.texts.back());
    const auto size = static_cast<int64_t>(whole.example.ids.size());
    const int64_t window =
        task_.window == 0 ? config_.max_positions : std::min(task_.window, config_.max_positions);
    const int64_t overlap = std::min(task_.overlap, window - 1);
    question.texts.clear();
    for (int64_t scored_to = 0; scored_to < size;) {
      // Of `window` tokens read the last predicts one more.
      const int64_t begin = scored_to == 0 ? 0 : std::max<int64_t>(0, scored_to - 1 - overlap);
      const int64_t end = std::min(size, begin + window + 1);
      ScoredText part;
      part.example.ids.assign(whole.example.ids.begin() + begin, whole.example.ids.begin() + end);
      part.example.scored.assign(part.example.ids.size(), false);
      bool any = false;
      for (int64_t i = std::max(scored_to, begin + 1); i < end; ++i) {
        const bool scored = whole.example.scored[static_cast<size_t>(i)];
        part.example.scored[static_cast<size_t>(i - begin)] = scored;
        any = any || scored;
      }
      scored_to = end;
      if (any) {
        if (question.texts.empty()) part.bytes = whole.bytes;  // counted once
        question.texts.push_back(std::move(part));
      }
    }
  }

  const Task& task_;
  const ModelConfig& config_;
  const Tokenizer& tokenizer_;
  const QuestionLimits& limits_;
  EncodeOptions encode_;
  const FewShotSource* source_ = nullptr;
  std::map<std::string, std::string> preamble_files_;
};

}  // namespace

Result<TaskQuestions> task_questions(const Task& task, const Model& model,
                                     const QuestionLimits& limits) {
  if (model.tokenizer() == nullptr) {
    return invalid_argument(
        fmt::format("'{}' has no tokenizer.json, which tasks need", model.name()));
  }
  return QuestionBuilder(task, model, limits).build();
}

}  // namespace looplm
