// Ways of decoding measured against plain decoding: exact exits and lossless speculation, in
// passes, lanes and tokens per second.
#ifndef LOOPLM_EVAL_DECODING_H_
#define LOOPLM_EVAL_DECODING_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "looplm/engine.h"

namespace looplm {

// An exit rule, a speculation over it, or neither.
struct DecodeMode {
  std::string name;
  ExitOptions exit{};
  SpeculateOptions speculate{};
  bool free_lanes = false;  // automatic speculation takes any lane that may help

  bool speculates() const { return speculate.kind != CommitKind::kNever; }
};

struct DecodeModeLists {
  std::vector<double> commit_loops;  // below the loops that run
  std::vector<double> commit_gates;  // for models with a gate
  std::vector<double> commit_margins;
  std::vector<double> exit_gates;  // for models with a gate
};

// "plain", then one mode per value: "speculate loop:1", "speculate q:0.2", "speculate margin:0.3",
// "exit q:0.3". Those that need a gate are left out where the model has none.
std::vector<DecodeMode> decode_modes(const ModelConfig& config, const DecodeModeLists& lists);

struct DecodeOptions {
  int64_t tokens = 32;  // per prompt at most
  int64_t loops = 0;    // 0: as many as the config says; not of exits
  bool ignore_eos = false;
};

// Which loops chose the final token, per prompt and token; of a mode that speculates.
using LoopAgreement = std::vector<std::vector<std::vector<bool>>>;

struct DecodeMeasure {
  std::vector<double> rates;  // tokens per second, of each round
  // The rest of the first round; the others are the same.
  int64_t tokens = 0;
  int64_t passes = 0;         // of the prompts too
  int64_t decode_passes = 0;  // with a generated position
  int64_t decode_lanes = 0;   // of generated positions, those taken back too
  int64_t loops = 0;          // that chose each token, summed
  int64_t provisional = 0;
  int64_t revised = 0;
  int64_t alternatives = 0;  // tried
  int64_t promoted = 0;      // of these, chosen
  // By loop: tokens that it read, and chose as the last did.
  std::vector<int64_t> reads, agreements;
  std::vector<std::vector<int32_t>> ids;  // per prompt
  LoopAgreement agreement;

  double per_token(int64_t count) const {
    return static_cast<double>(count) / static_cast<double>(tokens);
  }
};

// One round of all prompts, one by one, each in all modes in turn, since what else the machine does
// changes from second to second. Added to `measures`, which are as many as the modes.
Status measure_decoding(Model& model, const std::vector<std::vector<int32_t>>& prompts,
                        std::span<const DecodeMode> modes, const DecodeOptions& options,
                        std::span<DecodeMeasure> measures);

// The median of the rounds' ratios.
double median_ratio(const std::vector<double>& rates, const std::vector<double>& others);

// What each loop ranks first, second, ... at each generated position: prompt, token, loop, rank. Of
// plain decoding; early loops rank through the model's guess maps, where it has them.
using LoopRanking = std::vector<std::vector<std::vector<std::vector<int32_t>>>>;
Result<LoopRanking> record_ranking(Model& model, const std::vector<std::vector<int32_t>>& prompts,
                                   const DecodeOptions& options);

struct ReplayOptions {
  int64_t tokens = 32;  // per request; several prompts' tokens in a row make one
  int64_t loops = 4;
  int64_t rounds = 5;
};

struct ReplayMeasure {
  std::vector<double> rates;    // tokens per second, of each round
  double passes_per_token = 0;  // of all rounds
};

// Another model whose loops rank as recorded: its weights set the time, the record the tokens. Each
// round's tokens in all modes in turn; a measure per mode.
Result<std::vector<ReplayMeasure>> replay_ranking(Model& model, const LoopRanking& ranking,
                                                  const ReplayOptions& options,
                                                  std::span<const SpeculateOptions> modes);

}  // namespace looplm

#endif  // LOOPLM_EVAL_DECODING_H_
