#include "eval/run_report.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"

namespace looplm {
namespace {

using testing::ElementsAre;

class RunReportTest : public testing::Test {
 protected:
  std::string run(const std::string& name, const std::string& log) const {
    EXPECT_OK(make_directories(dir_.file(name)));
    EXPECT_OK(write_text_file(dir_.file(name) + "/log.jsonl", log));
    return dir_.file(name);
  }
  static const Figure* figure(const Document& page, const std::string& name) {
    for (const auto& block : page.blocks) {
      const auto* found = std::get_if<Figure>(&block);
      if (found != nullptr && found->name == name) return found;
    }
    return nullptr;
  }

  TempDir dir_;
  const std::string log_ =
      R"({"step":1,"loss":3,"nll":[4,3],"mean_exit":1.5,"gradient_norm":2,"seconds":1,"tokens_per_second":10})"
      "\n"
      R"({"step":2,"loss":2,"nll":[3,2],"mean_exit":1.25,"gradient_norm":null,"seconds":1,"tokens_per_second":30})"
      "\n"
      R"({"step":2,"validation":true,"set":0,"tokens":10,"loss":2,"nll":[3,2]})"
      "\n"
      R"({"step":2,"validation":true,"set":1,"tokens":30,"loss":1,"nll":[2,1]})"
      "\n";
};

TEST_F(RunReportTest, CurvesAreThoseOfTheLog) {
  auto page = run_report({run("a", log_)});
  ASSERT_OK(page);
  const Figure* loss = figure(*page, "loss");
  ASSERT_NE(loss, nullptr);
  ASSERT_EQ(loss->series.size(), 2u);
  EXPECT_THAT(loss->series[0].y, ElementsAre(3, 2));
  EXPECT_THAT(loss->series[1].y, ElementsAre(1.25));  // by tokens
  const Figure* loops = figure(*page, "loops-1");
  ASSERT_NE(loops, nullptr);
  EXPECT_THAT(loops->series[0].y, ElementsAre(2.25));
  EXPECT_THAT(loops->series[1].y, ElementsAre(1.25));
  EXPECT_THAT(figure(*page, "exit")->series[0].y, ElementsAre(1.5, 1.25));
  EXPECT_THAT(figure(*page, "gradient-norm")->series[0].y, ElementsAre(2, testing::IsNan()));
  const std::string text = document_markdown(*page);
  EXPECT_THAT(text, testing::HasSubstr("| 2.0000 | 1.2500 | 2 | 1.25 | 30 |"));
}

TEST_F(RunReportTest, ComparesRunsAndDrawsOnePage) {
  const std::string a = run("x/run", log_), b = run("y/run", log_ + "{\"step\":3,\"lo");
  auto page = run_report({a, b});
  ASSERT_OK(page);
  EXPECT_EQ(figure(*page, "speed")->series.size(), 2u);
  EXPECT_EQ(figure(*page, "speed")->series[1].name, b);
  EXPECT_NE(figure(*page, "loops-2"), nullptr);
  if (!check_gnuplot().ok()) GTEST_SKIP() << "no gnuplot";
  ASSERT_OK(write_document(*page, dir_.file("out"), "report"));
  EXPECT_THAT(read_text_file(dir_.file("out/report.html")).value(), testing::HasSubstr("<svg"));
}

// Else the shorter run would be a stroke at the left end.
TEST_F(RunReportTest, RunsOfOtherLengthsShareALogarithmicAxis) {
  const auto to = [&](int step) {
    return log_ + fmt::format("{{\"step\":{},\"loss\":1}}\n", step);
  };
  const std::string base = run("base", log_), alike = run("alike", to(8)), longer = run("l", to(9));
  auto page = run_report({base, alike});
  ASSERT_OK(page);
  EXPECT_FALSE(figure(*page, "loss")->log_x);
  page = run_report({longer, base});
  ASSERT_OK(page);
  for (const char* name : {"loss", "speed", "gradient-norm", "exit"}) {
    EXPECT_TRUE(figure(*page, name)->log_x) << name;
  }
  EXPECT_FALSE(figure(*page, "loops-1")->log_x);  // of one run
}

TEST_F(RunReportTest, WhatIsNoLogIsNamed) {
  EXPECT_ERROR_SAYS(run_report({dir_.file("nowhere")}), "nowhere/log.jsonl");
  EXPECT_ERROR_SAYS(run_report({run("b", "")}), "b/log.jsonl", "no step");
  EXPECT_ERROR_SAYS(run_report({run("c", log_ + "{}\n")}), "c/log.jsonl:5", "step");
  EXPECT_ERROR_SAYS(run_report({run("d", "{\n")}), "d/log.jsonl:1");
}

}  // namespace
}  // namespace looplm
