// One position's way through its loops: collects what each loop says and decides when it has said
// enough.
#ifndef LOOPLM_INFER_POSITION_H_
#define LOOPLM_INFER_POSITION_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "infer/exit_rule.h"
#include "infer/kv_cache.h"
#include "infer/pass.h"

namespace looplm {

// Feeds loops to the exit rule and keeps the logits that will choose the token.
class PositionReader {
 public:
  PositionReader(PassRunner& runner, ExitRule& rule, ReadOut read_out, int64_t min_loops,
                 int64_t max_loops);

  void begin();
  // The normed state (E) and gate logit after loop `loop` (from 1). Returns true once the token can
  // be chosen; later calls are ignored.
  bool feed(int64_t loop, const float* normed, float gate_logit);

  bool decided() const { return decided_loop_ > 0; }
  int64_t loops() const { return decided_loop_; }  // the loop that was read out
  const std::vector<float>& logits() const { return logits_; }

 private:
  void add_weighted(int64_t loop, float gate_logit);

  PassRunner& runner_;
  ExitRule& rule_;
  ReadOut read_out_;
  int64_t min_loops_;
  int64_t max_loops_;
  int64_t decided_loop_ = 0;
  std::vector<float> logits_;
  std::vector<double> mixture_;
  double log_survival_ = 0;
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
