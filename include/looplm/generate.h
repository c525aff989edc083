// Generating text with a looped model: how deep to think about each token, what to keep, how to
// choose, when to stop.
#ifndef LOOPLM_GENERATE_H_
#define LOOPLM_GENERATE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "looplm/kv_policy.h"
#include "looplm/model.h"
#include "looplm/read_out.h"
#include "looplm/status.h"

namespace looplm {

// When a position stops looping. Formulas: arXiv:2510.25741 sections 3.2 and 5.4.1.
enum class ExitKind {
  kFixed,  // always max_loops
  kGate,  // q-exit: the first loop m with 1 - prod_{j<=m} (1 - lambda_j) >= threshold; threshold in
          // [0, 1], and 1 never exits before max_loops
  kHiddenDifference,    // |h_t - h_{t-1}| < threshold, t >= 2; h the normed state, Euclidean norm;
                        // threshold >= 0
  kRelativeDifference,  // |h_t - h_{t-1}| / |h_t| < threshold, t >= 2; threshold >= 0
  kMargin,   // p(best) - p(second) >= threshold for the read-out's softmax; threshold in [0, 1]
  kEntropy,  // entropy of the read-out's softmax <= threshold nats; threshold >= 0
};

// The rules' names in options, files and results: "fixed", "q", "difference", "relative", "margin",
// "entropy". exit_kind_from_name also reads the old name "hidden" for kHiddenDifference.
const char* exit_kind_name(ExitKind kind);
Result<ExitKind> exit_kind_from_name(std::string_view name);

struct ExitOptions {
  ExitKind kind = ExitKind::kFixed;
  double threshold = 1.0;
  int64_t min_loops = 1;  // no exit before; 1 .. max_loops
  // Maximum number of loops; may exceed the trained number. 0: the trained number.
  int64_t max_loops = 0;
};

// Which logits choose the token.
enum class ReadOut {
  kSelected,  // those of the exit loop
  kWeighted,  // sum_t p_t logits_t over all max_loops, p the gate's exit distribution; runs every
              // loop
};

struct SamplingOptions {
  double temperature = 0;  // 0: the most likely token (ties to the lowest id); otherwise positive
  int64_t top_k = 0;       // keep the k most likely, of equals the lowest ids; 0: all
  // Of those, keep the fewest most likely tokens that have at least this share of the probability
  // of all of them, of equals the lowest ids; (0, 1].
  double top_p = 1;
  double min_p = 0;  // drop tokens below this share of the best one's probability; [0, 1]
  double repetition_penalty = 1;  // divides positive and multiplies negative logits of tokens seen
                                  // in prompt or output; 1e-6 to 1e6
  double presence_penalty = 0;    // subtracted once for tokens in the output; -1e6 to 1e6
  double frequency_penalty = 0;   // subtracted per occurrence in the output; -1e6 to 1e6
  std::map<int32_t, double> logit_bias;  // added; -1e9 to 1e9, or infinite
  // The choice at a position is argmax(logits / temperature + g), g Gumbel noise drawn from (seed,
  // position) alone: the same request and seed give the same tokens whatever else runs.
  uint64_t seed = 0;
};

// When to commit a token provisionally, before its final loop. The next position then starts at
// once, which saves passes if the later loops agree. One that chooses another token takes it back,
// with all that followed. The tokens are the same as without speculation. Guess maps in a file
// beside the model make early loops agree more often (docs/training.md). Requests that name an
// adapter or run another number of loops do not use them.
enum class CommitKind {
  kNever,   // no speculation
  kLoop,    // after loop threshold: a whole number from 1
  kGate,    // once the gate's exit probabilities sum to the threshold, [0, 1]
  kMargin,  // once best minus second probability reaches the threshold, [0, 1]
  // After loop 1. Where the last tokens occurred earlier in prompt or output, it also commits the
  // tokens that followed them there, before any loop has run. It tries a loop's second and third
  // best token beside the best, and takes one of them if a later loop chooses it. It does each of
  // these only where that is likely to save time.
  kAuto,
};

// "never", "loop", "q", "margin", "auto".
const char* commit_kind_name(CommitKind kind);
Result<CommitKind> commit_kind_from_name(std::string_view name);

struct SpeculateOptions {
  CommitKind kind = CommitKind::kNever;
  double threshold = 1;  // kAuto: 1
};

// A stretch at the output's beginning in which no stop string counts, such as reasoning: from
// `begin`, which only white space may precede, through `end`.
struct StopFree {
  std::string begin{};
  std::string end{};   // empty: there is no such stretch
  bool begun = false;  // the prompt ends inside it
};

struct GenerateOptions {
  int64_t max_tokens = 128;
  ExitOptions exit;
  SpeculateOptions speculate;  // needs the full KV policy
  ReadOut read_out = ReadOut::kSelected;
  KvPolicy kv = KvPolicy::kFull;
  PromptKv prompt_kv = PromptKv::kEveryLoop;  // kAsDecoded needs a policy that keeps one plane
  SamplingOptions sampling;
  ReadOutPlan plan;               // what else to read; max_tokens may then be 0
  std::vector<int32_t> stop_ids;  // in addition to the model's end-of-text ids
  // Need a tokenizer; the output ends before them. They may contain whole special tokens, although
  // the output shows no text for those: "<|im_end|>\n".
  std::vector<std::string> stop_strings;
  StopFree stop_free;
  bool ignore_eos = false;     // go on past the model's end-of-text ids
  int64_t prompt_chunk = 256;  // prompt positions per pass; results do not depend on it
};

struct GeneratedToken {
  int32_t id = 0;
  int64_t loops = 0;  // the loop whose read-out chose it (max_loops for the weighted read-out)
  float log_probability = 0;  // log softmax of the raw logits at this id
  std::string text;           // the text that this token completed; empty without a tokenizer
  // While speculating: the token that each loop chose, through its guess map if the model has one;
  // -1 for a loop that was not read.
  std::vector<int32_t> proposals{};
  // Of the position that chose it, as ReadOutPlan::output asks.
  std::vector<LoopReading> readings{};
};

enum class FinishReason {
  kStop,    // a stopping id, a stop string, or the end of what a constraint allows
  kLength,  // max_tokens
  kCancelled,
  kDeadline,
  kError,  // Generation::status says which
};
const char* finish_reason_name(FinishReason reason);

struct GenerateStatistics {
  int64_t prompt_tokens = 0;
  double prompt_seconds = 0;
  double decode_seconds = 0;         // for all tokens after the first
  int64_t passes = 0;                // that had a lane of this request
  int64_t decode_passes = 0;         // that had a lane of a generated position
  int64_t decode_lanes = 0;          // of generated positions, also of those taken back
  int64_t cached_prompt_tokens = 0;  // prompt positions whose keys and values were there already
  int64_t preemptions = 0;           // times that its keys and values made way for others
  uint64_t kv_bytes = 0;             // at the end
  int64_t provisional_tokens = 0;    // committed before their final loop
  int64_t revised_tokens = 0;        // of these, taken back
  int64_t alternative_tokens = 0;    // tried beside a provisional one
  int64_t promoted_tokens = 0;       // of these, chosen by a later loop
  // While speculating: how many generated positions were read after loop t + 1, and for how many of
  // them that loop chose the final token.
  std::vector<int64_t> loop_reads;
  std::vector<int64_t> loop_agreements;
  uint64_t weight_bytes = 0;  // of matrices, read to generate the tokens after the first
  double read_bytes_per_second() const {
    return decode_seconds > 0 ? static_cast<double>(weight_bytes) / decode_seconds : 0;
  }
};

struct Generation {
  // A stopping id is the last one. Its `text` leaves its own text out, and holds what earlier
  // tokens had kept back.
  std::vector<GeneratedToken> tokens;
  // All text, cut before a stop string. Includes text that was kept back when the request was
  // cancelled or failed.
  std::string text;
  FinishReason finish_reason = FinishReason::kLength;
  Status status;                        // not ok after kError alone
  std::vector<PositionReading> prompt;  // as the plan says, ascending
  std::vector<float> embedding;         // (E), or empty
  GenerateStatistics statistics;

  double mean_loops() const;  // NaN where there is no token
};

// Called once for every final token, in order. Return false to stop.
using TokenCallback = std::function<bool(const GeneratedToken& token)>;

// A token that a loop proposes for place `index` of the output. It is not final yet. A later call
// with the same index replaces it and drops everything after it.
struct ProvisionalToken {
  int64_t index = 0;
  int32_t id = 0;
  int64_t loop = 0;       // that proposed it, from 1
  bool revision = false;  // replaces an earlier proposal
  bool final = false;     // this loop's word is the last: the token callback follows
};

// Screening: sees every proposal before it is committed. Return false to stop the request; the
// token is then neither committed nor reported.
using ScreenCallback = std::function<bool(const ProvisionalToken& token)>;

struct GenerateCallbacks {
  TokenCallback token;
  ScreenCallback screen;
};

// Generates from one prompt. The prompt must have at least one id, all below the vocabulary's size,
// and leave room below max_positions. With the full KV policy, the tokens are those of running all
// max_loops and picking a read-out by the exit rule afterwards. An early exit still saves passes:
// the position's other loops run beside its successors. The other policies skip the loops after the
// exit, which changes results slightly. If the request ends with an error, returns that error. For
// many requests at once see looplm/engine.h.
Result<Generation> generate(Model& model, std::span<const int32_t> prompt,
                            const GenerateOptions& options, const TokenCallback& callback = {});
Result<Generation> generate(Model& model, std::span<const int32_t> prompt,
                            const GenerateOptions& options, const GenerateCallbacks& callbacks);

}  // namespace looplm

#endif  // LOOPLM_GENERATE_H_
