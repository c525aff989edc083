#include "model/atomic_directory.h"

#include <atomic>
#include <filesystem>
#include <set>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"

namespace looplm {
namespace {

namespace fs = std::filesystem;

bool ends_in_txt(const std::string& name) { return name.ends_with(".txt"); }

// Everything in the directory, temporary leftovers too.
std::set<std::string> names_in(const std::string& directory) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(directory)) {
    names.insert(entry.path().filename().string());
  }
  return names;
}

Status write_pair(const std::string& target, const std::string& content) {
  LOOPLM_ASSIGN_OR_RETURN(AtomicDirectory fresh, AtomicDirectory::create(target, ends_in_txt));
  LOOPLM_RETURN_IF_ERROR(write_text_file(fresh.path() + "/a.txt", content));
  LOOPLM_RETURN_IF_ERROR(write_text_file(fresh.path() + "/b.txt", content));
  return fresh.commit();
}

TEST(AtomicDirectory, AppearsOnlyWithCommitAndLeavesNothingElse) {
  const TempDir directory;
  const std::string target = directory.file("deep/er/out");
  {
    Result<AtomicDirectory> fresh = AtomicDirectory::create(target, ends_in_txt);
    ASSERT_OK(fresh);
    ASSERT_OK(write_text_file(fresh->path() + "/a.txt", "1"));
    EXPECT_FALSE(is_directory(target));
  }
  EXPECT_THAT(names_in(directory.file("deep/er")), ::testing::IsEmpty());
  ASSERT_OK(write_pair(target + "//", "1"));
  EXPECT_THAT(names_in(target), ::testing::ElementsAre("a.txt", "b.txt"));
  EXPECT_THAT(names_in(directory.file("deep/er")), ::testing::ElementsAre("out"));
}

TEST(AtomicDirectory, ReplacesItsOwnKindWhole) {
  const TempDir directory;
  const std::string target = directory.file("out");
  ASSERT_OK(make_directories(target));
  ASSERT_OK(write_pair(target, "1"));  // over an empty directory
  ASSERT_OK(write_text_file(target + "/c.txt", "old"));
  ASSERT_OK(write_pair(target, "2"));
  EXPECT_THAT(names_in(target), ::testing::ElementsAre("a.txt", "b.txt"));
  EXPECT_EQ(read_text_file(target + "/a.txt").value(), "2");
  EXPECT_THAT(names_in(directory.path()), ::testing::ElementsAre("out"));
}

TEST(AtomicDirectory, ForeignFilesAreNeverDestroyed) {
  const TempDir directory;
  const std::string target = directory.file("out");
  ASSERT_OK(write_pair(target, "1"));
  ASSERT_OK(write_text_file(target + "/thesis.odt", "years"));
  EXPECT_ERROR_SAYS(write_pair(target, "2"), "thesis.odt", target.c_str());
  fs::remove(target + "/thesis.odt");
  fs::create_directory(target + "/sub.txt");
  EXPECT_ERROR_SAYS(write_pair(target, "2"), "sub.txt");
  fs::remove(target + "/sub.txt");

  // A file that comes while the new directory is being written.
  Result<AtomicDirectory> fresh = AtomicDirectory::create(target, ends_in_txt);
  ASSERT_OK(fresh);
  ASSERT_OK(write_text_file(target + "/late.odt", "new"));
  EXPECT_ERROR_SAYS(fresh->commit(), "late.odt");
  EXPECT_EQ(read_text_file(target + "/a.txt").value(), "1");

  ASSERT_OK(write_text_file(directory.file("plain"), "a file"));
  EXPECT_ERROR_SAYS(write_pair(directory.file("plain"), "2"), "plain", "not a directory");
  EXPECT_ERROR_SAYS(write_pair("", "2"), "''");
  EXPECT_ERROR_SAYS(write_pair("/", "2"), "'/'");
}

TEST(AtomicDirectory, ALinkToADirectoryStaysALink) {
  const TempDir directory;
  ASSERT_OK(write_pair(directory.file("step-1"), "1"));
  fs::create_directory_symlink("step-1", directory.file("latest"));
  ASSERT_OK(write_pair(directory.file("latest"), "2"));
  EXPECT_TRUE(fs::is_symlink(directory.file("latest")));
  EXPECT_EQ(read_text_file(directory.file("step-1/a.txt")).value(), "2");
  fs::create_directory_symlink("new/step-2/", directory.file("next"));  // not there yet
  ASSERT_OK(write_pair(directory.file("next"), "3"));
  EXPECT_TRUE(fs::is_symlink(directory.file("next")));
  EXPECT_EQ(read_text_file(directory.file("new/step-2/a.txt")).value(), "3");
}

TEST(AtomicDirectory, AReaderAlwaysFindsACompleteDirectory) {
  const TempDir directory;
  const std::string target = directory.file("out");
  ASSERT_OK(write_pair(target, "0"));
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    for (int i = 1; i < 50; ++i) EXPECT_OK(write_pair(target, std::to_string(i)));
    stop = true;
  });
  int64_t looks = 0;
  while (!stop) {
    EXPECT_TRUE(read_text_file(target + "/a.txt").ok());
    EXPECT_TRUE(read_text_file(target + "/b.txt").ok());
    ++looks;
  }
  writer.join();
  EXPECT_GT(looks, 0);
}

}  // namespace
}  // namespace looplm
