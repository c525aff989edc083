// Which solved examples stand before a question.
#ifndef LOOPLM_EVAL_FEW_SHOT_H_
#define LOOPLM_EVAL_FEW_SHOT_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "looplm/status.h"

#include "eval/task.h"
#include "eval/task_data.h"

namespace looplm {

// What makes a record the question it is: its prompt without examples, or its contexts.
Result<std::string> question_key(const Task& task, const TaskRecord& record);

// Draws once per value of few_shot.match: all questions have the same examples, whose keys and
// values they share, but for a question that would see itself, which gets the next one instead.
class FewShotSource {
 public:
  // `own` are the records of the task's data, which stand in where few_shot names no file.
  static Result<FewShotSource> create(const Task& task, const std::vector<TaskRecord>& own,
                                      const DataFolder& folder);

  // In the order in which they are shown. `key` is the question's. Fails when too few are left.
  Result<std::vector<const TaskRecord*>> examples(const TaskRecord& question,
                                                  const std::string& key) const;

 private:
  explicit FewShotSource(const Task& task) : task_(&task) {}
  Result<std::string> match_of(const TaskRecord& record) const;

  const Task* task_;
  std::vector<TaskRecord> pool_;
  std::vector<std::string> keys_;                     // of the pool
  std::map<std::string, std::vector<size_t>> drawn_;  // of the pool, by the value to match
};

}  // namespace looplm

#endif  // LOOPLM_EVAL_FEW_SHOT_H_
