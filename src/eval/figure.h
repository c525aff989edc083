// Figures of reports, drawn by gnuplot as SVG and PNG.
#ifndef LOOPLM_EVAL_FIGURE_H_
#define LOOPLM_EVAL_FIGURE_H_

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "looplm/status.h"

namespace looplm {

struct Series {
  enum class Style { kLinePoints, kLine, kDashed, kPoints };
  // In the legend. Empty: none, and the colour of the series before, as for a line through points.
  std::string name;
  std::vector<double> x;
  std::vector<double> y;  // as many; NaN leaves a gap
  // Ends of error bars, as many as y; empty: none.
  std::vector<double> low;
  std::vector<double> high;
  Style style = Style::kLinePoints;

  void add(double at, double value) {
    x.push_back(at);
    y.push_back(value);
  }
};

inline Series series_of(std::string name, std::vector<double> x, std::vector<double> y,
                        Series::Style style = Series::Style::kLinePoints) {
  return {std::move(name), std::move(x), std::move(y), {}, {}, style};
}

// A marked place on the x axis.
struct Marker {
  double x = 0;
  std::string label;
};

// Either series or a heat map.
struct Figure {
  std::string name;  // of its files, NAME.svg and NAME.png: letters, digits, '-' and '_'
  std::string title;
  std::string x_label;
  std::string y_label;
  bool log_x = false;
  bool log_y = false;
  std::optional<std::pair<double, double>> x_range;  // none: what is shown, and a small margin
  std::optional<std::pair<double, double>> y_range;
  std::vector<Series> series;
  std::vector<Marker> markers;  // dashed vertical lines
  // Cells of a heat map, rows from the top, all of the same length; written into the cells with
  // `cell_format`, a printf format of one double.
  std::vector<std::vector<double>> cells;
  std::vector<std::string> row_names;     // of the heat map, as many as rows
  std::vector<std::string> column_names;  // as many as columns
  std::string cell_format = "%.2f";
  // Of the heat map's colours, as {0, 1} of shares; none: from the least to the greatest cell.
  std::optional<std::pair<double, double>> cell_range;

  // A further series, to be given points or complete.
  Series& add(Series further) { return series.emplace_back(std::move(further)); }
  Series& add(std::string of_series, Series::Style style = Series::Style::kLinePoints) {
    return add(series_of(std::move(of_series), {}, {}, style));
  }
};

// One without series yet. Without a range, what is shown and a small margin.
Figure figure_of(std::string name, std::string title, std::string x_label = "",
                 std::string y_label = "",
                 std::optional<std::pair<double, double>> y_range = std::nullopt);

// The program that gnuplot runs to write `output` in a terminal ("svg" or "png"). A pure function
// of the figure.
std::string gnuplot_script(const Figure& figure, const std::string& terminal,
                           const std::string& output);

// Writes DIRECTORY/NAME.svg and NAME.png. Fails on figures whose sizes do not match or that show
// nothing, and where gnuplot is missing or refuses, with what it said.
Status draw_figure(const Figure& figure, const std::string& directory);

// Fails where gnuplot cannot be run.
Status check_gnuplot();

}  // namespace looplm

#endif  // LOOPLM_EVAL_FIGURE_H_
