#include "infer/position.h"

#include <cmath>

#include "base/check.h"
#include "model/exit_distribution.h"

namespace looplm {

PositionReader::PositionReader(const ModelConfig& config, const ExitRule& rule, ReadOut read_out,
                               int64_t min_loops, int64_t max_loops)
    : rule_(rule),
      read_out_(read_out),
      min_loops_(min_loops),
      max_loops_(max_loops),
      width_(static_cast<size_t>(config.hidden_size)),
      vocabulary_(static_cast<size_t>(config.vocab_size)) {}

void PositionReader::begin() {
  decided_loop_ = 0;
  log_survival_ = 0;
  previous_.clear();
  mixture_.assign(read_out_ == ReadOut::kWeighted ? vocabulary_ : 0, 0.0);
  rule_.reset();
}

bool PositionReader::observe(int64_t loop, const float* normed, float gate_logit) {
  if (decided()) return false;
  seen_ = {.loop = loop, .gate_logit = gate_logit};
  if (rule_.needs_states()) {
    const StateChange change = state_change({normed, width_}, previous_);
    seen_.difference = change.difference;
    seen_.norm = change.norm;
    previous_.assign(normed, normed + width_);
  }
  if (read_out_ == ReadOut::kWeighted || rule_.needs_logits()) return true;
  enough_ = rule_.enough(seen_);  // also before min_loops: rules follow every loop
  return loop == max_loops_ || (enough_ && loop >= min_loops_);
}

void PositionReader::judge(const float* logits, const LogitSummary& summary, Device& device) {
  const bool last = seen_.loop == max_loops_;
  if (read_out_ == ReadOut::kWeighted) {
    add_weighted(logits);
    if (!last) return;
    own_logits_.assign(mixture_.begin(), mixture_.end());
    logits_ = own_logits_.data();
    logit_summary({logits_, 1, static_cast<int64_t>(vocabulary_), &own_summary_}, device);
    summary_ = &own_summary_;
    decided_loop_ = seen_.loop;
    return;
  }
  if (rule_.needs_logits()) {
    seen_.margin = summary.margin();
    seen_.entropy = summary.entropy;
    enough_ = rule_.enough(seen_);
  }
  if (!last && !(enough_ && seen_.loop >= min_loops_)) return;
  logits_ = logits;
  summary_ = &summary;
  decided_loop_ = seen_.loop;
}

bool PositionReader::feed(PassRunner& runner, int64_t loop, const float* normed, float gate_logit) {
  if (observe(loop, normed, gate_logit)) {
    // The mixture is put where these are only when they have been added to it.
    own_logits_.resize(vocabulary_);
    runner.read_out(normed, 1, own_logits_.data(), &own_summary_);
    judge(own_logits_.data(), own_summary_, runner.device());
  }
  return decided();
}

void PositionReader::add_weighted(const float* logits) {
  const auto z = static_cast<double>(seen_.gate_logit);
  const double log_p = seen_.loop == max_loops_ ? log_survival_ : log_survival_ + log_sigmoid(z);
  log_survival_ -= softplus(z);
  const double p = std::exp(log_p);
  for (size_t i = 0; i < vocabulary_; ++i) mixture_[i] += p * static_cast<double>(logits[i]);
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
