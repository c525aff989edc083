// One micro-batch of tokens, and its trip through trunk, gate, head, objective and back.
#ifndef LOOPLM_TRAIN_BATCH_H_
#define LOOPLM_TRAIN_BATCH_H_

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/head_loss.h"
#include "kernels/kernels.h"
#include "model/guess_maps.h"
#include "model/trunk.h"
#include "train/objective.h"
#include "train/pair_objective.h"

namespace looplm {

struct Batch {
  std::vector<int32_t> ids;              // (rows)
  std::vector<int32_t> targets;          // (rows): the next token, or kIgnoredTarget
  std::vector<int64_t> document_starts;  // first row of each document, then the row count
  std::vector<int64_t> pairs;  // documents that are a chosen answer; the next one is the rejected
  std::vector<TopTokens> teachers;  // (rows), or none: what another model says of each target

  int64_t rows() const { return static_cast<int64_t>(ids.size()); }
  int64_t target_count() const;
  // What the loss is a sum over: preference pairs, where there are any.
  int64_t losses() const {
    return pairs.empty() ? target_count() : static_cast<int64_t>(pairs.size());
  }
};

// Sums over target tokens; divide by `tokens`.
struct BatchMetrics {
  int64_t tokens = 0;           // targets counted
  double loss = 0;              // of the objective
  std::vector<double> nll;      // (T), nats
  std::vector<double> entropy;  // (T): of the next-token distributions, nats
  std::vector<double> exit;     // (T): mass of the exit distribution
  std::vector<double> right;    // (T): targets that are the most likely token
  // Of guess maps, (T - 1): targets for which the loop's most likely token is the last loop's, with
  // its map; and without, which is counted where nothing is trained.
  std::vector<double> agrees, agrees_unmapped;
  double exit_entropy = 0;  // nats
  int64_t pairs = 0;        // preference pairs; where there are any, the loss is theirs
  double margin = 0;        // PairLoss::margin
  double preferred = 0;     // pairs whose margin is above 0
  int64_t first_loop = 0;   // entries of nll and entropy below it were not computed

  // What the loss is a sum over.
  int64_t losses() const { return pairs > 0 ? pairs : tokens; }
  double mean_exit() const;  // mean loop (from 1) of the exit distribution
  void add(const BatchMetrics& other);
};

class BatchPass {
 public:
  // `guesses`, if there are any, stand between the states of all loops but the last and the head.
  BatchPass(const ModelConfig& config, const TrunkShape& shape, AdapterWeights* adapter = nullptr,
            const GuessMaps* guesses = nullptr);

  static MemoryPlan plan(const ModelConfig& config, const TrunkShape& shape,
                         const Objective& objective, int threads);

  // Forward only. `reference`, here and below: what the objective's reference scores each of the
  // batch's pairs, for an objective of pairs.
  BatchMetrics evaluate(const ModelWeights& weights, const Batch& batch, const Objective& objective,
                        Device& device, std::span<const PairScores> reference = {});
  // The scores of each pair under these weights.
  std::vector<PairScores> score(const ModelWeights& weights, const Batch& batch, Device& device);

  // Forward and backward; adds scale * d(sum of token losses) to the gradients. When the objective
  // does not train the trunk, only the gradients of the gate or of guess maps change.
  // `backward_weights` may be null for the gate; guess maps need those of the head.
  BatchMetrics train(const ModelWeights& weights, const BackwardWeights* backward_weights,
                     const Batch& batch, const Objective& objective, double scale,
                     ParameterSet& gradients, Device& device,
                     std::span<const PairScores> reference = {});

 private:
  struct Backward {
    const BackwardWeights* weights;
    double scale;
    ParameterSet* gradients;
    bool trunk;
  };

  // What run() works on, and what it has counted so far.
  struct Job {
    const ModelWeights& weights;
    const Batch& batch;
    const Objective& objective;
    const Backward* backward;  // null: forward only
    Device& device;
    std::span<const PairScores> reference{};
    BatchMetrics metrics{};
  };
  // Rows of the batch that have a target and go through the head together.
  using Chunk = std::span<const int64_t>;

  BatchMetrics run(Job job);
  void clear_gradients(const Job& job);
  void run_gate(const Job& job);
  // Null where that parameter is frozen.
  static float* gradient_of(const Backward& backward, const char* name);
  void run_gate_backward(const Job& job);
  // Calls `visit` with the learnt rows, in chunks.
  template <typename Visit>
  void for_chunks(const Batch& batch, Visit visit) const;
  // The chunk's states, and what the head makes of them once it is run.
  HeadLossParams prepare_head(const Job& job, Chunk chunk);
  // Puts mapped states in the place of the chunk's.
  void map_states(const Job& job, Chunk chunk);
  // Adds to each entry how many of the chunk's tokens are the last loop's.
  void count_agreement(const Job& job, Chunk chunk, std::vector<double>& agrees) const;
  std::vector<PairScores> score_pairs(const Job& job);
  // The loss of the batch's pairs, and what it makes of each row's.
  void judge_pairs(Job& job);
  void run_head(Job& job, Chunk chunk);
  // The teacher of the chunk's rows, and how far they are from it.
  TeacherParams teach(const Job& job, Chunk chunk, const HeadLossParams& head);
  void gather_states(const Job& job, Chunk chunk);
  // The objective of the chunk's i-th token, its figures, and its derivatives.
  void judge(Job& job, Chunk chunk, int64_t i);
  void count_exits(BatchMetrics& metrics) const;
  void scatter_gradients(const Job& job, Chunk chunk);
  void run_guesses_backward(const Job& job, Chunk chunk);
  // Where loop `t` of the chunk's i-th token stands among the chunk's rows.
  static int64_t chunk_row(const Job& job, Chunk chunk, int64_t t, int64_t i) {
    return (t - job.metrics.first_loop) * static_cast<int64_t>(chunk.size()) + i;
  }

  ModelConfig config_;
  Trunk trunk_;
  const GuessMaps* guesses_;
  int64_t chunk_tokens_;            // tokens per head chunk; each brings a row per loop
  std::vector<float> gate_logits_;  // (T, rows)
  std::vector<float> gate_gradients_;
  // A head chunk: rows ordered (loop, token).
  Buffer<float> chunk_states_;     // (rows, E)
  Buffer<float> chunk_gradients_;  // (rows, E)
  Buffer<float> unmapped_states_;  // (rows of all loops but the last, E), with guess maps
  Buffer<float> logits_;           // (rows, V)
  std::vector<int32_t> chunk_targets_;
  std::vector<float> nll_, scale_;
  // Where the objective has a teacher: of each token what it says, and how far rows are from it.
  Buffer<float> teacher_;  // (tokens, V), of the last loop
  std::vector<double> teacher_entropy_;
  std::vector<TopTokens> top_teachers_;  // of another model
  std::vector<double> unnamed_log_sum_;
  std::vector<float> divergence_, divergence_scale_;
  // Of one token, a value per loop.
  std::vector<float> token_nll_, token_gate_, token_dnll_, token_dgate_;
  std::vector<float> token_divergence_, token_ddivergence_;
  std::vector<LogitSummary> summaries_;
  std::vector<float> row_weights_;  // (rows), of pairs: what derivatives of a row are multiplied by
};

}  // namespace looplm

#endif  // LOOPLM_TRAIN_BATCH_H_
