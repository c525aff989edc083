#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/check.h"
#include "base/median.h"
#include "eval/arithmetic.h"
#include "experiments/core/text_task.h"
#include "experiments/speculation/speculation_study.h"
#include "text/lines.h"

namespace looplm {
namespace {

Result<std::vector<std::string>> first_lines(const std::string& path, int64_t count) {
  LOOPLM_ASSIGN_OR_RETURN(std::vector<std::string> lines, read_lines(path));
  if (lines.empty()) return invalid_argument(fmt::format("'{}' has no lines of text", path));
  if (count > 0 && std::ssize(lines) > count) lines.resize(static_cast<size_t>(count));
  return lines;
}

std::string first_words(const std::string& line, int64_t words) {
  size_t end = 0;
  for (int64_t i = 0; i < words && end != std::string::npos; ++i) {
    const size_t word = line.find_first_not_of(' ', end);
    end = word == std::string::npos ? word : line.find(' ', word);
  }
  return words == 0 ? line : line.substr(0, end);
}

Result<std::vector<int32_t>> encode(const Model& model, const std::string& text) {
  LOOPLM_ASSIGN_OR_RETURN(std::vector<int32_t> ids,
                          model.tokenizer()->encode(text, {.parse_special = false}));
  if (ids.empty()) return invalid_argument(fmt::format("'{}' has no tokens", text));
  return ids;
}

constexpr int64_t kSums = 400;

std::vector<TaskExample> held_out_sums(int64_t count) {
  const TaskGenerator sums = SumsTask().generator(ArithmeticSplit::kHeldOut, 8, 1);
  std::vector<TaskExample> all;
  for (int64_t i = 0; i < count; ++i) all.push_back(sums(static_cast<uint64_t>(i)));
  return all;
}

// Of a sum only the answer is scored: the digits before it are anyone's guess.
Result<std::vector<EvalExample>> read_text(const Model& model, const SpeculationText& text) {
  if (text.path.empty()) {
    LOOPLM_ASSIGN_OR_RETURN(const TaskText sums,
                            TaskText::of_tokenizer(*model.tokenizer(), kArithmeticAlphabet));
    return task_examples(held_out_sums(text.count == 0 ? kSums : text.count), sums);
  }
  LOOPLM_ASSIGN_OR_RETURN(auto texts, read_texts(model, text.path, text.count));
  std::vector<EvalExample> examples;
  for (std::vector<int32_t>& ids : texts) examples.push_back(whole_text(std::move(ids)));
  return examples;
}

Result<std::vector<std::vector<int32_t>>> read_set(const Model& model, const SpeculationSet& set) {
  std::vector<std::string> texts;
  if (set.path.empty()) {
    for (TaskExample& sum : held_out_sums(set.count)) texts.push_back(std::move(sum.prompt));
  } else {
    LOOPLM_ASSIGN_OR_RETURN(texts, first_lines(set.path, set.count));
  }
  std::vector<std::vector<int32_t>> prompts;
  for (const std::string& text : texts) {
    LOOPLM_ASSIGN_OR_RETURN(std::vector<int32_t> ids, encode(model, first_words(text, set.words)));
    prompts.push_back(std::move(ids));
  }
  return prompts;
}

// The mean loop from which on all loops choose the final token: the passes that a token needs if
// speculation starts at once and only agreement bounds it.
double mean_settled_loop(const LoopAgreement& agreement) {
  double sum = 0, tokens = 0;
  for (const std::vector<std::vector<bool>>& prompt : agreement) {
    for (const std::vector<bool>& loops : prompt) {
      size_t first = loops.size();
      while (first > 1 && loops[first - 2]) --first;
      sum += static_cast<double>(first);
      tokens += 1;
    }
  }
  return tokens > 0 ? sum / tokens : 0;
}

double ratio(int64_t a, int64_t b) { return static_cast<double>(a) / static_cast<double>(b); }

OrderedJson mode_json(const DecodeMode& mode, const DecodeMeasure& m, const DecodeMeasure& plain) {
  OrderedJson json = {{"name", mode.name},
                      {"rate", median_of(m.rates)},
                      {"over_plain", median_of(m.rates) / median_of(plain.rates)},
                      {"passes", m.per_token(m.passes)},
                      {"lanes", m.per_token(m.decode_lanes)},
                      {"loops", m.per_token(m.loops)},
                      {"tokens", m.tokens},
                      {"provisional", m.provisional},
                      {"revised", m.revised},
                      {"same_as_plain", m.ids == plain.ids}};
  json["agreement"] = OrderedJson::array();
  for (size_t t = 0; t < m.reads.size() && mode.speculates(); ++t) {
    json["agreement"].push_back(m.reads[t] > 0 ? OrderedJson(ratio(m.agreements[t], m.reads[t]))
                                               : OrderedJson());
  }
  return json;
}

}  // namespace

Result<OrderedJson> run_text_agreement(const SpeculationSettings& s, const SpeculationText& text,
                                       const CellContext& context) {
  LOOPLM_ASSIGN_OR_RETURN(const std::unique_ptr<Model> model,
                          load_study_model(s.model, context.threads));
  const int64_t last = s.loops == 0 ? model->config().loops : s.loops;
  const int64_t loops = std::max(last, s.text_loops);
  LOOPLM_ASSIGN_OR_RETURN(const std::vector<EvalExample> examples, read_text(*model, text));
  ScoreOptions options;
  options.progress = context.reporter("reading " + text.name);
  LOOPLM_ASSIGN_OR_RETURN(const std::vector<DepthScores> scores,
                          score_depths(*model, examples, loops, options));
  const AgreementCounts counts = count_agreement(scores, last);
  OrderedJson result = {{"loops", last}, {"texts", examples.size()}, {"tokens", counts.tokens}};
  for (int64_t a = 0; a < loops; ++a) {
    std::vector<double> row;
    for (int64_t b = 0; b < loops; ++b) row.push_back(counts.share(a, b));
    result["same"].push_back(row);
    result["right"].push_back(ratio(counts.right[static_cast<size_t>(a)], counts.tokens));
  }
  for (int64_t n : counts.settled) result["settled"].push_back(ratio(n, counts.tokens));
  result["mean_settled"] = counts.mean_settled_loop();
  return result;
}

Result<OrderedJson> run_decoding(const SpeculationSettings& s, const SpeculationSet& set,
                                 const CellContext& context) {
  LOOPLM_ASSIGN_OR_RETURN(const std::unique_ptr<Model> model,
                          load_study_model(s.model, context.threads));
  LOOPLM_ASSIGN_OR_RETURN(const auto prompts, read_set(*model, set));
  const int64_t loops = s.loops == 0 ? model->config().loops : s.loops;
  const std::vector<DecodeMode> modes = decode_modes(model->config(), s.modes);
  std::vector<DecodeMeasure> measures(modes.size());
  const double steps = static_cast<double>(s.rounds) * static_cast<double>(modes.size());
  double done = 0;
  for (int64_t round = 0; round < s.rounds; ++round) {
    for (size_t i = 0; i < modes.size(); ++i) {
      if (context.stopped()) return stopped_cell();
      LOOPLM_RETURN_IF_ERROR(
          measure_decoding(*model, prompts, {&modes[i], 1}, set.decoding, {&measures[i], 1}));
      context.progress(++done / steps * (s.replay.directory.empty() ? 1 : 0.5), modes[i].name);
    }
  }
  OrderedJson result = {{"loops", loops}, {"prompts", prompts.size()}};
  const LoopAgreement* recorded = nullptr;
  for (size_t i = 0; i < modes.size(); ++i) {
    result["modes"].push_back(mode_json(modes[i], measures[i], measures[0]));
    // A commit after the first loop has every loop read.
    const bool reads_all =
        modes[i].speculate.kind == CommitKind::kLoop && modes[i].speculate.threshold == 1;
    if (reads_all) recorded = &measures[i].agreement;
  }
  if (recorded != nullptr) result["settled"] = mean_settled_loop(*recorded);
  if (s.replay.directory.empty()) return result;
  DecodeOptions all_loops = set.decoding;
  all_loops.loops = loops;
  LOOPLM_ASSIGN_OR_RETURN(const LoopRanking ranking, record_ranking(*model, prompts, all_loops));
  LOOPLM_ASSIGN_OR_RETURN(const std::unique_ptr<Model> other,
                          load_study_model(s.replay, context.threads));
  LOOPLM_ASSIGN_OR_RETURN(
      const std::vector<ReplayMeasure> replay,
      replay_ranking(*other, ranking, {set.decoding.tokens, loops, s.rounds},
                     std::array<SpeculateOptions, 2>{{{}, {CommitKind::kLoop, 1}}}));
  const double plain = median_of(replay[0].rates);
  const double fast = median_of(replay[1].rates);
  result["replay"] = {{"parameters", other->config().parameter_count()},
                      {"plain_rate", plain},
                      {"rate", fast},
                      {"over_plain", fast / plain},
                      {"passes", replay[1].passes_per_token}};
  return result;
}

double AgreementCounts::mean_settled_loop() const {
  double sum = 0;
  for (size_t t = 0; t < settled.size(); ++t) {
    sum += static_cast<double>(t + 1) * static_cast<double>(settled[t]);
  }
  return sum / static_cast<double>(tokens);
}

AgreementCounts count_agreement(const std::vector<DepthScores>& scores, int64_t last) {
  LOOPLM_CHECK(!scores.empty() && last >= 1 && last <= scores.front().loops);
  AgreementCounts c;
  c.loops = scores.front().loops;
  const auto loops = static_cast<size_t>(c.loops);
  c.same.assign(loops * loops, 0);
  c.right.assign(loops, 0);
  c.settled.assign(static_cast<size_t>(last), 0);
  for (const DepthScores& s : scores) {
    LOOPLM_CHECK(s.loops == c.loops);
    c.tokens += s.tokens;
    for (int64_t token = 0; token < s.tokens; ++token) {
      for (int64_t a = 0; a < c.loops; ++a) {
        c.right[static_cast<size_t>(a)] += s.right[s.at(a, token)];
        for (int64_t b = 0; b < c.loops; ++b) {
          c.same[static_cast<size_t>(a * c.loops + b)] +=
              s.best[s.at(a, token)] == s.best[s.at(b, token)] ? 1 : 0;
        }
      }
      int64_t first = last - 1;
      while (first > 0 && s.best[s.at(first - 1, token)] == s.best[s.at(last - 1, token)]) --first;
      ++c.settled[static_cast<size_t>(first)];
    }
  }
  return c;
}

}  // namespace looplm
