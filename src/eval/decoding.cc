#include "eval/decoding.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/median.h"
#include "base/rng.h"
#include "infer/parts.h"
#include "infer/run_request.h"
#include "kernels/sample.h"

namespace looplm {
namespace {

int32_t random_id(uint64_t seed, int32_t vocabulary) {
  return static_cast<int32_t>(Rng(seed).below(static_cast<uint32_t>(vocabulary)));
}

struct Timed {
  double rate = 0;  // tokens per second
  int64_t passes = 0;
};

// The ranks of each loop, by token.
using Record = std::vector<std::vector<std::vector<int32_t>>>;

Result<Timed> replay_once(Model& model, const Record& record, const ReplayOptions& options,
                          uint64_t seed, const SpeculateOptions& speculate) {
  const auto vocabulary = static_cast<int32_t>(model.config().vocab_size);
  Request r;
  r.prompt = {random_id(seed, vocabulary)};
  r.options.max_tokens = static_cast<int64_t>(record.size());
  r.options.ignore_eos = true;
  r.options.exit.max_loops = options.loops;
  r.options.speculate = speculate;
  r.replay = [&](int64_t index, int64_t loop, int64_t rank, int32_t token) {
    const auto& ranks = record[static_cast<size_t>(index)][static_cast<size_t>(loop - 1)];
    const auto at = static_cast<size_t>(rank);
    return at < ranks.size() ? ranks[at] % vocabulary : token;
  };
  LOOPLM_ASSIGN_OR_RETURN(const Generation got, generate(model, std::move(r)));
  const GenerateStatistics& s = got.statistics;
  return Timed{static_cast<double>(record.size()) / (s.prompt_seconds + s.decode_seconds),
               s.passes};
}

}  // namespace

std::vector<DecodeMode> decode_modes(const ModelConfig& config, const DecodeModeLists& lists) {
  std::vector<DecodeMode> all = {{"plain"}};
  const auto commits = [&](CommitKind kind, const std::vector<double>& thresholds) {
    if (kind == CommitKind::kGate && !config.exit_gate) return;
    for (const double t : thresholds) {
      all.push_back({fmt::format("speculate {}:{}", commit_kind_name(kind), t), {}, {kind, t}});
    }
  };
  commits(CommitKind::kLoop, lists.commit_loops);
  commits(CommitKind::kGate, lists.commit_gates);
  commits(CommitKind::kMargin, lists.commit_margins);
  for (const double q : lists.exit_gates) {
    if (!config.exit_gate) break;
    all.push_back({fmt::format("exit {}:{}", exit_kind_name(ExitKind::kGate), q),
                   {ExitKind::kGate, q, 1, 0},
                   {}});
  }
  return all;
}

namespace {

// The rest of the first round.
void add_generation(const Generation& got, DecodeMeasure& measure) {
  const GenerateStatistics& s = got.statistics;
  measure.tokens += std::ssize(got.tokens);
  measure.passes += s.passes;
  measure.decode_passes += s.decode_passes;
  measure.decode_lanes += s.decode_lanes;
  measure.provisional += s.provisional_tokens;
  measure.revised += s.revised_tokens;
  measure.alternatives += s.alternative_tokens;
  measure.promoted += s.promoted_tokens;
  measure.reads.resize(s.loop_reads.size());
  measure.agreements.resize(s.loop_reads.size());
  for (size_t t = 0; t < s.loop_reads.size(); ++t) {
    measure.reads[t] += s.loop_reads[t];
    measure.agreements[t] += s.loop_agreements[t];
  }
  measure.ids.emplace_back();
  measure.agreement.emplace_back();
  for (const GeneratedToken& token : got.tokens) {
    measure.ids.back().push_back(token.id);
    measure.loops += token.loops;
    std::vector<bool> agrees;
    for (int32_t proposal : token.proposals) agrees.push_back(proposal == token.id);
    measure.agreement.back().push_back(std::move(agrees));
  }
}

struct TimedGeneration {
  Generation generation;
  double seconds = 0;
};

Result<TimedGeneration> decode(Model& model, const std::vector<int32_t>& prompt,
                               const DecodeMode& mode, const DecodeOptions& options) {
  Request request;
  request.prompt = prompt;
  GenerateOptions& g = request.options;
  g.max_tokens = options.tokens;
  g.ignore_eos = options.ignore_eos;
  g.prompt_chunk = 4096;
  g.exit = mode.exit;
  if (g.exit.kind == ExitKind::kFixed) g.exit.max_loops = options.loops;
  g.speculate = mode.speculate;
  TimedGeneration timed;
  LOOPLM_ASSIGN_OR_RETURN(timed.generation, mode.free_lanes
                                                ? generate_on_free_lanes(model, std::move(request))
                                                : generate(model, std::move(request)));
  const GenerateStatistics& s = timed.generation.statistics;
  timed.seconds = s.prompt_seconds + s.decode_seconds;
  return timed;
}

}  // namespace

Status measure_decoding(Model& model, const std::vector<std::vector<int32_t>>& prompts,
                        std::span<const DecodeMode> modes, const DecodeOptions& options,
                        std::span<DecodeMeasure> measures) {
  std::vector<double> seconds(modes.size()), tokens(modes.size());
  for (const std::vector<int32_t>& prompt : prompts) {
    for (size_t i = 0; i < modes.size(); ++i) {
      LOOPLM_ASSIGN_OR_RETURN(const TimedGeneration timed,
                              decode(model, prompt, modes[i], options));
      seconds[i] += timed.seconds;
      tokens[i] += static_cast<double>(timed.generation.tokens.size());
      // The others are the same.
      if (measures[i].rates.empty()) add_generation(timed.generation, measures[i]);
    }
  }
  for (size_t i = 0; i < modes.size(); ++i) measures[i].rates.push_back(tokens[i] / seconds[i]);
  return {};
}

double median_ratio(const std::vector<double>& rates, const std::vector<double>& others) {
  std::vector<double> ratios;
  for (size_t i = 0; i < rates.size(); ++i) ratios.push_back(rates[i] / others[i]);
  return median_of(std::move(ratios));
}

namespace {

// What early loops rank through the guess maps of `parts`.
void rank_through_maps(const std::vector<GeneratedToken>& tokens, Model::Parts& parts,
                       std::vector<std::vector<std::vector<int32_t>>>& ranks) {
  const auto width = static_cast<size_t>(parts.config().hidden_size);
  const int64_t vocabulary = parts.config().vocab_size;
  std::vector<float> states, logits(tokens.size() * static_cast<size_t>(vocabulary));
  std::vector<LogitSummary> summaries(tokens.size());
  states.reserve(tokens.size() * width);
  for (size_t loop = 0; loop < static_cast<size_t>(parts.guesses->loops()); ++loop) {
    states.clear();
    for (const GeneratedToken& token : tokens) {
      const std::vector<float>& state = token.readings[loop].state;
      states.insert(states.end(), state.begin(), state.end());
    }
    const std::vector<int64_t> loops(tokens.size(), static_cast<int64_t>(loop));
    parts.guesses->apply(loops, states.data(), parts.runner->device());
    parts.runner->read_out(states.data(), std::ssize(tokens), logits.data(), summaries.data());
    for (size_t i = 0; i < tokens.size(); ++i) {
      ranks[i][loop] =
          most_likely(logits.data() + static_cast<int64_t>(i) * vocabulary, vocabulary,
                      std::min(LoopOdds::kRanks, vocabulary), parts.runner->device().kernels());
    }
  }
}

}  // namespace

Result<LoopRanking> record_ranking(Model& model, const std::vector<std::vector<int32_t>>& prompts,
                                   const DecodeOptions& options) {
  const int64_t loops = options.loops == 0 ? model.config().loops : options.loops;
  const bool maps = model.parts().guesses != nullptr && loops == model.config().loops;
  LoopRanking all;
  for (const std::vector<int32_t>& prompt : prompts) {
    GenerateOptions g;
    g.max_tokens = options.tokens;
    g.ignore_eos = options.ignore_eos;
    g.exit.max_loops = options.loops;
    g.plan.output = ReadLoops::kEvery;
    g.plan.top = std::min(LoopOdds::kRanks, model.config().vocab_size);
    g.plan.states = maps;
    LOOPLM_ASSIGN_OR_RETURN(const Generation got, generate(model, prompt, g));
    all.emplace_back();
    for (const GeneratedToken& token : got.tokens) {
      all.back().emplace_back();
      for (const LoopReading& reading : token.readings) {
        std::vector<int32_t> ranks;
        for (const TopToken& top : reading.top) ranks.push_back(top.id);
        all.back().back().push_back(std::move(ranks));
      }
    }
    if (maps) rank_through_maps(got.tokens, model.parts(), all.back());
  }
  return all;
}

Result<std::vector<ReplayMeasure>> replay_ranking(Model& model, const LoopRanking& ranking,
                                                  const ReplayOptions& options,
                                                  std::span<const SpeculateOptions> modes) {
  std::vector<ReplayMeasure> measures(modes.size());
  double tokens = 0;
  const auto rounds = static_cast<size_t>(options.rounds);
  for (size_t round = 0; round < rounds; ++round) {
    // Several requests' tokens in a row, as one request.
    Record record;
    for (size_t i = round;
         i < ranking.size() && record.size() < static_cast<size_t>(options.tokens); i += rounds) {
      record.insert(record.end(), ranking[i].begin(), ranking[i].end());
    }
    if (record.empty()) break;
    tokens += static_cast<double>(record.size());
    for (size_t i = 0; i < modes.size(); ++i) {
      LOOPLM_ASSIGN_OR_RETURN(const Timed timed,
                              replay_once(model, record, options, round, modes[i]));
      measures[i].rates.push_back(timed.rate);
      measures[i].passes_per_token += static_cast<double>(timed.passes);
    }
  }
  for (ReplayMeasure& m : measures) m.passes_per_token /= std::max(1.0, tokens);
  return measures;
}

}  // namespace looplm
