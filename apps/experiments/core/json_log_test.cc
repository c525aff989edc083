#include "experiments/core/json_log.h"

#include <filesystem>

#include <gmock/gmock.h>

#include "base/file.h"

namespace looplm {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string fresh(const std::string& name) {
  std::string path = testing::TempDir() + "/looplm_json_log_" + name;
  std::filesystem::remove(path);
  return path;
}

Result<std::vector<int64_t>> numbers(const std::string& path, std::vector<int64_t> more = {}) {
  std::vector<int64_t> found;
  const auto each = [&](const Json& record) -> Status {
    LOOPLM_ASSIGN_OR_RETURN(const int64_t n, json_int(record, "n", 0, 0, 99));
    found.push_back(n);
    return {};
  };
  LOOPLM_ASSIGN_OR_RETURN(const auto log, JsonLog::open(path, each));
  for (int64_t n : more) LOOPLM_RETURN_IF_ERROR(log->append({{"n", n}}));
  return found;
}

TEST(JsonLog, KeepsRecordsFromRunToRun) {
  const std::string path = fresh("kept");
  EXPECT_THAT(numbers(path, {1, 2}).value(), ElementsAre());
  EXPECT_THAT(numbers(path, {3}).value(), ElementsAre(1, 2));
  EXPECT_THAT(numbers(path).value(), ElementsAre(1, 2, 3));
}

TEST(JsonLog, ATornEndIsCutOffAndWrittenOver) {
  const std::string path = fresh("torn");
  ASSERT_TRUE(write_text_file(path, "{\"n\":1}\n{\"n\":2").ok());
  EXPECT_THAT(numbers(path, {7}).value(), ElementsAre(1));
  EXPECT_THAT(numbers(path).value(), ElementsAre(1, 7));
}

TEST(JsonLog, DamageNamesTheLine) {
  const std::string path = fresh("damaged");
  ASSERT_TRUE(write_text_file(path, "{\"n\":1}\nnonsense\n{\"n\":2}\n").ok());
  EXPECT_THAT(numbers(path).status().message(), HasSubstr("line 2"));
  ASSERT_TRUE(write_text_file(path, "{\"n\":100}\n").ok());
  EXPECT_THAT(numbers(path).status().message(), HasSubstr("line 1"));
  EXPECT_FALSE(numbers("/nonexistent/log").ok());
}

}  // namespace
}  // namespace looplm
