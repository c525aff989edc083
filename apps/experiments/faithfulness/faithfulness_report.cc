#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "experiments/core/estimates.h"
#include "experiments/faithfulness/faithfulness_study.h"

namespace looplm {
namespace {

constexpr double kFixed = 0.95;       // agreement from which loops say the same
constexpr double kDifference = 0.05;  // of shares and areas, that counts

std::string percent(double share) {
  return std::isnan(share) ? "-" : fmt::format("{:.1f}%", 100 * share);
}

// Of one place, read after loop `read` (from 1).
Estimate follows(const MediationRow& row, int64_t read) {
  const auto t = static_cast<size_t>(read - 1);
  return share_of(row.follows[t], row.pairs[t]);
}

std::string interval(const Estimate& s) { return std::isnan(s.value) ? "-" : percent_text(s); }

// Vertical lines where a loop begins, on an axis of unrolled layers from 1.
std::vector<Marker> loop_starts(int64_t loops, int64_t layers) {
  std::vector<Marker> markers;
  for (int64_t t = 1; t <= loops; ++t) {
    markers.push_back({static_cast<double>((t - 1) * layers) + 0.5, fmt::format("loop {}", t)});
  }
  return markers;
}

std::vector<std::string> numbered(int64_t count) {
  std::vector<std::string> names;
  for (int64_t i = 1; i <= count; ++i) names.push_back(fmt::format("{}", i));
  return names;
}

Table loops_table(const FaithfulnessResults& r) {
  Table table = {.columns = {"loop", "right answers", r.label, "same answer as the loop before",
                             fmt::format("same label as loop {}", r.trained_loops)}};
  for (int64_t t = 1; t <= r.loops(); ++t) {
    const auto i = static_cast<size_t>(t - 1);
    table.rows.push_back({fmt::format("{}", t), percent(r.accuracy[i]), percent(r.label_share[i]),
                          t == 1 ? "" : percent(r.answer_agreement[i][i - 1]),
                          percent(r.label_agreement[i][static_cast<size_t>(r.trained_loops - 1)])});
  }
  table.caption = fmt::format("{}: {} items; the model was trained with {} loops.", r.task, r.items,
                              r.trained_loops);
  return table;
}

Figure agreement_figure(const FaithfulnessResults& r) {
  Figure figure = figure_of("agreement-" + r.task,
                            fmt::format("{}: share of equal labels ({} or not)", r.task, r.label),
                            "loop", "loop");
  figure.cells = r.label_agreement;
  figure.row_names = numbered(r.loops());
  figure.column_names = figure.row_names;
  return figure;
}

Figure probe_figure(const FaithfulnessResults& r) {
  Figure figure = figure_of("probes-" + r.task,
                            r.task + ": linear probes for the label that a loop will answer",
                            "unrolled layer", "ROC AUC, held out", {{0.5, 1.06}});
  figure.x_range = {0.4, static_cast<double>(r.loops() * r.layers) + 0.5};
  figure.markers = loop_starts(r.loops(), r.layers);
  for (const ProbeCurve& probe : r.probes) {
    if (std::ranges::all_of(probe.auc, [](double auc) { return std::isnan(auc); })) continue;
    Series& s = figure.add(fmt::format("label of loop {}", probe.target_loop));
    for (size_t l = 0; l < probe.auc.size(); ++l) s.add(static_cast<double>(l + 1), probe.auc[l]);
  }
  return figure;
}

Figure mediation_figure(const FaithfulnessResults& r) {
  const Mediation& m = r.mediation;
  Figure figure =
      figure_of("interventions-" + r.task, r.task + ": answers that follow the swapped state",
                "unrolled layer whose output is swapped",
                fmt::format("share, read after loop {}", m.loops), {{0, 1.1}});
  figure.x_range = {0.4, static_cast<double>(m.loops * m.layers) + 0.5};
  figure.markers = loop_starts(m.loops, m.layers);
  for (SwappedPositions positions : {SwappedPositions::kAnswer, SwappedPositions::kOthers}) {
    std::vector<double> places;
    std::vector<Estimate> shares;
    for (const MediationRow& row : m.rows) {
      if (row.positions != positions) continue;
      places.push_back(static_cast<double>((row.loop - 1) * m.layers + row.layer));
      shares.push_back(follows(row, m.loops));
    }
    const bool answer = positions == SwappedPositions::kAnswer;
    figure.add(
        estimate_series(answer ? "answer position" : "all positions before it", places, shares, 1));
  }
  return figure;
}

// Rows: the loop at whose end the answer position is swapped; columns: the loop that is read.
Figure read_loop_figure(const FaithfulnessResults& r) {
  const Mediation& m = r.mediation;
  Figure figure = figure_of("swapped-and-read-" + r.task,
                            r.task + ": answer position swapped at a loop's end, answer read later",
                            "loop that is read", "swapped after loop");
  figure.row_names = numbered(m.loops);
  figure.column_names = figure.row_names;
  for (int64_t t = 1; t <= m.loops; ++t) {
    const MediationRow& row = m.at(SwappedPositions::kAnswer, t, m.layers);
    std::vector<double> cells;
    for (int64_t read = 1; read <= m.loops; ++read) cells.push_back(follows(row, read).value);
    figure.cells.push_back(std::move(cells));
  }
  return figure;
}

Table mediation_table(const FaithfulnessResults& r) {
  const Mediation& m = r.mediation;
  Table table = {.columns = {"loop", "layer", "answer position: follows", "stays",
                             "positions before: follows", "stays"}};
  const auto stays = [&](const MediationRow& row) {
    const auto t = static_cast<size_t>(m.loops - 1);
    return percent(share_of(row.stays[t], row.pairs[t]).value);
  };
  for (int64_t loop = 1; loop <= m.loops; ++loop) {
    for (int64_t layer = 1; layer <= m.layers; ++layer) {
      const MediationRow& answer = m.at(SwappedPositions::kAnswer, loop, layer);
      const MediationRow& others = m.at(SwappedPositions::kOthers, loop, layer);
      table.rows.push_back({fmt::format("{}", loop), fmt::format("{}", layer),
                            interval(follows(answer, m.loops)), stays(answer),
                            interval(follows(others, m.loops)), stays(others)});
    }
  }
  table.caption = fmt::format(
      "{}: {} pairs that the model answers differently after loop {}; 95% intervals (Wilson).",
      r.task, m.rows.front().pairs.back(), m.loops);
  return table;
}

Claim agreement_claim(const FaithfulnessResults& r) {
  const auto at = [&](int64_t i, int64_t j) {
    return r.label_agreement[static_cast<size_t>(i - 1)][static_cast<size_t>(j - 1)];
  };
  const int64_t trained = r.trained_loops;
  Claim claim = {
      "loops up to the trained depth still change answers (labels of 1000 pairs equal: A[2,3] = "
      "551, A[2,4] = 361); from loop 4 on A[i,i+1] is near 1000"};
  if (trained < 3 || r.loops() <= trained) return claim;
  double fixed = 1;
  for (int64_t t = trained; t < r.loops(); ++t) fixed = std::min(fixed, at(t, t + 1));
  const double early = at(2, trained);
  const bool changes = early < kFixed, settles = fixed >= kFixed;
  claim.verdict = graded(changes && settles, changes || settles);
  claim.finding = fmt::format(
      "{}: A[2,3] = {}, A[2,{}] = {}, A[{},{}] = {}; least A[i,i+1] from loop {} to {}: {}", r.task,
      percent(at(2, 3)), trained, percent(early), trained, trained + 1,
      percent(at(trained, trained + 1)), trained, r.loops(), percent(fixed));
  return claim;
}

Claim probe_claim(const FaithfulnessResults& r) {
  Claim claim = {
      "a linear probe's AUC for the answer of loop i climbs inside each loop and partly resets at "
      "the next; the end of loop i - 1 does not tell loop i's answer well"};
  int targets = 0, climbs = 0, resets = 0;
  for (const ProbeCurve& probe : r.probes) {
    if (probe.target_loop < 2 || std::isnan(probe.auc.front())) continue;
    const auto end_before = static_cast<size_t>((probe.target_loop - 1) * r.layers - 1);
    const double before = probe.auc[end_before], begin = probe.auc[end_before + 1];
    const double end = probe.auc[end_before + static_cast<size_t>(r.layers)];
    ++targets;
    climbs += end >= before + kDifference;
    resets += begin < before;
    claim.finding += fmt::format(
        "{}label of loop {}: {:.3f} at the end of loop {}, {:.3f} a layer later, {:.3f} at its own "
        "end",
        claim.finding.empty() ? r.task + ": " : "; ", probe.target_loop, before,
        probe.target_loop - 1, begin, end);
  }
  if (claim.finding.empty()) return claim;
  claim.verdict = graded(climbs == targets && resets == targets, climbs + resets > 0);
  return claim;
}

Claim mediation_claim(const FaithfulnessResults& r) {
  const Mediation& m = r.mediation;
  Claim claim = {
      "latent steps are causally coupled to the answer (the paper's definition of faithfulness; "
      "these interventions are ours)"};
  if (m.loops < 2 || m.rows.front().pairs.back() == 0) return claim;
  const auto ends = [&](SwappedPositions positions, int64_t loop) {
    return follows(m.at(positions, loop, m.layers), m.loops);
  };
  // The state at the answer's own position carries the answer before the last loop, where all that
  // is read is behind it, and does not carry it after the first.
  const bool coupled = ends(SwappedPositions::kAnswer, m.loops - 1).low > 0.5;
  const bool moves = ends(SwappedPositions::kAnswer, 1).high < 0.5;
  claim.verdict = graded(coupled && moves, coupled || moves);
  claim.finding = r.task + ", answer follows a swap at the end of loop";
  for (int64_t t = 1; t <= m.loops; ++t) {
    claim.finding += fmt::format("{} {}: {} (answer position), {} (before it)", t == 1 ? "" : ";",
                                 t, percent(ends(SwappedPositions::kAnswer, t).value),
                                 percent(ends(SwappedPositions::kOthers, t).value));
  }
  return claim;
}

void add_task(const FaithfulnessResults& r, Document& d) {
  d.heading(r.task);
  d.paragraph(r.description);
  const double share = r.label_share[static_cast<size_t>(r.trained_loops - 1)];
  if (std::min(share, 1 - share) < kDifference) {
    d.paragraph(fmt::format(
        "**This model does not do this task**: after loop {} nearly every item has the same label.",
        r.trained_loops));
  }
  d.table(loops_table(r));
  d.figure(agreement_figure(r));
  const Figure probes = probe_figure(r);
  if (probes.series.empty()) {
    d.paragraph("Linear probes: no loop gives both labels often enough to fit one.");
  } else {
    d.figure(probes);
  }
  if (r.mediation.rows.front().pairs.back() == 0) {
    d.paragraph("Interventions: no two items of the same length are answered differently.");
    return;
  }
  d.figure(mediation_figure(r));
  d.figure(read_loop_figure(r));
  d.table(mediation_table(r));
}

}  // namespace

StudyReport faithfulness_report(const std::vector<FaithfulnessResults>& tasks) {
  StudyReport report;
  report.document.title = "Do later loops decide the answer?";
  report.claims = {agreement_claim(tasks.front()), probe_claim(tasks.front()),
                   mediation_claim(tasks.front())};
  report.document.paragraph(
      "The answer of a loop is the likeliest of the task's answer tokens in its logits at the last "
      "position of the prompt. Probes are logistic regressions on standardised states of that "
      "position, judged on folds they have not seen. An intervention puts the state that another "
      "prompt has at the same place into the forward pass and goes on; the answer follows when it "
      "becomes the other prompt's. Swapping all positions at once always gives the other prompt's "
      "answer.");
  for (const FaithfulnessResults& task : tasks) add_task(task, report.document);
  return report;
}

}  // namespace looplm
