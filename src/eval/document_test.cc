#include "eval/document.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"

namespace looplm {
namespace {

using testing::HasSubstr;
using testing::Not;

Figure line(const std::string& name) {
  Figure figure;
  figure.name = name;
  figure.title = "Accuracy over 'loops' & more";
  figure.series.push_back({"a_1", {1, 2, 4}, {0.1, NAN, 0.9}, {0, NAN, 0.8}, {0.2, NAN, 1}});
  figure.markers.push_back({4, "trained"});
  return figure;
}

TEST(Document, MarkdownHasTablesAndLinksToFigures) {
  Document document;
  document.title = "T";
  document.heading("H");
  document.paragraph("`x` is **y**");
  document.table({{"name", "value"}, {{"a|b", "1.5"}, {"c", "-2"}}, "caption"});
  document.figure(line("accuracy"));
  EXPECT_EQ(
      document_markdown(document),
      "# T\n\n## H\n\n`x` is **y**\n\n| name | value |\n|---|---:|\n| a\\|b | 1.5 |\n| c | -2 "
      "|\n\ncaption\n\n![Accuracy over 'loops' & more](accuracy.png)\n");
}

TEST(Document, HtmlIsOnePageWithItsFiguresInside) {
  const TempDir dir;
  Document document;
  document.title = "<T>";
  document.paragraph("a < b, `c & d`, **e**, 2 ** 3");
  document.figure(line("one"));
  document.figure(line("two"));
  ASSERT_OK(write_document(document, dir.file("out"), "report"));
  const std::string html = read_text_file(dir.file("out/report.html")).value();
  EXPECT_THAT(html, HasSubstr("<h1>&lt;T&gt;</h1>"));
  EXPECT_THAT(html, HasSubstr("a &lt; b, <code>c &amp; d</code>, <strong>e</strong>, 2 ** 3"));
  EXPECT_THAT(html, HasSubstr("<svg"));
  EXPECT_THAT(html, HasSubstr("a_1"));
  EXPECT_THAT(html, Not(HasSubstr("<img")));
  EXPECT_TRUE(file_exists(dir.file("out/one.png")));
  EXPECT_TRUE(file_exists(dir.file("out/report.md")));
}

TEST(Figure, ASeriesWithoutANameHasTheColourOfTheOneBefore) {
  Figure figure = line("colours");
  figure.series.push_back({"", {1, 4}, {0, 1}, {}, {}, Series::Style::kLine});
  figure.series.push_back({"other", {1, 4}, {1, 0}, {}, {}, Series::Style::kPoints});
  const std::string script = gnuplot_script(figure, "png", "colours.png");
  const auto colour = [&](const std::string& series) {
    const size_t at = script.find("lc rgb", script.find(series + " using"));
    return script.substr(at, 16);
  };
  EXPECT_EQ(colour("$s0"), colour("$s1"));
  EXPECT_NE(colour("$s0"), colour("$s2"));
}

TEST(Figure, HeatMapsAreDrawnWithTheirNumbers) {
  const TempDir dir;
  Figure figure;
  figure.name = "agreement";
  figure.title = "Agreement";
  figure.cells = {{1, 0.25}, {0.25, NAN}};
  figure.row_names = {"loop 1", "loop 2"};
  figure.column_names = {"1", "2"};
  ASSERT_OK(draw_figure(figure, dir.path()));
  const std::string svg = read_text_file(dir.file("agreement.svg")).value();
  EXPECT_THAT(svg, HasSubstr("0.25"));
  EXPECT_THAT(svg, HasSubstr("loop 2"));
  EXPECT_THAT(gnuplot_script(figure, "svg", "x"), Not(HasSubstr("cbrange")));
  figure.cell_range = {0, 1};
  const std::string script = gnuplot_script(figure, "svg", "x");
  EXPECT_THAT(script, HasSubstr("set cbrange [0:1]\n"));
  EXPECT_THAT(script, HasSubstr("$3 > 0.5"));  // white text from the middle of the range on
}

TEST(Figure, TheXAxisLeavesAMarginAroundWhatIsShown) {
  Figure figure = line("margin");
  figure.markers.clear();
  figure.series[0].x = {2, 3, 4};
  figure.series[0].y = {1, 1, NAN};  // the last is not shown
  EXPECT_THAT(gnuplot_script(figure, "svg", "x"), HasSubstr("set xrange [1.975:3.025]\n"));
  figure.markers.push_back({4, "there"});
  EXPECT_THAT(gnuplot_script(figure, "svg", "x"), HasSubstr("set xrange [1.95:4.05]\n"));
  figure.x_range = {0, 9};
  EXPECT_THAT(gnuplot_script(figure, "svg", "x"), HasSubstr("set xrange [0:9]\n"));
  figure = line("logarithmic");
  figure.log_x = true;
  figure.series[0].x = {0, 1, std::exp(2)};  // 0 has no place
  figure.series[0].y = {1, 1, 1};
  EXPECT_THAT(gnuplot_script(figure, "svg", "x"), HasSubstr("set xrange [0.951229425:"));
}

TEST(Figure, WhatCannotBeDrawnIsAnError) {
  const TempDir dir;
  const auto wrong = [&](Figure figure, const char* what) {
    EXPECT_ERROR_SAYS(draw_figure(figure, dir.path()), what);
  };
  wrong(line("no spaces"), "no spaces");
  wrong(line(""), "name");
  Figure figure = line("x");
  figure.series[0].y.pop_back();
  wrong(figure, "3 x, 2 y");
  figure = line("x");
  figure.series.clear();
  wrong(figure, "expected series");
  figure.series.push_back({"nothing", {1}, {NAN}, {}, {}});
  wrong(figure, "no finite value");
  figure = {};
  figure.name = "map";
  figure.cells = {{1, 2}, {1}};
  wrong(figure, "differ in length");
  figure.cells = {{1, 2}};
  figure.column_names = {"only"};
  wrong(figure, "2 columns and 1 names");
}

TEST(Figure, CountsHaveATickEach) {
  Figure figure = line("loops");
  EXPECT_THAT(gnuplot_script(figure, "svg", "x"), HasSubstr("set xtics 1\n"));
  figure.series[0].x[1] = 2.5;
  EXPECT_THAT(gnuplot_script(figure, "svg", "x"), Not(HasSubstr("set xtics 1\n")));
  figure.series[0].x = {1, 2, 2000};
  EXPECT_THAT(gnuplot_script(figure, "svg", "x"), Not(HasSubstr("set xtics 1\n")));
}

// A text that gnuplot would take for a command or for markup stays text.
TEST(Figure, TextIsNeverAProgram) {
  const TempDir dir;
  Figure figure = line("quoted");
  figure.title = "'; system('touch pwned'); #\n";
  figure.y_label = "{/Symbol a}_x^2";
  ASSERT_OK(draw_figure(figure, dir.file("it's")));
  EXPECT_THAT(read_text_file(dir.file("it's/quoted.svg")).value(), HasSubstr("{/Symbol a}_x^2"));
  EXPECT_FALSE(file_exists("pwned"));
}

}  // namespace
}  // namespace looplm
