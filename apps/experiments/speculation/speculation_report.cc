#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "experiments/core/estimates.h"
#include "experiments/speculation/speculation_study.h"

namespace looplm {
namespace {

double number(const Json& json, const char* key) { return json.at(key).get<double>(); }

std::vector<double> counted(size_t n) {
  std::vector<double> x;
  for (size_t i = 0; i < n; ++i) x.push_back(static_cast<double>(i + 1));
  return x;
}

const Json* find_mode(const Json& set, const std::string& name) {
  for (const Json& mode : set.at("modes")) {
    if (mode.at("name") == name) return &mode;
  }
  return nullptr;
}

bool speculates(const Json& mode) {
  return mode.at("name").get<std::string>().starts_with("speculate");
}

class Reporter {
 public:
  Reporter(const SpeculationSettings& s, const CellResults& results) : s_(s), results_(results) {}

  StudyReport report() {
    document().title = "Speculation and exact exits";
    document().paragraph(fmt::format(
        "Model `{}`. A pass is one trip through the stack with any number of lanes (a lane is one "
        "loop of one position). Plain decoding needs as many passes per token as loops. "
        "Speculation starts the next token from an early loop's choice, which later loops check; "
        "exact exits take the token of the loop at which the gate has fired, and the position goes "
        "on beside its successors.",
        shown_path(s_.model.directory)));
    if (!s_.texts.empty()) text_agreement();
    if (!s_.sets.empty()) {
      decoding();
      if (!s_.replay.directory.empty()) replay();
    }
    claims();
    return std::move(report_);
  }

 private:
  Document& document() { return report_.document; }
  const Json& of(const SpeculationText& text) const { return results_.at(agreement_id(text)); }
  const Json& of(const SpeculationSet& set) const { return results_.at(decoding_id(set)); }

  void text_agreement() {
    document().heading("Agreement on text");
    document().paragraph(
        "Every token of the texts is predicted from those before it after each loop; two loops "
        "agree where their most likely tokens are the same. The mean settled loop is the loop from "
        "which on all choose the last one's token: what a token would cost in passes if agreement "
        "alone bound it.");
    // With room for the marker's words.
    Figure figure =
        figure_of("agreement", "Agreement of each loop with the last trained one, on text", "loop",
                  "share of tokens", {{0, 1.12}});
    Table table = {
        .columns = {"text", "lines", "tokens", "mean settled loop"},
        .caption = "Share of tokens for which a loop chooses what the last trained loop chooses."};
    size_t widest = 0;
    for (const SpeculationText& text : s_.texts) {
      widest = std::max(widest, of(text).at("same").size());
    }
    for (size_t t = 0; t < widest; ++t) table.columns.push_back(fmt::format("loop {}", t + 1));
    for (const SpeculationText& text : s_.texts) {
      const Json& r = of(text);
      const auto last = r.at("loops").get<size_t>();
      std::vector<double> with_last;
      for (const Json& row : r.at("same")) with_last.push_back(row.at(last - 1).get<double>());
      std::vector<std::string> cells = {text.name, std::to_string(r.at("texts").get<int64_t>()),
                                        std::to_string(r.at("tokens").get<int64_t>()),
                                        fmt::format("{:.2f}", number(r, "mean_settled"))};
      for (double share : with_last) cells.push_back(fmt::format("{:.1f}%", 100 * share));
      cells.resize(table.columns.size());
      table.rows.push_back(std::move(cells));
      figure.add(series_of(text.name, counted(with_last.size()), with_last));
      figure.markers = {{static_cast<double>(last), "last trained loop"}};
    }
    document().table(std::move(table));
    document().figure(std::move(figure));
    for (const SpeculationText& text : s_.texts) {
      Figure matrix =
          figure_of("agreement_" + text.name,
                    "Share of tokens on which two loops agree: " + text.name, "loop", "loop");
      matrix.cells = of(text).at("same").get<std::vector<std::vector<double>>>();
      for (size_t t = 0; t < matrix.cells.size(); ++t) {
        matrix.row_names.push_back(std::to_string(t + 1));
        matrix.column_names.push_back(std::to_string(t + 1));
      }
      document().figure(std::move(matrix));
    }
  }

  void decoding() {
    document().heading("Decoding");
    document().paragraph(
        fmt::format("Greedy continuations, one prompt at a time. Passes include the prompt's. "
                    "Speed is the median of "
                    "{} rounds in which all modes take turns; on a model as small as this one a "
                    "pass is not bound by "
                    "reading weights, so that lanes cost time: passes per token are the figure "
                    "that carries over to "
                    "large models.",
                    s_.rounds));
    for (const SpeculationSet& set : s_.sets) {
      const Json& r = of(set);
      Table table = {.columns = {"mode", "passes/token", "lanes/token", "mean loops", "taken back",
                                 "tokens as plain", "speed over plain", "agreement by loop"}};
      for (const Json& mode : r.at("modes")) {
        std::string agreement;
        for (const Json& share : mode.at("agreement")) {
          agreement += share.is_null() ? "- " : fmt::format("{:.0f}% ", 100 * share.get<double>());
        }
        if (!agreement.empty()) agreement.pop_back();
        const auto revised = mode.at("revised").get<int64_t>();
        table.rows.push_back(
            {mode.at("name").get<std::string>(), fmt::format("{:.2f}", number(mode, "passes")),
             fmt::format("{:.2f}", number(mode, "lanes")),
             fmt::format("{:.2f}", number(mode, "loops")),
             speculates(mode)
                 ? fmt::format("{} of {}", revised, mode.at("provisional").get<int64_t>())
                 : "",
             mode.at("same_as_plain").get<bool>() ? "all" : "not all",
             fmt::format("{:.2f}", number(mode, "over_plain")), agreement});
      }
      table.caption = fmt::format(
          "{}: {} prompts, {} tokens{}.", set.name, r.at("prompts").get<int64_t>(),
          r.at("modes").at(0).at("tokens").get<int64_t>(),
          r.contains("settled") ? fmt::format("; mean settled loop {:.2f}", number(r, "settled"))
                                : std::string());
      document().table(std::move(table));
    }
    commit_rules();
    decoded_agreement();
  }

  // Passes over the mean loop or threshold of each kind of rule would be many figures: one picture
  // of passes against lanes, a point per rule, shows what a rule buys and what it costs.
  void commit_rules() {
    Figure passes = figure_of("passes", "Passes per token by mode", "prompts", "mode");
    for (const SpeculationSet& set : s_.sets) passes.column_names.push_back(set.name);
    const Json& modes = of(s_.sets.front()).at("modes");  // all sets have the same
    for (size_t i = 0; i < modes.size(); ++i) {
      std::string name = modes.at(i).at("name").get<std::string>();
      if (name.starts_with("speculate ")) name = name.substr(10);
      passes.row_names.push_back(name);
      std::vector<double> row;
      for (const SpeculationSet& set : s_.sets) {
        row.push_back(number(of(set).at("modes").at(i), "passes"));
      }
      passes.cells.push_back(std::move(row));
    }
    document().figure(std::move(passes));
    Figure trade = figure_of("passes_lanes", "What commit rules save and what they spend",
                             "lanes per token", "passes per token");
    for (const SpeculationSet& set : s_.sets) {
      for (const bool speculation : {true, false}) {
        Series points = series_of(set.name + (speculation ? ", speculation" : ", plain and exits"),
                                  {}, {}, Series::Style::kPoints);
        for (const Json& mode : of(set).at("modes")) {
          if (speculates(mode) != speculation) continue;
          points.add(number(mode, "lanes"), number(mode, "passes"));
        }
        if (!points.x.empty()) trade.add(std::move(points));
      }
    }
    document().figure(std::move(trade));
  }

  void decoded_agreement() {
    Figure figure =
        figure_of("agreement_decoded", "Agreement of each loop with the last while decoding",
                  "loop", "share of tokens", {{0, 1.02}});
    for (const SpeculationSet& set : s_.sets) {
      const Json* mode = find_mode(of(set), "speculate loop:1");
      if (mode == nullptr) continue;
      const std::vector<double> shares = nulls_as_nan(mode->at("agreement"));
      figure.add(series_of(set.name, counted(shares.size()), shares));
    }
    if (!figure.series.empty()) document().figure(std::move(figure));
  }

  void replay() {
    Table table = {.columns = {"set", "parameters", "passes/token", "plain tok/s",
                               "speculating tok/s", "ratio"}};
    for (const SpeculationSet& set : s_.sets) {
      const Json& r = of(set).at("replay");
      table.rows.push_back({set.name, std::to_string(r.at("parameters").get<int64_t>()),
                            fmt::format("{:.2f}", number(r, "passes")),
                            fmt::format("{:.2f}", number(r, "plain_rate")),
                            fmt::format("{:.2f}", number(r, "rate")),
                            fmt::format("{:.2f}", number(r, "over_plain"))});
    }
    table.caption = fmt::format(
        "The recorded agreement replayed on `{}` in {}, committed after the first loop: its "
        "weights set the time, the record the tokens.",
        shown_path(s_.replay.directory), s_.replay.dtype);
    document().table(std::move(table));
  }

  void claims() {
    Claim lossless = {
        "An early loop can draft and the last one verify, with states and keys and "
        "values of the early loops shared (proposed, not measured)"};
    Claim fewer = {
        "Drafting early speeds decoding up (proposed; independently measured on "
        "Ouro-1.4B, draft 2 and verify 4: 1.26 to 1.62 times at one request)"};
    if (!s_.sets.empty()) {
      bool any = false, same = true;
      std::string best;
      bool saves = true, faster = true;
      const bool timed = !s_.replay.directory.empty();
      for (const SpeculationSet& set : s_.sets) {
        const Json& r = of(set);
        const Json* least = nullptr;
        for (const Json& mode : r.at("modes")) {
          if (!speculates(mode)) continue;
          any = true;
          same = same && mode.at("same_as_plain").get<bool>();
          if (least == nullptr || number(mode, "passes") < number(*least, "passes")) least = &mode;
        }
        if (least == nullptr) continue;
        const double plain = number(r.at("modes").at(0), "passes");
        saves = saves && number(*least, "passes") < plain;
        best += fmt::format("{}{}: {:.2f} passes per token of {:.2f} ({})",
                            best.empty() ? "" : "; ", set.name, number(*least, "passes"), plain,
                            least->at("name").get<std::string>());
        if (timed) {
          faster = faster && number(r.at("replay"), "over_plain") > 1;
          best += fmt::format(", {:.2f} times the speed replayed on {:.1f} billion parameters",
                              number(r.at("replay"), "over_plain"),
                              number(r.at("replay"), "parameters") / 1e9);
        }
      }
      if (any) {
        lossless.verdict = graded(same, false);
        lossless.finding = same ? "every mode gave the tokens of plain decoding, on all sets"
                                : "a mode changed tokens; see the tables";
        // Time is what is claimed; without a replay on a large model, passes are what there is.
        fewer.verdict = !saves || (timed && !faster) ? Verdict::kNotReproduced
                        : timed                      ? Verdict::kReproduced
                                                     : Verdict::kPartly;
        fewer.finding = best;
      }
    }
    report_.claims = {std::move(lossless), std::move(fewer)};
  }

  const SpeculationSettings& s_;
  const CellResults& results_;
  StudyReport report_;
};

}  // namespace

StudyReport speculation_report(const SpeculationSettings& s, const CellResults& results) {
  return Reporter(s, results).report();
}

}  // namespace looplm
