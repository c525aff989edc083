#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "experiments/scaling/scaling_analysis.h"

namespace looplm {
namespace {

Verdict by_r_squared(double value, double well, double partly) {
  return graded(value >= well, value >= partly);
}

// A law that does as well without its loops is not one of loops.
Verdict at_most_partly_unless(bool holds, Verdict verdict) {
  return !holds && verdict == Verdict::kReproduced ? Verdict::kPartly : verdict;
}

// "R squared 0.99 (rms 0.03 nats), 0.98 (0.04) without the loops' term".
std::string with_and_without(const ScalingFit& with, const ScalingFit& without) {
  return fmt::format(
      "R squared {:.4f} (rms {:.4f} nats), and {:.4f} ({:.4f}) of the law without its loops' "
      "term{}",
      with.r_squared, with.rms, without.r_squared, without.rms,
      loops_matter(with, without) ? "" : ": the loops explain nothing");
}

Claim total_claim(const ScalingFit& fit, const ScalingFit& without, size_t points) {
  return {
      "The total loss follows a law of parameters, tokens and trained loops: R squared 0.9596.",
      at_most_partly_unless(loops_matter(fit, without), by_r_squared(fit.r_squared, 0.95, 0.85)),
      fmt::format("{}; {} points.", with_and_without(fit, without), points)};
}

// Means over the fits of each way, on what they had not seen. The least.
double append_ways(const std::vector<Generalisation>& ways, std::string& text) {
  double least = 1;
  for (size_t i = 0; i < ways.size(); ++i) {
    least = std::min(least, ways[i].mean_left_out());
    text += fmt::format("{}{}: {:.3f}", i == 0 ? "" : "; ", ways[i].what, ways[i].mean_left_out());
  }
  return least;
}

Claim generalisation_claim(const std::vector<Generalisation>& all, bool loops_count) {
  Claim claim = {
      "The law fitted to some sizes, to the first tokens, or to some loops predicts the rest (mean "
      "R squared 0.9542 for 3 of 5 sizes, 0.9385, 0.9609 and 0.962 for 25, 50 and 75% of tokens, "
      "0.9581 for 2 of 3 loops)."};
  if (all.empty()) {
    claim.finding = "Nothing was left out.";
    return claim;
  }
  claim.finding = "R squared on the points left out, fitted on ";
  const double least = append_ways(all, claim.finding);
  if (!loops_count) {
    claim.finding += "; the loops left out say little, since the loops' term explains nothing";
  }
  claim.finding += ".";
  claim.verdict = at_most_partly_unless(loops_count, by_r_squared(least, 0.9, 0.7));
  return claim;
}

// Nats by which the law falls from the first loop to the last.
double law_gain(const Stepwise& law) {
  return law.fit.law.loops.at(1) - law.fit.law.loops.at(law.loops);
}

bool falls_by_loop(const std::vector<Stepwise>& laws) {
  return std::ranges::all_of(laws, [](const Stepwise& law) {
    return law_gain(law) > 0.01 && loops_matter(law.fit, law.without_loops);
  });
}

Claim stepwise_claim(const std::vector<Stepwise>& laws) {
  Claim claim = {
      "The loss after each loop follows the same kind of law, fitted for each trained depth: R "
      "squared 0.8898 (2 loops), 0.8146 (4), 0.795 (8), and it falls with the loop (gamma > 0)."};
  double least = 1;
  for (const Stepwise& law : laws) {
    least = std::min(least, law.fit.r_squared);
    claim.finding += fmt::format(
        "{}{} loops: {}; from loop 1 to {} the law falls by {:.3f} nats, the measured mean by "
        "{:.3f} ({}; {} points left out)",
        claim.finding.empty() ? "" : ". ", law.loops, with_and_without(law.fit, law.without_loops),
        law.loops, law_gain(law), law.end_nll.front() - law.end_nll.back(),
        numbers_text(law.end_nll), law.points.dropped);
  }
  claim.finding += ".";
  claim.verdict = falls_by_loop(laws) ? by_r_squared(least, 0.79, 0.6) : Verdict::kNotReproduced;
  return claim;
}

Claim stepwise_generalisation_claim(const std::vector<Stepwise>& laws) {
  Claim claim = {
      "The step-wise law predicts what was left out (mean R squared, models of 2 loops and of 4: 3 "
      "of 5 sizes 0.8815 and 0.797; 25, 50 and 75% of tokens 0.8686, 0.8882, 0.8896 and 0.793, "
      "0.813, 0.8142; 3 of 4 loops 0.8118)."};
  double least = 1;
  bool any = false;
  for (const Stepwise& law : laws) {
    if (law.leave_outs.empty()) continue;
    claim.finding += fmt::format("{}{} loops, R squared on the points left out, fitted on ",
                                 any ? ". " : "", law.loops);
    least = std::min(least, append_ways(law.leave_outs, claim.finding));
    any = true;
  }
  if (!any) {
    claim.finding = "Nothing was left out.";
    return claim;
  }
  claim.finding += ".";
  claim.verdict = at_most_partly_unless(falls_by_loop(laws), by_r_squared(least, 0.79, 0.6));
  if (!falls_by_loop(laws)) {
    claim.finding += " What is predicted is the fall with parameters and tokens, not with loops.";
  }
  return claim;
}

Claim link_claim(const std::vector<Stepwise>& laws) {
  Claim claim = {
      "Weighting the step-wise law by the mean exit probabilities ({0.0004, 0.0855, 0.3793, "
      "0.5348}) predicts the total loss, the entropy left aside: R squared 0.961."};
  const Stepwise& deepest = laws.back();
  claim.finding = fmt::format("R squared {:.4f} for {} loops, with mean exit probabilities {{{}}}.",
                              deepest.link, deepest.loops, numbers_text(deepest.exit_weights));
  claim.verdict = at_most_partly_unless(falls_by_loop(laws), by_r_squared(deepest.link, 0.9, 0.7));
  if (!falls_by_loop(laws)) {
    claim.finding += " The law has the same loss after every loop here, so any weights would do.";
  }
  return claim;
}

// Whether the gap falls with the size at every depth, by more than scatter explains.
bool gaps_fall(const std::vector<DenseGap>& gaps) {
  return std::ranges::all_of(
      gaps, [](const DenseGap& gap) { return gap.by_size && gap.by_size->high < 0; });
}

Claim dense_claim(const std::vector<DenseGap>& gaps) {
  Claim claim = {
      "At equal effective depth the plain model with its own weights in every layer always wins, "
      "by more with more loops (table 18: 1.5 to 2.3 points with 2, 2.5 to 3.9 with 4) and by less "
      "in larger sizes."};
  if (gaps.empty()) {
    claim.finding = "No plain models were trained.";
    return claim;
  }
  int wins = 0;
  int pairs = 0;
  bool grows = true;
  for (size_t i = 0; i < gaps.size(); ++i) {
    wins += gaps[i].wins;
    pairs += gaps[i].pairs;
    if (i > 0 && gaps[i].nll <= gaps[i - 1].nll) grows = false;
    claim.finding += fmt::format(
        "{} loops against {} times the layers: {:+.2f} points of next-token accuracy and {:.3f} "
        "nats for the plain model",
        gaps[i].depth, gaps[i].depth, gaps[i].accuracy, gaps[i].nll);
    if (gaps[i].by_size) {
      const Estimate& slope = *gaps[i].by_size;
      claim.finding +=
          fmt::format(", {} points per doubling of the parameters{}", signed_text(slope, 2),
                      slope.low > 0    ? ": it grows with the size"
                      : slope.high < 0 ? ": it falls with the size"
                                       : ": no trend to be told from scatter");
    }
    claim.finding += ". ";
  }
  claim.finding += fmt::format("The plain model wins {} of {} pairs.", wins, pairs);
  claim.verdict = graded(wins == pairs && grows && gaps_fall(gaps), 2 * wins > pairs);
  return claim;
}

// Whether the last loop's loss falls with the number of trained loops, size by size.
Claim loops_claim(const ScalingSettings& settings, const ScalingRuns& runs) {
  Claim claim = {
      "Looped models improve with trained loops, but in the larger sizes (778M, 1.36B) it flattens "
      "or turns."};
  const auto [fewest, most] = std::minmax_element(settings.loops.begin(), settings.loops.end());
  int better = 0;
  double gain = 0;
  int count = 0;
  // ScalingRuns stand by seed, size and loops.
  for (size_t first = 0; first < runs.looped.size(); first += settings.loops.size()) {
    const auto end_nll = [&](int loops) {
      const auto run =
          std::find_if(runs.looped.begin() + static_cast<ptrdiff_t>(first), runs.looped.end(),
                       [&](const RunCurve& r) { return r.loops == loops; });
      return run->points.back().nll.back();
    };
    const double difference = end_nll(*fewest) - end_nll(*most);
    better += difference > 0;
    gain += difference;
    ++count;
  }
  claim.finding = fmt::format(
      "After {} loops the loss of a model trained with {} is {:.3f} nats {} that of one trained "
      "with {} on average; lower in {} of {} sizes and seeds. The paper's larger sizes are out of "
      "reach here.",
      *most, *most, std::abs(gain / count), gain > 0 ? "below" : "above", *fewest, better, count);
  claim.verdict = graded(better == count, 2 * better > count);
  return claim;
}

}  // namespace

std::vector<Claim> scaling_claims(const ScalingSettings& settings, const ScalingFindings& f) {
  std::vector<Claim> claims = {
      total_claim(f.total, f.without_loops, f.points),
      generalisation_claim(f.leave_outs, loops_matter(f.total, f.without_loops))};
  if (!f.stepwise.empty()) {
    claims.push_back(stepwise_claim(f.stepwise));
    claims.push_back(stepwise_generalisation_claim(f.stepwise));
    claims.push_back(link_claim(f.stepwise));
  }
  claims.push_back(dense_claim(dense_gaps(settings, f.runs)));
  claims.push_back(loops_claim(settings, f.runs));
  return claims;
}

}  // namespace looplm
