// A task's YAML file: read, or refused with words that name the file.
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/check.h"
#include "eval/task.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace looplm;
  const std::string text(reinterpret_cast<const char*>(data), size);
  Result<Task> task = parse_task(text, "input");
  if (!task.ok()) {
    LOOPLM_CHECK(task.status().message().find("input") != std::string::npos, "{}",
                 task.status().message());
    return 0;
  }
  LOOPLM_CHECK(!task->name.empty() && !task->data.empty() && !task->metrics.empty());
  LOOPLM_CHECK(task->few_shot.examples.empty() ||
               task->few_shot.count <= static_cast<int64_t>(task->few_shot.examples.size()));
  return 0;
}
