#include "infer/position.h"

#include <cmath>

#include "base/check.h"
#include "model/exit_distribution.h"

namespace looplm {

PositionReader::PositionReader(PassRunner& runner, ExitRule& rule, ReadOut read_out,
                               int64_t min_loops, int64_t max_loops)
    : runner_(runner),
      rule_(rule),
      read_out_(read_out),
      min_loops_(min_loops),
      max_loops_(max_loops),
      logits_(static_cast<size_t>(runner.weights().config().vocab_size)) {}

void PositionReader::begin() {
  decided_loop_ = 0;
  log_survival_ = 0;
  previous_.clear();
  mixture_.assign(read_out_ == ReadOut::kWeighted ? logits_.size() : 0, 0.0);
  rule_.reset();
}

bool PositionReader::feed(int64_t loop, const float* normed, float gate_logit) {
  if (decided()) return true;
  const auto width = static_cast<size_t>(runner_.weights().config().hidden_size);
  const bool last = loop == max_loops_;
  if (read_out_ == ReadOut::kWeighted) {
    runner_.read_out(normed, 1, logits_.data());
    add_weighted(loop, gate_logit);
    if (!last) return false;
    for (size_t i = 0; i < logits_.size(); ++i) logits_[i] = static_cast<float>(mixture_[i]);
    decided_loop_ = loop;
    return true;
  }
  const bool judged_by_logits = rule_.needs_logits();
  if (judged_by_logits) runner_.read_out(normed, 1, logits_.data());
  LoopObservation seen;
  seen.loop = loop;
  seen.normed = {normed, width};
  seen.previous_normed = previous_;
  seen.gate_logit = gate_logit;
  if (judged_by_logits) seen.logits = logits_;
  const bool enough = rule_.enough(seen);  // also before min_loops: rules follow every loop
  previous_.assign(normed, normed + width);
  if (!last && !(enough && loop >= min_loops_)) return false;
  if (!judged_by_logits) runner_.read_out(normed, 1, logits_.data());
  decided_loop_ = loop;
  return true;
}

void PositionReader::add_weighted(int64_t loop, float gate_logit) {
  const auto z = static_cast<double>(gate_logit);
  const double log_p = loop == max_loops_ ? log_survival_ : log_survival_ + log_sigmoid(z);
  log_survival_ -= softplus(z);
  const double p = std::exp(log_p);
  for (size_t i = 0; i < logits_.size(); ++i) mixture_[i] += p * static_cast<double>(logits_[i]);
}

PositionKv::PositionKv(KvPolicy policy, SequenceCache& cache, const ModelConfig& config)
    : policy_(policy),
      cache_(cache),
      width_(config.kv_size()),
      kept_(static_cast<size_t>(2 * width_ * config.layers)),
      scratch_(static_cast<size_t>(2 * width_)) {}

void PositionKv::after_loop(int64_t loop) {
  const bool first = loop == 0;
  if (policy_ != KvPolicy::kMean && !(policy_ == KvPolicy::kFirst && first)) return;
  for (int64_t layer = 0; layer < cache_.layers(); ++layer) {
    cache_.load(loop, layer, position_, scratch_.data(), scratch_.data() + width_);
    float* kept = kept_.data() + layer * 2 * width_;
    for (int64_t i = 0; i < 2 * width_; ++i) {
      kept[i] =
          first ? scratch_[static_cast<size_t>(i)] : kept[i] + scratch_[static_cast<size_t>(i)];
    }
  }
}

void PositionKv::finish(int64_t loops_run) {
  switch (policy_) {
    case KvPolicy::kFull:
      LOOPLM_CHECK(loops_run == cache_.loops(), "{} of {} loops", loops_run, cache_.loops());
      return;
    case KvPolicy::kLast:
      return;  // every loop wrote over the one before
    case KvPolicy::kFirst:
    case KvPolicy::kMean: {
      const float share = policy_ == KvPolicy::kMean ? 1.0f / static_cast<float>(loops_run) : 1.0f;
      for (float& x : kept_) x *= share;
      for (int64_t layer = 0; layer < cache_.layers(); ++layer) {
        const float* kept = kept_.data() + layer * 2 * width_;
        cache_.store(0, layer, position_, kept, kept + width_);
      }
      return;
    }
    case KvPolicy::kLastExited:
      for (int64_t layer = 0; layer < cache_.layers() && loops_run < cache_.loops(); ++layer) {
        cache_.load(loops_run - 1, layer, position_, scratch_.data(), scratch_.data() + width_);
        for (int64_t loop = loops_run; loop < cache_.loops(); ++loop) {
          cache_.store(loop, layer, position_, scratch_.data(), scratch_.data() + width_);
        }
      }
      return;
  }
}

}  // namespace looplm
