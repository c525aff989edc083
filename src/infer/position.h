// One position's way through its loops: collects what each loop says and decides when it has said
// enough.
#ifndef LOOPLM_INFER_POSITION_H_
#define LOOPLM_INFER_POSITION_H_

#include <cstdint>
#include <span>
#include <vector>

#include "infer/exit_rule.h"
#include "infer/kv_cache.h"
#include "infer/pass.h"

namespace looplm {

// Feeds loops to the exit rule and says which logits choose the token. In two steps per loop, so
// that the read-outs of a whole pass are one product: observe() says whether this loop's logits are
// needed, judge() takes them.
class PositionReader {
 public:
  PositionReader(const ModelConfig& config, const ExitRule& rule, ReadOut read_out,
                 int64_t min_loops, int64_t max_loops);

  void begin();

  // The normed state (E) and gate logit after loop `loop` (from 1; in order). Returns true when
  // judge() must follow. False once decided.
  bool observe(int64_t loop, const float* normed, float gate_logit);
  // The logits (V) of the loop just observed, and what they say; both must stay until the token has
  // been chosen.
  void judge(const float* logits, const LogitSummary& summary, Device& device);

  // Both steps for one position alone. Returns true once the token can be chosen.
  bool feed(PassRunner& runner, int64_t loop, const float* normed, float gate_logit);

  bool decided() const { return decided_loop_ > 0; }
  int64_t loops() const { return decided_loop_; }  // the loop that was read out
  // Once decided, what the token is chosen from: what judge() got last, or the loops' mixture.
  const float* logits() const { return logits_; }
  const LogitSummary& summary() const { return *summary_; }

 private:
  void add_weighted(const float* logits);

  ExitRule rule_;
  ReadOut read_out_;
  int64_t min_loops_;
  int64_t max_loops_;
  size_t width_;
  size_t vocabulary_;
  LoopFigures seen_;     // of the loop just observed
  bool enough_ = false;  // the rule, where it needs no logits
  int64_t decided_loop_ = 0;
  const float* logits_ = nullptr;
  const LogitSummary* summary_ = nullptr;
  std::vector<double> mixture_;
  std::vector<float> own_logits_;  // the mixture, or what feed() read
  LogitSummary own_summary_;
  double log_survival_ = 0;
  // Of the loop before, for rules that look at states.
  std::vector<float> previous_;
};

// What a generated position leaves in the cache for later ones, under a policy that does not keep
// every loop's keys and values. Call after_loop() when a loop's pass is over and finish() when the
// position will run no more loops.
class PositionKv {
 public:
  PositionKv(KvPolicy policy, SequenceCache& cache, const ModelConfig& config);

  void begin(int64_t position) { position_ = position; }
  void after_loop(int64_t loop);  // from 0
  void finish(int64_t loops_run);

 private:
  KvPolicy policy_;
  SequenceCache& cache_;
  int64_t width_;  // of k, and of v
  int64_t position_ = 0;
  std::vector<float> kept_;     // (layers, k and v): the first loop's, or the sum over loops
  std::vector<float> scratch_;  // k and v
};

}  // namespace looplm

#endif  // LOOPLM_INFER_POSITION_H_
