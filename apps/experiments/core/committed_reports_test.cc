#include <filesystem>

#include <gtest/gtest.h>

#include "experiments/core/test_study.h"

namespace looplm {
namespace {

// docs/results/NAME, or NAME-VARIANT, holds results.json of the study NAME and the report made of
// it.
TEST(CommittedReports, AreThoseOfTheirResults) {
  int reports = 0;
  for (const auto& entry : std::filesystem::directory_iterator(project_root() + "/docs/results")) {
    const std::string folder = entry.path().filename().string();
    SCOPED_TRACE(folder);
    const auto study =
        std::ranges::find(all_studies(), folder.substr(0, folder.find('-')), &StudyEntry::name);
    ASSERT_NE(study, all_studies().end());
    const auto made = report_markdown(*study->make(), entry.path().string(), project_root());
    ASSERT_OK(made);
    EXPECT_EQ(made.value(), read_text_file(entry.path().string() + "/report.md").value());
    ++reports;
  }
  EXPECT_GE(reports, 14);
}

TEST(ShippedSettings, AreRead) {
  for (const StudyEntry& entry : all_studies()) {
    int files = 0;
    for (const auto& file :
         std::filesystem::directory_iterator(project_root() + "/studies/" + entry.name)) {
      if (file.path().extension() != ".toml") continue;
      SCOPED_TRACE(file.path());
      const auto study = entry.make();
      ASSERT_OK(configure_text(*study, read_text_file(file.path().string()).value()));
      EXPECT_FALSE(study->cells().empty());
      ++files;
    }
    EXPECT_GE(files, 2) << entry.name;  // laptop.toml and paper.toml
  }
}

}  // namespace
}  // namespace looplm
