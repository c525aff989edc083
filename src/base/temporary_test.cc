#include "base/temporary.h"

#include <atomic>
#include <csignal>
#include <filesystem>
#include <functional>
#include <set>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"

namespace looplm {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::set<std::string> names_in(const std::string& directory) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(directory)) {
    names.insert(entry.path().filename().string());
  }
  return names;
}

// Runs `begin` in a process that is killed behind it.
void in_killed_process(const std::function<void()>& begin) {
  const pid_t child = ::fork();
  if (child == 0) {
    begin();
    ::kill(::getpid(), SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
}

TEST(Temporary, WhatAKilledWriterLeftGoesWithTheNextOneOfTheSameFile) {
  const TempDir directory;
  for (const char* name : {"a.bin", "b.bin"}) {
    in_killed_process([&] {
      auto writer = AtomicFileWriter::create(directory.file(name));
      if (!writer.ok() || !writer->write("half").ok()) ::_exit(1);
      ::kill(::getpid(), SIGKILL);
    });
  }
  ASSERT_THAT(names_in(directory.path()), SizeIs(2));
  ASSERT_OK(write_text_file(directory.file("a.bin"), "whole"));
  const std::set<std::string> names = names_in(directory.path());
  ASSERT_THAT(names, SizeIs(2));
  EXPECT_EQ(*names.begin(), "a.bin");
  EXPECT_TRUE(names.rbegin()->starts_with("b.bin."));
  ASSERT_OK(write_text_file(directory.file("b.bin"), "whole"));
  EXPECT_THAT(names_in(directory.path()), ElementsAre("a.bin", "b.bin"));
}

TEST(Temporary, DirectoriesOfAKilledWriterGoToo) {
  const TempDir directory;
  const std::string target = directory.file("model");
  in_killed_process([&] {
    auto made = make_temporary(target, TemporaryKind::kDirectory);
    if (!made.ok() || !write_text_file(made->path + "/config.json", "{").ok()) ::_exit(1);
  });
  ASSERT_THAT(names_in(directory.path()), SizeIs(1));
  auto made = make_temporary(target, TemporaryKind::kDirectory);
  ASSERT_OK(made);
  EXPECT_THAT(names_in(directory.path()), SizeIs(1));
  EXPECT_THAT(names_in(made->path), IsEmpty());
  ::close(made->descriptor);
}

TEST(Temporary, WhatIsBeingWrittenAndWhatIsNoTemporaryStay) {
  const TempDir directory;
  const std::string target = directory.file("x");
  // Another process that lives on, told to end by closing the pipe.
  int pipe[2], ready[2];
  ASSERT_EQ(::pipe(pipe), 0);
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(pipe[1]);
    const auto made = make_temporary(target, TemporaryKind::kFile);
    char byte = made.ok() ? 'y' : 'n';
    if (::write(ready[1], &byte, 1) != 1) ::_exit(1);
    ::_exit(::read(pipe[0], &byte, 1) == 0 ? 0 : 1);
  }
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  ASSERT_EQ(byte, 'y');
  const std::string foreign[] = {"x.1.tmp", "x.a.1.tmp", "x.1.1", "xx.1.1.tmp", "x.0.1.tmp"};
  for (const std::string& name : foreign) {
    ASSERT_OK(write_text_file(directory.file(name), "mine"));
  }
  ASSERT_OK(make_directories(directory.file("x.7.1.tmp/deeper")));
  auto mine = AtomicFileWriter::create(target);
  ASSERT_OK(mine);
  ASSERT_OK(write_text_file(target, "other"));  // by another thread, as it were
  EXPECT_THAT(names_in(directory.path()), SizeIs(std::size(foreign) + 4));
  ASSERT_OK(mine->write("mine"));
  ASSERT_OK(mine->commit());
  EXPECT_EQ(read_text_file(target).value(), "mine");
  ::close(pipe[1]);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  ASSERT_OK(write_text_file(target, "last"));
  EXPECT_THAT(names_in(directory.path()), SizeIs(std::size(foreign) + 2));
  for (const int end : {pipe[0], ready[0], ready[1]}) ::close(end);
}

TEST(Temporary, ManyWritersOfOneFileDoNotTakeEachOthersAway) {
  const TempDir directory;
  const std::string target = directory.file("x");
  constexpr int kWriters = 8;
  std::vector<std::thread> threads;
  threads.reserve(kWriters);
  std::atomic<int> failures = 0;
  for (int t = 0; t < kWriters; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 40; ++i) {
        const auto hold = [&failures](const Status& status) {
          if (status.ok()) return;
          ++failures;
          ADD_FAILURE() << status.message();
        };
        hold(write_text_file(target, fmt::format("{}", t)));
        auto made = make_temporary(directory.file("d"), TemporaryKind::kDirectory);
        hold(made.status());
        if (made.ok()) hold(write_text_file(made->path + "/a", "1"));
        if (made.ok()) ::close(made->descriptor);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
  EXPECT_TRUE(file_exists(target));
}

TEST(Temporary, SaysWhereNothingCanBeMade) {
  const TempDir directory;
  const auto made = make_temporary(directory.file("no/x"), TemporaryKind::kDirectory);
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.status().code(), StatusCode::kNotFound);
  EXPECT_EQ(made.status().message(),
            fmt::format("cannot create directory '{}': No such file or directory",
                        directory.file("no/x")));
}

}  // namespace
}  // namespace looplm
