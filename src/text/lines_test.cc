#include "text/lines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"

namespace looplm {
namespace {

using ::testing::ElementsAre;

TEST(Lines, EndWithLfOrCrLf) {
  std::string_view rest = "a\r\n\r\nb\nc\rd\r\n\ne";
  std::vector<std::string> lines;
  while (!rest.empty()) lines.emplace_back(take_line(rest));
  EXPECT_THAT(lines, ElementsAre("a", "", "b", "c\rd", "", "e"));
}

TEST(Lines, OfAFileAreThoseWithText) {
  const TempDir dir;
  const auto lines_of = [&](const std::string& text) {
    EXPECT_OK(write_text_file(dir.file("x.txt"), text));
    return read_lines(dir.file("x.txt"));
  };
  const std::vector<std::string> expected = {"Q1", " caf\u00E9 "};
  for (const char* text : {"Q1\n caf\u00E9 \n", "Q1\r\n caf\u00E9 \r\n",
                           "\uFEFFQ1\r\n\r\n caf\u00E9 ", "\n\nQ1\n\n\n caf\u00E9 "}) {
    EXPECT_EQ(lines_of(text).value(), expected);
  }
  EXPECT_THAT(lines_of("").value(), ElementsAre());
  EXPECT_ERROR_SAYS(lines_of("Q1\ncaf\xE9\n"), "x.txt", "byte 6 (0xE9, in line 2)");
  EXPECT_ERROR_SAYS(read_lines(dir.file("none")), "none");
}

}  // namespace
}  // namespace looplm
