#include "serve/line_log.h"

#include <array>
#include <chrono>
#include <csignal>
#include <string>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/file.h"
#include "support/temp_dir.h"

namespace looplm {
namespace {

using testing::HasSubstr;
using testing::MatchesRegex;

TEST(LineLog, AReaderThatStandsStillCostsLinesAndASecondInAll) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe(ends.data()), 0);
  LineLog log(ends[1]);
  const std::string line(1'000, 'x');
  const auto began = std::chrono::steady_clock::now();
  int written = 0;
  int lost = 0;
  for (int i = 0; i < 1'000; ++i) ++(log.write(line) ? written : lost);
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(30));
  EXPECT_GT(written, 10);
  EXPECT_GT(lost, 800);  // a pipe holds 64 KiB
  std::string read(size_t{1} << 20, '\0');
  EXPECT_EQ(::read(ends[0], read.data(), read.size()), written * 1'001);
  EXPECT_TRUE(log.write("again"));
  EXPECT_TRUE(log.write("more"));
  read.resize(static_cast<size_t>(::read(ends[0], read.data(), read.size())));
  EXPECT_THAT(read, MatchesRegex("\\{\"time\":[0-9]+,\"lost_lines\":" + std::to_string(lost) +
                                 "\\}\nagain\nmore\n"));
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST(LineLog, ALineThatAPipeMayNotTakeAtOnceIsLost) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe(ends.data()), 0);
  LineLog log(ends[1]);
  const std::string nearly(4'000, 'x');
  int written = 0;
  while (log.write(nearly)) ++written;  // one free slot may be left
  EXPECT_GT(written, 10);
  EXPECT_FALSE(log.write(std::string(8'192, 'y')));
  std::string read(size_t{1} << 20, '\0');
  EXPECT_EQ(::read(ends[0], read.data(), read.size()), written * 4'001);
  EXPECT_FALSE(log.write(std::string(8'192, 'y')));
  EXPECT_FALSE(log.write(std::string(4'090, 'z')));  // with what it has to say before
  EXPECT_TRUE(log.write("short"));
  read.resize(static_cast<size_t>(::read(ends[0], read.data(), read.size())));
  EXPECT_THAT(read, MatchesRegex("\\{\"time\":[0-9]+,\"lost_lines\":4\\}\nshort\n"));
  ::close(ends[0]);
  ::close(ends[1]);
}

// A limit of the file's size stands for a disk that is full.
TEST(LineLog, GoesOnWhenThereIsRoomAgain) {
  const TempDir directory;
  const std::string path = directory.file("log");
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  ASSERT_GE(file, 0);
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit small = before;
  small.rlim_cur = 12;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  LineLog log(file);
  const bool first = log.write("whole");
  const bool second = log.write("broken line");
  const bool third = log.write("none of it");
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_TRUE(first);
  EXPECT_FALSE(second);
  EXPECT_FALSE(third);
  EXPECT_TRUE(log.write("after"));
  ::close(file);
  const std::string text = read_text_file(path).value();
  EXPECT_THAT(text, HasSubstr("whole\nbroken\n{\"time\":"));
  EXPECT_THAT(text, HasSubstr("\"lost_lines\":2}\nafter\n"));
}

}  // namespace
}  // namespace looplm
