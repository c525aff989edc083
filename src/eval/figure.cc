#include "eval/figure.h"

#include <array>
#include <cmath>
#include <cstdio>
#include <tuple>

#include <fmt/format.h>

#include "base/file.h"

namespace looplm {
namespace {

// Distinguishable with the common kinds of colour blindness (Okabe and Ito's palette).
constexpr std::array<const char*, 8> kColors = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                                "#e69f00", "#56b4e9", "#000000", "#7f7f7f"};
constexpr std::array<int, 8> kPoints = {7, 5, 9, 13, 11, 15, 4, 6};

// A gnuplot string in double quotes, in which a backquote would run a command and a backslash or a
// quote would mean something: these are written by their codes. The terminals' markup is off, so
// that '_' and '^' stay what they are.
std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\' || c == '`' || static_cast<unsigned char>(c) < ' ') {
      out += fmt::format("\\{:03o}", c == '\n' ? ' ' : c);
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string number(double value) {
  return std::isfinite(value) ? fmt::format("{:.9g}", value) : "NaN";
}

Status check(const Figure& f) {
  const auto wrong = [&](const std::string& what) {
    return invalid_argument(fmt::format("figure '{}': {}", f.name, what));
  };
  if (f.name.empty() || f.name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVW"
                                                 "XYZ0123456789-_") != std::string::npos) {
    return wrong("the name may hold letters, digits, '-' and '_'");
  }
  if (f.series.empty() == f.cells.empty()) return wrong("expected series, or cells of a heat map");
  bool shows = !f.cells.empty();
  for (const Series& s : f.series) {
    const bool bars = !s.low.empty() || !s.high.empty();
    if (s.x.size() != s.y.size() ||
        (bars && (s.low.size() != s.y.size() || s.high.size() != s.y.size()))) {
      return wrong(fmt::format("series '{}' has {} x, {} y, {} low and {} high", s.name, s.x.size(),
                               s.y.size(), s.low.size(), s.high.size()));
    }
    for (const double y : s.y) shows = shows || std::isfinite(y);
  }
  if (!shows) return wrong("there is no finite value to show");
  for (const auto& row : f.cells) {
    if (row.empty() || row.size() != f.cells.front().size()) {
      return wrong("the rows of the heat map differ in length, or are empty");
    }
  }
  if (!f.row_names.empty() && f.row_names.size() != f.cells.size()) {
    return wrong(fmt::format("{} rows and {} names", f.cells.size(), f.row_names.size()));
  }
  if (!f.column_names.empty() && f.column_names.size() != f.cells.front().size()) {
    return wrong(
        fmt::format("{} columns and {} names", f.cells.front().size(), f.column_names.size()));
  }
  return {};
}

std::string ticks(const char* axis, const std::vector<std::string>& names) {
  std::string list;
  for (size_t i = 0; i < names.size(); ++i) {
    list += fmt::format("{}{} {}", i == 0 ? "" : ", ", quoted(names[i]), i);
  }
  return fmt::format("set {}tics ({}) scale 0\n", axis, list);
}

// Whether x counts something, few enough that every count can have a tick.
bool counts_on_x(const Figure& f) {
  constexpr double kMostTicks = 16;
  double least = INFINITY, most = -INFINITY;
  for (const Series& s : f.series) {
    for (const double x : s.x) {
      if (x != std::floor(x)) return false;
      least = std::fmin(least, x);
      most = std::fmax(most, x);
    }
  }
  return most - least > 0 && most - least <= kMostTicks;
}

// What the series and markers span, and a margin that keeps the first and last points, with their
// error bars, off the frame. None where nothing is to be seen.
std::optional<std::pair<double, double>> shown_on_x(const Figure& f) {
  constexpr double kMargin = 0.025;
  double least = INFINITY, most = -INFINITY;
  const auto show = [&](double x) {
    if (!std::isfinite(x) || (f.log_x && x <= 0)) return;
    least = std::fmin(least, f.log_x ? std::log(x) : x);
    most = std::fmax(most, f.log_x ? std::log(x) : x);
  };
  for (const Series& s : f.series) {
    for (size_t i = 0; i < s.x.size(); ++i) {
      if (std::isfinite(s.y[i])) show(s.x[i]);
    }
  }
  for (const Marker& m : f.markers) show(m.x);
  if (!(least <= most)) return std::nullopt;
  const double margin = least < most ? kMargin * (most - least) : 0.5;
  least -= margin;
  most += margin;
  return f.log_x ? std::pair(std::exp(least), std::exp(most)) : std::pair(least, most);
}

std::string heat_map_commands(const Figure& f) {
  std::string data;
  const size_t rows = f.cells.size(), columns = f.cells.front().size();
  double least = INFINITY, most = -INFINITY;
  for (size_t r = 0; r < rows; ++r) {
    for (size_t c = 0; c < columns; ++c) {
      const double v = f.cells[r][c];
      data += fmt::format("{} {} {}\n", c, r, number(v));
      if (!std::isfinite(v)) continue;
      least = std::fmin(least, v);
      most = std::fmax(most, v);
    }
    data += "\n";
  }
  std::string script = "$cells << END\n" + data + "END\n";
  script += "set palette defined (0 '#f7fbff', 0.5 '#6baed6', 1 '#08306b')\n";
  script += fmt::format("set xrange [-0.5:{}]\nset yrange [{}:-0.5]\n",
                        number(static_cast<double>(columns) - 0.5),
                        number(static_cast<double>(rows) - 0.5));
  if (!f.column_names.empty()) script += ticks("x", f.column_names);
  if (!f.row_names.empty()) script += ticks("y", f.row_names);
  if (f.cell_range) {
    std::tie(least, most) = *f.cell_range;
    script += fmt::format("set cbrange [{}:{}]\n", number(least), number(most));
  }
  script += "unset key\nunset grid\n";
  // Text is white on dark cells.
  const double middle = (least + most) / 2;
  script += fmt::format(
      "plot $cells using 1:2:3 with image notitle, \\\n"
      "  $cells using ($3 <= {0} ? $1 : NaN):2:(sprintf({1}, $3)) with labels tc rgb '#000000' "
      "notitle, \\\n"
      "  $cells using ($3 > {0} ? $1 : NaN):2:(sprintf({1}, $3)) with labels tc rgb '#ffffff' "
      "notitle\n",
      number(middle), quoted(f.cell_format));
  return script;
}

std::string series_commands(const Figure& f) {
  std::string script, plots;
  size_t color = 0;
  for (size_t i = 0; i < f.series.size(); ++i) {
    const Series& s = f.series[i];
    if (i > 0 && !s.name.empty()) color = (color + 1) % kColors.size();
    script += fmt::format("$s{} << END\n", i);
    for (size_t k = 0; k < s.x.size(); ++k) {
      script += number(s.x[k]) + " " + number(s.y[k]);
      if (!s.low.empty()) script += " " + number(s.low[k]) + " " + number(s.high[k]);
      script += "\n";
    }
    script += "END\n";
    const std::string title = s.name.empty() ? "notitle" : "title " + quoted(s.name);
    std::string style;
    switch (s.style) {
      case Series::Style::kLinePoints:
        style = fmt::format("with linespoints lw 2 pt {} ps 0.9", kPoints[color]);
        break;
      case Series::Style::kLine:
        style = "with lines lw 2";
        break;
      case Series::Style::kDashed:
        style = "with lines lw 1.5 dt 2";
        break;
      case Series::Style::kPoints:
        style = fmt::format("with points pt {} ps 0.8", kPoints[color]);
        break;
    }
    // Bars below the points.
    if (!s.low.empty()) {
      plots += fmt::format("{}$s{} using 1:2:3:4 with yerrorbars lw 1 pt 0 lc rgb '{}' notitle",
                           plots.empty() ? "plot " : ", \\\n  ", i, kColors[color]);
    }
    plots += fmt::format("{}$s{} using 1:2 {} lc rgb '{}' {}", plots.empty() ? "plot " : ", \\\n  ",
                         i, style, kColors[color], title);
  }
  return script + plots + "\n";
}

// What gnuplot said to one argument. The shell sees only that.
Result<std::string> run_gnuplot(const std::string& argument) {
  std::string quoted_argument;
  for (const char c : argument) {
    quoted_argument += c == '\'' ? std::string("'\\''") : std::string(1, c);
  }
  std::FILE* pipe = popen(("gnuplot '" + quoted_argument + "' 2>&1").c_str(), "r");
  if (pipe == nullptr) return io_error(fmt::format("cannot run gnuplot on '{}'", argument));
  std::string said;
  std::array<char, 512> buffer;
  while (std::fgets(buffer.data(), static_cast<int>(buffer.size()), pipe) != nullptr) {
    said += buffer.data();
  }
  const int status = pclose(pipe);
  if (status == 0) return said;
  return io_error(
      fmt::format("gnuplot failed on '{}' (Debian package gnuplot-nox): {}", argument, said));
}

}  // namespace

Figure figure_of(std::string name, std::string title, std::string x_label, std::string y_label,
                 std::optional<std::pair<double, double>> y_range) {
  Figure figure;
  figure.name = std::move(name);
  figure.title = std::move(title);
  figure.x_label = std::move(x_label);
  figure.y_label = std::move(y_label);
  figure.y_range = y_range;
  return figure;
}

std::string gnuplot_script(const Figure& f, const std::string& terminal,
                           const std::string& output) {
  std::string script;
  const char* size = f.cells.empty() ? "760,460" : "700,560";
  if (terminal == "svg") {
    script += fmt::format(
        "set terminal svg noenhanced size {} font 'Helvetica,13' background '#ffffff'\n", size);
  } else {
    script += fmt::format(
        "set terminal pngcairo noenhanced size {} font 'DejaVu Sans,10' background '#ffffff'\n",
        size);
  }
  script += "set output " + quoted(output) + "\nset encoding utf8\n";
  script += "set title " + quoted(f.title) + "\n";
  script += "set xlabel " + quoted(f.x_label) + "\nset ylabel " + quoted(f.y_label) + "\n";
  script += "set border 3 lc rgb '#444444'\nset tics nomirror out\n";
  script += "set grid lc rgb '#dddddd' lw 1\n";
  // Error bars else leave a gap around their point, which hides it.
  script += "set pointintervalbox 0\n";
  // Outside, where it hides no point.
  if (f.series.size() <= 3) {
    script += "set key outside top center horizontal spacing 1.2\n";
  } else {
    size_t longest = 0;
    for (const Series& s : f.series) longest = std::max(longest, s.name.size());
    // In SVG, gnuplot leaves room for letters a third wider than they are.
    script += fmt::format("set key outside right top Left reverse samplen 2 spacing 1.2 width {}\n",
                          terminal == "svg" ? -static_cast<int>(longest / 4) : 0);
  }
  if (!f.log_x && counts_on_x(f)) script += "set xtics 1\n";
  if (f.log_x) script += "set logscale x\n";
  if (f.log_y) script += "set logscale y\n";
  const auto range = [&](const char* axis, const auto& limits) {
    if (limits) {
      script +=
          fmt::format("set {}range [{}:{}]\n", axis, number(limits->first), number(limits->second));
    }
  };
  range("x", f.x_range || !f.cells.empty() ? f.x_range : shown_on_x(f));
  range("y", f.y_range);
  for (size_t i = 0; i < f.markers.size(); ++i) {
    const Marker& m = f.markers[i];
    script += fmt::format(
        "set arrow from {0}, graph 0 to {0}, graph 1 nohead dt 3 lc rgb '#888888'\n"
        "set label {1} at {0}, graph 0.04 offset 0.5,0 tc rgb '#666666'\n",
        number(m.x), quoted(m.label));
  }
  return script + (f.cells.empty() ? series_commands(f) : heat_map_commands(f));
}

Status draw_figure(const Figure& figure, const std::string& directory) {
  LOOPLM_RETURN_IF_ERROR(check(figure));
  LOOPLM_RETURN_IF_ERROR(make_directories(directory));
  for (const char* terminal : {"svg", "png"}) {
    const std::string target = fmt::format("{}/{}.{}", directory, figure.name, terminal);
    const std::string drawn = target + ".tmp";
    const std::string commands = drawn + ".gnuplot";
    LOOPLM_RETURN_IF_ERROR(write_text_file(commands, gnuplot_script(figure, terminal, drawn)));
    LOOPLM_ASSIGN_OR_RETURN(const std::string said, run_gnuplot(commands));
    std::remove(commands.c_str());
    if (!file_exists(drawn)) {
      return io_error(
          fmt::format("gnuplot did not draw '{}' (Debian package gnuplot-nox): {}", target, said));
    }
    if (std::rename(drawn.c_str(), target.c_str()) != 0) {
      return io_error(fmt::format("cannot write '{}'", target));
    }
  }
  return {};
}

Status check_gnuplot() { return run_gnuplot("--version").status(); }

}  // namespace looplm
