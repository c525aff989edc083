#include <algorithm>
#include <cmath>
#include <map>

#include <fmt/format.h>

#include "base/count_text.h"
#include "experiments/capo/capo_study.h"
#include "experiments/core/estimates.h"
#include "experiments/core/seed_summary.h"

namespace looplm {
namespace {

// One model's results over seeds.
struct Measured {
  int64_t parameters = 0;
  double knowable = 0;
  SeedSummary known;     // bits
  double name_nats = 0;  // means over seeds
  double attribute_nats = 0;

  double per_parameter() const { return known.mean / static_cast<double>(parameters); }
};

// By people, loops and index of the size.
using Grid = std::map<int64_t, std::map<int, std::map<size_t, Measured>>>;

Result<Grid> collect(const CapoSettings& settings, const CellResults& results) {
  Grid grid;
  for (size_t s = 0; s < settings.sizes.size(); ++s) {
    const CapoSize& size = settings.sizes[s];
    for (int64_t people : size.people) {
      for (int loops : settings.loops) {
        Measured m;
        std::vector<double> known;
        for (uint64_t seed : settings.seeds) {
          const std::string id = CapoRun{people, size, loops, seed}.id();
          const auto found = results.find(id);
          if (found == results.end()) return not_found(fmt::format("no result of cell {}", id));
          const Json& cell = found->second;
          const double share = 1.0 / static_cast<double>(settings.seeds.size());
          m.parameters = cell.at("parameters").get<int64_t>();
          m.knowable = cell.at("knowable_bits").get<double>();
          known.push_back(cell.at("known_bits").get<double>());
          m.name_nats += share * cell.at("name_nats").get<double>();
          m.attribute_nats += share * cell.at("attribute_nats").get<double>();
        }
        m.known = summarize_seeds(known);
        grid[people][loops][s] = std::move(m);
      }
    }
  }
  return grid;
}

Figure bits_figure(const CapoSettings& settings, const Grid& grid) {
  Figure figure = figure_of("bits-over-parameters", "Knowledge held by models of equal parameters",
                            "parameters", "bits known");
  figure.log_x = figure.log_y = true;
  double least = 1e300;
  double most = 0;
  for (const auto& [people, by_loops] : grid) {
    for (const auto& [loops, sizes] : by_loops) {
      Series& series = figure.add(fmt::format("{} people, {}", people, count_text(loops, "loop")));
      for (const auto& [s, m] : sizes) {
        const auto parameters = static_cast<double>(m.parameters);
        least = std::min(least, parameters);
        most = std::max(most, parameters);
        // A model that knows less than nothing has no place on a logarithmic axis.
        const auto shown = [](double bits) { return bits > 0 ? bits : std::nan(""); };
        series.add(parameters, shown(m.known.mean));
        if (settings.seeds.size() > 1) {
          series.low.push_back(shown(m.known.low));
          series.high.push_back(shown(m.known.high));
        }
      }
    }
  }
  for (double guide : {1.0, 2.0}) {
    figure.add(series_of(count_text(guide, "bit") + " per parameter", {least, most},
                         {guide * least, guide * most}, Series::Style::kDashed));
  }
  return figure;
}

// Learning curves of the most people, where knowledge is scarcest, of the first seed.
Figure curve_figure(const CapoSettings& settings, const CellResults& results) {
  int64_t people = 0;
  for (const CapoSize& size : settings.sizes) {
    people = std::max(people, *std::max_element(size.people.begin(), size.people.end()));
  }
  Figure figure = figure_of("bits-over-exposures", fmt::format("Learning {} people", people),
                            "exposures of each person", "bits known per parameter");
  for (const CapoSize& size : settings.sizes) {
    if (std::find(size.people.begin(), size.people.end(), people) == size.people.end()) continue;
    for (int loops : settings.loops) {
      const Json& cell = results.at(CapoRun{people, size, loops, settings.seeds.front()}.id());
      Series& series =
          figure.add(fmt::format("width {}, {}", size.hidden, count_text(loops, "loop")));
      const double parameters = cell.at("parameters");
      for (const Json& point : cell.at("curve")) {
        series.add(point.at("exposures"), point.at("known_bits").get<double>() / parameters);
      }
    }
  }
  return figure;
}

Table results_table(const CapoSettings& settings, const Grid& grid) {
  Table table = {.columns = {"people", "parameters", "loops", "name nats", "attribute nats",
                             "bits known", "of knowable", "bits per parameter"},
                 .caption =
                     "Nats are what is left to learn of a person's name and attributes; guessing "
                     "costs 18.9 and "
                     "33.0, and telling which of the people it is costs ln N of the name."};
  for (const auto& [people, by_loops] : grid) {
    for (size_t s = 0; s < settings.sizes.size(); ++s) {
      for (const auto& [loops, sizes] : by_loops) {
        if (!sizes.contains(s)) continue;
        const Measured& m = sizes.at(s);
        table.rows.push_back({std::to_string(people), std::to_string(m.parameters),
                              std::to_string(loops), fmt::format("{:.2f}", m.name_nats),
                              fmt::format("{:.2f}", m.attribute_nats),
                              fmt::format("{:.0f}", m.known.mean),
                              fmt::format("{:.0f}%", 100 * m.known.mean / m.knowable),
                              fmt::format("{:.2f}", m.per_parameter())});
      }
    }
  }
  return table;
}

// Bits known with the most loops over those with the fewest, of each people and size. What both
// know nearly all of tells nothing about capacity, so `scarce` takes only the pairs of which
// neither knows more than nine tenths.
struct Ratios {
  std::vector<double> all;
  std::vector<double> scarce;
};

Ratios loop_ratios(const CapoSettings& settings, const Grid& grid) {
  Ratios ratios;
  const auto [fewest, most] = std::minmax_element(settings.loops.begin(), settings.loops.end());
  for (const auto& [people, by_loops] : grid) {
    for (const auto& [s, plain] : by_loops.at(*fewest)) {
      const Measured& looped = by_loops.at(*most).at(s);
      const double ratio = looped.known.mean / plain.known.mean;
      ratios.all.push_back(ratio);
      if (std::max(plain.known.mean, looped.known.mean) < 0.9 * plain.knowable) {
        ratios.scarce.push_back(ratio);
      }
    }
  }
  return ratios;
}

std::string spread(const std::vector<double>& values) {
  const SeedSummary summary = summarize_seeds(values);
  return fmt::format("{} on average ({:.2f} to {:.2f} in {} pairs)",
                     number_text(mean_of(values), 2), summary.low, summary.high, values.size());
}

Claim equal_claim(const CapoSettings& settings, const Grid& grid) {
  Claim claim = {
      "Looped and plain models of equal parameters hold equally much (section 6.1, figure 6 left: "
      "the points coincide)."};
  if (settings.loops.size() < 2) {
    claim.finding = "Only one number of loops was trained.";
    return claim;
  }
  const Ratios ratios = loop_ratios(settings, grid);
  const std::vector<double>& judged = ratios.scarce.empty() ? ratios.all : ratios.scarce;
  const auto [fewest, most] = std::minmax_element(settings.loops.begin(), settings.loops.end());
  const Estimate ratio = mean_of(judged);
  const auto within = [](double low, double high, double part) {
    return low > part && high < 1 / part;
  };
  // Equal where the whole interval over the pairs is near one, partly where the mean is.
  claim.verdict = graded(judged.size() > 1 && within(ratio.low, ratio.high, 0.9),
                         within(ratio.value, ratio.value, 0.75));
  claim.finding = fmt::format(
      "Bits with {} over bits with {}, where neither knows more than nine tenths of what there is: "
      "{}.",
      count_text(*most, "loop"), count_text(*fewest, "loop"),
      ratios.scarce.empty() ? "no such pair; of all pairs " + spread(ratios.all)
                            : spread(ratios.scarce));
  return claim;
}

Claim two_bits_claim(const CapoSettings& settings, const Grid& grid) {
  Claim claim = {"Both hold about 2 bits per parameter after 1,000 exposures."};
  double best = 0;
  std::string at;
  for (const auto& [people, by_loops] : grid) {
    for (const auto& [loops, sizes] : by_loops) {
      for (const auto& [s, m] : sizes) {
        if (m.per_parameter() <= best) continue;
        best = m.per_parameter();
        at = fmt::format("{} parameters, {}, {} people", m.parameters, count_text(loops, "loop"),
                         people);
      }
    }
  }
  claim.verdict = graded(best > 1.6 && best<2.5, best> 1);
  claim.finding = fmt::format("At most {:.2f} bits per parameter ({}), after {} exposures.", best,
                              at, settings.exposures);
  return claim;
}

Claim saturation_claim(const Grid& grid) {
  Claim claim = {
      "With few people the curve is flat: large models know all there is to know (figure 6 left)."};
  double share = 0;
  const auto& [people, by_loops] = *grid.begin();
  for (const auto& [loops, sizes] : by_loops) {
    for (const auto& [s, m] : sizes) share = std::max(share, m.known.mean / m.knowable);
  }
  claim.verdict = graded(share > 0.95, share > 0.8);
  claim.finding = fmt::format("With {} people the best model knows {:.1f}% of what there is.",
                              people, 100 * share);
  return claim;
}

}  // namespace

Result<StudyReport> capo_report(const CapoSettings& settings, const CellResults& results) {
  LOOPLM_ASSIGN_OR_RETURN(const Grid grid, collect(settings, results));
  StudyReport report;
  report.claims = {equal_claim(settings, grid), two_bits_claim(settings, grid),
                   saturation_claim(grid)};
  Document& document = report.document;
  document.title = "Knowledge capacity: bits per parameter of looped and plain models";
  document.paragraph(fmt::format(
      "Each model read {} biographies of each of N invented people, every time in other words, and "
      "was then asked how surprised it still is by their names and attributes. A person holds 47.6 "
      "bits of attributes, and a name among N people 27.3 - log2 N. {}",
      settings.exposures,
      settings.seeds.size() == 1
          ? std::string("One seed.")
          : fmt::format("Means of {} seeds; bars from the least to the most.",
                        settings.seeds.size())));
  document.figure(bits_figure(settings, grid));
  document.paragraph(
      "Below the guide lines a model holds less than one or two bits per parameter; where a curve "
      "turns flat, nearly everything is known and parameters are left over.");
  document.table(results_table(settings, grid));
  document.heading("Learning");
  document.figure(curve_figure(settings, results));
  return report;
}

}  // namespace looplm
