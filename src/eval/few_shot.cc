#include "eval/few_shot.h"

#include <fmt/format.h>

#include "base/count_text.h"
#include "base/rng.h"
#include "base/shuffle.h"
#include "eval/joined.h"

namespace looplm {

Result<std::string> question_key(const Task& task, const TaskRecord& record) {
  std::string key;
  const auto add = [&](const TextTemplate& text) -> Status {
    Result<std::string> rendered = text.render(record.fields);
    if (!rendered.ok()) return rendered.status().with_context(record.where);
    key += *rendered + '\n';
    return {};
  };
  if (task.contexts.empty()) {
    LOOPLM_RETURN_IF_ERROR(add(task.prompt));
    // A text's prompt may be empty or the same for all.
    if (task.kind == TaskKind::kPerplexity) LOOPLM_RETURN_IF_ERROR(add(task.target));
  }
  for (const TextTemplate& context : task.contexts) LOOPLM_RETURN_IF_ERROR(add(context));
  return key;
}

Result<std::string> FewShotSource::match_of(const TaskRecord& record) const {
  const std::string& field = task_->few_shot.match;
  if (field.empty()) return std::string();
  const Json* value = find_field(record.fields, field);
  if (value == nullptr) {
    return invalid_argument(
        fmt::format("{}: there is no field '{}', which few_shot.match of {} "
                    "names",
                    record.where, field, task_->file));
  }
  Result<std::string> text = field_text(*value, field);
  return text.ok() ? std::move(text) : text.status().with_context(record.where);
}

Result<FewShotSource> FewShotSource::create(const Task& task, const std::vector<TaskRecord>& own,
                                            const DataFolder& folder) {
  FewShotSource source(task);
  const FewShot& f = task.few_shot;
  if (f.count == 0) return source;
  if (!f.examples.empty()) {
    for (size_t i = 0; i < f.examples.size(); ++i) {
      source.pool_.push_back(
          {f.examples[i], fmt::format("{}: few_shot.examples {}", task.file, i + 1)});
    }
  } else if (f.data.empty()) {
    source.pool_ = own;
  } else {
    LOOPLM_ASSIGN_OR_RETURN(source.pool_, read_records(task, f.data, folder));
  }
  for (size_t i = 0; i < source.pool_.size(); ++i) {
    LOOPLM_ASSIGN_OR_RETURN(std::string key, question_key(task, source.pool_[i]));
    source.keys_.push_back(std::move(key));
    LOOPLM_ASSIGN_OR_RETURN(const std::string match, source.match_of(source.pool_[i]));
    source.drawn_[match].push_back(i);
  }
  if (!f.random) return source;
  for (auto& [match, order] : source.drawn_) {
    // The same draw whatever other values there are.
    Rng rng(f.seed);
    shuffle(order, rng);
  }
  return source;
}

Result<std::vector<const TaskRecord*>> FewShotSource::examples(const TaskRecord& question,
                                                               const std::string& key) const {
  const FewShot& f = task_->few_shot;
  std::vector<const TaskRecord*> chosen;
  if (f.count == 0) return chosen;
  LOOPLM_ASSIGN_OR_RETURN(const std::string match, match_of(question));
  const auto group = drawn_.find(match);
  if (group != drawn_.end()) {
    for (const size_t i : group->second) {
      if (static_cast<int64_t>(chosen.size()) == f.count) break;
      if (keys_[i] != key) chosen.push_back(&pool_[i]);
    }
  }
  if (static_cast<int64_t>(chosen.size()) < f.count && f.examples.empty()) {
    return invalid_argument(
        fmt::format("{}: few_shot.count of {} is {}, but {} has {} for it{}", question.where,
                    task_->file, f.count, f.data.empty() ? "the task's own data" : joined(f.data),
                    count_text(chosen.size(), "example"),
                    f.match.empty() ? "" : fmt::format(" with {} '{}'", f.match, match)));
  }
  return chosen;
}

}  // namespace looplm
