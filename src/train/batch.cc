#include "train/batch.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "kernels/head_loss.h"
#include "model/exit_distribution.h"

namespace looplm {
namespace {

int64_t tokens_per_chunk(const ModelConfig& config, const TrunkShape& shape) {
  const int64_t rows = head_loss_chunk_rows(config.vocab_size);
  return std::clamp<int64_t>(rows / shape.loops, 1, shape.rows);
}

void add_to(const std::vector<double>& from, std::vector<double>& to) {
  if (to.empty()) to.resize(from.size());
  for (size_t i = 0; i < from.size(); ++i) to[i] += from[i];
}

}  // namespace

int64_t Batch::target_count() const {
  return static_cast<int64_t>(
      std::count_if(targets.begin(), targets.end(), [](int32_t t) { return t != kIgnoredTarget; }));
}

double BatchMetrics::mean_exit() const {
  double sum = 0;
  for (size_t t = 0; t < exit.size(); ++t) sum += static_cast<double>(t + 1) * exit[t];
  return tokens == 0 ? 0 : sum / static_cast<double>(tokens);
}

void BatchMetrics::add(const BatchMetrics& other) {
  tokens += other.tokens;
  loss += other.loss;
  add_to(other.nll, nll);
  add_to(other.entropy, entropy);
  add_to(other.exit, exit);
  add_to(other.right, right);
  exit_entropy += other.exit_entropy;
  first_loop = other.first_loop;
}

BatchPass::BatchPass(const ModelConfig& config, const TrunkShape& shape)
    : config_(config), trunk_(config, shape), chunk_tokens_(tokens_per_chunk(config, shape)) {
  const auto rows = static_cast<size_t>(chunk_tokens_ * shape.loops);
  const auto all = static_cast<size_t>(shape.rows * shape.loops);
  gate_logits_.resize(all);
  chunk_states_ = Buffer<float>(rows * static_cast<size_t>(config.hidden_size));
  logits_ = Buffer<float>(rows * static_cast<size_t>(config.vocab_size));
  gate_gradients_.resize(all);
  if (shape.backward) {
    chunk_gradients_ = Buffer<float>(rows * static_cast<size_t>(config.hidden_size));
  }
  chunk_targets_.resize(rows);
  for (auto* values : {&nll_, &scale_}) values->resize(rows);
  summaries_.resize(rows);
}

MemoryPlan BatchPass::plan(const ModelConfig& config, const TrunkShape& shape) {
  MemoryPlan plan = Trunk::plan(config, shape);
  const int64_t rows = tokens_per_chunk(config, shape) * shape.loops;
  const auto bytes = [](int64_t floats) { return static_cast<uint64_t>(floats) * sizeof(float); };
  plan.add("logits of a chunk", bytes(rows * config.vocab_size), fmt::format("{} rows", rows));
  plan.add("states of a chunk", bytes(rows * config.hidden_size * (shape.backward ? 2 : 1)));
  return plan;
}

BatchMetrics BatchPass::evaluate(const ModelWeights& weights, const Batch& batch,
                                 const Objective& objective, Device& device) {
  return run(weights, batch, objective, nullptr, device);
}

BatchMetrics BatchPass::train(const ModelWeights& weights, const BackwardWeights* backward_weights,
                              const Batch& batch, const Objective& objective, double scale,
                              ParameterSet& gradients, Device& device) {
  const Backward backward = {backward_weights, scale, &gradients, objective.trains_trunk()};
  return run(weights, batch, objective, &backward, device);
}

BatchMetrics BatchPass::run(const ModelWeights& weights, const Batch& batch,
                            const Objective& objective, const Backward* backward, Device& device) {
  LOOPLM_CHECK(config_.exit_gate || !objective.needs_gate(), "{} needs an exit gate",
               objective.name());
  const int64_t loops = trunk_.loops();
  trunk_.forward(weights, batch.ids, batch.document_starts, device);
  run_gate(weights, device);

  BatchMetrics metrics;
  metrics.first_loop = backward == nullptr ? 0 : objective.first_loop(loops);
  for (auto* sums : {&metrics.nll, &metrics.entropy, &metrics.exit, &metrics.right}) {
    sums->assign(static_cast<size_t>(loops), 0.0);
  }
  if (backward != nullptr) {
    std::fill(gate_gradients_.begin(), gate_gradients_.end(), 0.0f);
    if (backward->trunk) {
      for (int64_t t = 0; t < loops; ++t) {
        std::fill_n(trunk_.state_gradient(t), trunk_.rows() * config_.hidden_size, 0.0f);
      }
    }
  }

  // Only tokens with a target reach the head.
  std::vector<int64_t> targets;
  for (int64_t r = 0; r < batch.rows(); ++r) {
    if (batch.targets[static_cast<size_t>(r)] != kIgnoredTarget) targets.push_back(r);
  }
  for (size_t begin = 0; begin < targets.size(); begin += static_cast<size_t>(chunk_tokens_)) {
    const size_t end = std::min(targets.size(), begin + static_cast<size_t>(chunk_tokens_));
    run_head_chunk(weights, batch, objective, targets, begin, end, backward, metrics, device);
  }
  if (backward == nullptr) return metrics;

  if (config_.exit_gate) {
    for (int64_t t = 0; t < loops; ++t) {
      gate_backward(
          {gate_gradients_.data() + t * trunk_.rows(), trunk_.state(t), weights.gate_weight(),
           trunk_.rows(), config_.hidden_size, backward->trunk ? trunk_.state_gradient(t) : nullptr,
           backward->gradients->find(kGateWeightName), backward->gradients->find(kGateBiasName)},
          device);
    }
  }
  if (backward->trunk) {
    trunk_.backward(weights, *backward->weights, *backward->gradients, device);
  }
  return metrics;
}

void BatchPass::run_gate(const ModelWeights& weights, Device& device) {
  if (!config_.exit_gate) return;
  for (int64_t t = 0; t < trunk_.loops(); ++t) {
    gate_forward({trunk_.state(t), weights.gate_weight(), weights.gate_bias(), trunk_.rows(),
                  config_.hidden_size, gate_logits_.data() + t * trunk_.rows()},
                 device);
  }
}

void BatchPass::run_head_chunk(const ModelWeights& weights, const Batch& batch,
                               const Objective& objective, const std::vector<int64_t>& targets,
                               size_t begin, size_t end, const Backward* backward,
                               BatchMetrics& metrics, Device& device) {
  const int64_t loops = trunk_.loops();
  const int64_t width = config_.hidden_size;
  const auto count = static_cast<int64_t>(end - begin);
  const int64_t first = metrics.first_loop;
  const auto row_bytes = static_cast<size_t>(width) * sizeof(float);

  // Rows (loop, token) for the loops whose loss is wanted.
  const int64_t rows = (loops - first) * count;
  for (int64_t t = first; t < loops; ++t) {
    for (int64_t i = 0; i < count; ++i) {
      const int64_t token = targets[begin + static_cast<size_t>(i)];
      const int64_t row = (t - first) * count + i;
      std::memcpy(chunk_states_.data() + row * width, trunk_.state(t) + token * width, row_bytes);
      chunk_targets_[static_cast<size_t>(row)] = batch.targets[static_cast<size_t>(token)];
    }
  }
  const HeadLossParams head = {
      chunk_states_.data(),  rows,           width,       &weights.head(),
      chunk_targets_.data(), logits_.data(), nll_.data(), summaries_.data()};
  head_loss_forward(head, device);

  const auto n = static_cast<size_t>(loops);
  std::vector<float> nll(n), gate(n), dnll(n), dgate(n);
  const double scale = backward == nullptr ? 0 : backward->scale;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t token = targets[begin + static_cast<size_t>(i)];
    for (int64_t t = 0; t < loops; ++t) {
      const auto at = static_cast<size_t>(t);
      gate[at] = gate_logits_[static_cast<size_t>(t * trunk_.rows() + token)];
      if (t < first) continue;
      const auto row = static_cast<size_t>((t - first) * count + i);
      nll[at] = nll_[row];
      metrics.nll[at] += static_cast<double>(nll_[row]);
      metrics.entropy[at] += summaries_[row].entropy;
      metrics.right[at] += summaries_[row].best == chunk_targets_[row] ? 1 : 0;
    }
    metrics.loss += objective.evaluate({nll, gate, dnll, dgate});
    std::vector<double> log_p(n);
    exit_log_probabilities(gate, log_p);
    if (!config_.exit_gate) {
      metrics.exit.back() += 1;
      log_p.clear();
    }
    for (size_t t = 0; t < log_p.size(); ++t) {
      const double p = std::exp(log_p[t]);
      metrics.exit[t] += p;
      metrics.exit_entropy -= p > 0 ? p * log_p[t] : 0;
    }
    if (backward == nullptr) continue;
    for (int64_t t = 0; t < loops; ++t) {
      const auto at = static_cast<size_t>(t);
      gate_gradients_[static_cast<size_t>(t * trunk_.rows() + token)] =
          static_cast<float>(scale * static_cast<double>(dgate[at]));
      if (t >= first) {
        scale_[static_cast<size_t>((t - first) * count + i)] =
            static_cast<float>(scale * static_cast<double>(dnll[at]));
      }
    }
  }
  metrics.tokens += count;
  if (backward == nullptr || !backward->trunk) return;

  const char* head_name = config_.tie_embeddings ? kEmbeddingName : kHeadName;
  head_loss_backward({head, scale_.data(), &backward->weights->head(), chunk_gradients_.data(),
                      backward->gradients->find(head_name)},
                     device);
  for (int64_t t = first; t < loops; ++t) {
    for (int64_t i = 0; i < count; ++i) {
      const int64_t token = targets[begin + static_cast<size_t>(i)];
      std::memcpy(trunk_.state_gradient(t) + token * width,
                  chunk_gradients_.data() + ((t - first) * count + i) * width, row_bytes);
    }
  }
}

}  // namespace looplm
