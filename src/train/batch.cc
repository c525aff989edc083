#include "train/batch.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
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
  add_to(other.agrees, agrees);
  add_to(other.agrees_unmapped, agrees_unmapped);
  exit_entropy += other.exit_entropy;
  first_loop = other.first_loop;
  pairs += other.pairs;
  margin += other.margin;
  preferred += other.preferred;
}

BatchPass::BatchPass(const ModelConfig& config, const TrunkShape& shape, AdapterWeights* adapter,
                     const GuessMaps* guesses)
    : config_(config),
      trunk_(config, shape, adapter),
      guesses_(guesses),
      chunk_tokens_(tokens_per_chunk(config, shape)) {
  const auto rows = static_cast<size_t>(chunk_tokens_ * shape.loops);
  const auto all = static_cast<size_t>(shape.rows * shape.loops);
  gate_logits_.resize(all);
  chunk_states_ = Buffer<float>(rows * static_cast<size_t>(config.hidden_size));
  logits_ = Buffer<float>(rows * static_cast<size_t>(config.vocab_size));
  gate_gradients_.resize(all);
  if (shape.backward || guesses != nullptr) {
    chunk_gradients_ = Buffer<float>(rows * static_cast<size_t>(config.hidden_size));
  }
  if (guesses != nullptr) {
    unmapped_states_ =
        Buffer<float>(static_cast<size_t>(chunk_tokens_ * guesses->loops() * config.hidden_size));
  }
  chunk_targets_.resize(rows);
  for (auto* values : {&nll_, &scale_, &divergence_, &divergence_scale_}) values->resize(rows);
  for (auto* values : {&token_nll_, &token_gate_, &token_dnll_, &token_dgate_, &token_divergence_,
                       &token_ddivergence_}) {
    values->resize(static_cast<size_t>(shape.loops));
  }
  summaries_.resize(rows);
}

MemoryPlan BatchPass::plan(const ModelConfig& config, const TrunkShape& shape,
                           const Objective& objective, int threads) {
  MemoryPlan plan = Trunk::plan(config, shape);
  const int64_t tokens = tokens_per_chunk(config, shape);
  const int64_t rows = tokens * shape.loops;
  const auto bytes = [](int64_t floats) { return static_cast<uint64_t>(floats) * sizeof(float); };
  plan.add("logits of a chunk", bytes(rows * config.vocab_size), fmt::format("{} rows", rows));
  const int64_t copies = objective.trains_guesses() ? 3 : shape.backward ? 2 : 1;
  plan.add("states of a chunk", bytes(rows * config.hidden_size * copies));
  const uint64_t head = shape.backward
                            ? std::max(matmul_scratch_bytes(rows, config.vocab_size, threads),
                                       matmul_scratch_bytes(config.vocab_size, rows, threads))
                            : matmul_scratch_bytes(rows, config.hidden_size, threads);
  plan.add("scratch of products", Trunk::scratch_bytes(config, shape, threads) + head,
           fmt::format("{} threads", threads));
  plan.add("scratch of attention", Trunk::attention_scratch_bytes(config, shape, threads),
           fmt::format("{} threads, documents of {}", threads, shape.max_document));
  if (objective.teacher() == Teacher::kLastLoop) {
    plan.add("the teacher's words", bytes(tokens * config.vocab_size));
  }
  return plan;
}

BatchMetrics BatchPass::evaluate(const ModelWeights& weights, const Batch& batch,
                                 const Objective& objective, Device& device,
                                 std::span<const PairScores> reference) {
  return run({weights, batch, objective, nullptr, device, reference});
}

BatchMetrics BatchPass::train(const ModelWeights& weights, const BackwardWeights* backward_weights,
                              const Batch& batch, const Objective& objective, double scale,
                              ParameterSet& gradients, Device& device,
                              std::span<const PairScores> reference) {
  const Backward backward = {backward_weights, scale, &gradients, objective.trains_trunk()};
  return run({weights, batch, objective, &backward, device, reference});
}

std::vector<PairScores> BatchPass::score(const ModelWeights& weights, const Batch& batch,
                                         Device& device) {
  trunk_.forward(weights, batch.ids, batch.document_starts, device);
  const LastLoopObjective last;
  return score_pairs({weights, batch, last, nullptr, device});
}

template <typename Visit>
void BatchPass::for_chunks(const Batch& batch, Visit visit) const {
  std::vector<int64_t> learnt;
  for (int64_t r = 0; r < batch.rows(); ++r) {
    if (batch.targets[static_cast<size_t>(r)] != kIgnoredTarget) learnt.push_back(r);
  }
  for (Chunk rest = learnt; !rest.empty();) {
    const size_t count = std::min(rest.size(), static_cast<size_t>(chunk_tokens_));
    visit(rest.first(count));
    rest = rest.subspan(count);
  }
}

BatchMetrics BatchPass::run(Job job) {
  LOOPLM_CHECK(config_.exit_gate || !job.objective.needs_gate(), "{} needs an exit gate",
               job.objective.name());
  const Batch& batch = job.batch;
  trunk_.forward(job.weights, batch.ids, batch.document_starts, job.device);
  run_gate(job);
  BatchMetrics& metrics = job.metrics;
  metrics.first_loop = job.backward == nullptr ? 0 : job.objective.first_loop(trunk_.loops());
  for (auto* sums : {&metrics.nll, &metrics.entropy, &metrics.exit, &metrics.right}) {
    sums->assign(static_cast<size_t>(trunk_.loops()), 0.0);
  }
  if (guesses_ != nullptr) {
    const auto mapped = static_cast<size_t>(guesses_->loops());
    metrics.agrees.assign(mapped, 0.0);
    metrics.agrees_unmapped.assign(mapped, 0.0);
  }
  if (job.backward != nullptr) clear_gradients(job);
  if (job.objective.pairs() != nullptr) judge_pairs(job);

  // Only tokens with a target reach the head.
  for_chunks(batch, [&](Chunk chunk) { run_head(job, chunk); });
  if (job.backward == nullptr) return metrics;

  if (config_.exit_gate && guesses_ == nullptr) run_gate_backward(job);
  if (job.backward->trunk) {
    trunk_.backward(job.weights, *job.backward->weights, *job.backward->gradients, job.device);
  }
  return metrics;
}

std::vector<PairScores> BatchPass::score_pairs(const Job& job) {
  Job last = job;
  last.metrics.first_loop = trunk_.loops() - 1;
  std::vector<double> nll(static_cast<size_t>(job.batch.rows()), 0.0);
  for_chunks(job.batch, [&](Chunk chunk) {
    head_loss_forward(prepare_head(last, chunk), job.device);
    for (size_t i = 0; i < chunk.size(); ++i) {
      nll[static_cast<size_t>(chunk[i])] = static_cast<double>(nll_[i]);
    }
  });
  const std::vector<int64_t>& starts = job.batch.document_starts;
  const auto score = [&](int64_t document) {
    const auto at = static_cast<size_t>(document);
    double sum = 0;
    for (int64_t r = starts[at]; r < starts[at + 1]; ++r) sum -= nll[static_cast<size_t>(r)];
    return sum;
  };
  std::vector<PairScores> scores;
  for (const int64_t chosen : job.batch.pairs) scores.push_back({score(chosen), score(chosen + 1)});
  return scores;
}

void BatchPass::judge_pairs(Job& job) {
  const Batch& batch = job.batch;
  LOOPLM_CHECK(job.reference.size() == batch.pairs.size(), "{} references for {} pairs",
               job.reference.size(), batch.pairs.size());
  const std::vector<PairScores> scores = score_pairs(job);
  row_weights_.assign(static_cast<size_t>(batch.rows()), 0.0f);
  const auto weigh = [&](int64_t document, double weight) {
    const auto at = static_cast<size_t>(document);
    for (int64_t r = batch.document_starts[at]; r < batch.document_starts[at + 1]; ++r) {
      row_weights_[static_cast<size_t>(r)] = static_cast<float>(weight);
    }
  };
  for (size_t i = 0; i < scores.size(); ++i) {
    const PairLoss pair = job.objective.pairs()->compare(scores[i], job.reference[i]);
    // A score is minus the sum of its rows' nll.
    weigh(batch.pairs[i], -pair.derivative.chosen);
    weigh(batch.pairs[i] + 1, -pair.derivative.rejected);
    job.metrics.loss += pair.loss;
    job.metrics.margin += pair.margin;
    job.metrics.preferred += pair.margin > 0 ? 1 : 0;
    ++job.metrics.pairs;
  }
}

void BatchPass::clear_gradients(const Job& job) {
  std::fill(gate_gradients_.begin(), gate_gradients_.end(), 0.0f);
  if (!job.backward->trunk) return;
  for (int64_t t = 0; t < trunk_.loops(); ++t) {
    std::fill_n(trunk_.state_gradient(t), trunk_.rows() * config_.hidden_size, 0.0f);
  }
}

void BatchPass::run_gate(const Job& job) {
  if (!config_.exit_gate) return;
  for (int64_t t = 0; t < trunk_.loops(); ++t) {
    gate_forward({trunk_.state(t), job.weights.gate_weight(), job.weights.gate_bias(),
                  trunk_.rows(), config_.hidden_size, gate_logits_.data() + t * trunk_.rows()},
                 job.device);
  }
}

float* BatchPass::gradient_of(const Backward& backward, const char* name) {
  return backward.gradients->contains(name) ? backward.gradients->find(name) : nullptr;
}

void BatchPass::run_gate_backward(const Job& job) {
  const Backward& backward = *job.backward;
  for (int64_t t = 0; t < trunk_.loops(); ++t) {
    gate_backward(
        {gate_gradients_.data() + t * trunk_.rows(), trunk_.state(t), job.weights.gate_weight(),
         trunk_.rows(), config_.hidden_size, backward.trunk ? trunk_.state_gradient(t) : nullptr,
         gradient_of(backward, kGateWeightName), gradient_of(backward, kGateBiasName)},
        job.device);
  }
}

HeadLossParams BatchPass::prepare_head(const Job& job, Chunk chunk) {
  gather_states(job, chunk);
  return {.states = chunk_states_.data(),
          .rows = chunk_row(job, chunk, trunk_.loops(), 0),
          .width = config_.hidden_size,
          .head = &job.weights.head(),
          .targets = chunk_targets_.data(),
          .logits = logits_.data(),
          .nll = nll_.data(),
          .summary = summaries_.data()};
}

// Forward, losses, and the way back, for the loops whose loss is wanted.
void BatchPass::run_head(Job& job, Chunk chunk) {
  const HeadLossParams head = prepare_head(job, chunk);
  if (guesses_ != nullptr) {
    if (job.backward == nullptr) {
      head_loss_forward(head, job.device);
      count_agreement(job, chunk, job.metrics.agrees_unmapped);
    }
    map_states(job, chunk);
  }
  head_loss_forward(head, job.device);
  if (guesses_ != nullptr) count_agreement(job, chunk, job.metrics.agrees);
  TeacherParams teacher;
  if (job.objective.teacher() != Teacher::kNone) teacher = teach(job, chunk, head);
  const auto count = static_cast<int64_t>(chunk.size());
  for (int64_t i = 0; i < count; ++i) judge(job, chunk, i);
  job.metrics.tokens += count;
  if (job.backward == nullptr || !(job.backward->trunk || guesses_ != nullptr)) return;

  const char* head_name = config_.tie_embeddings ? kEmbeddingName : kHeadName;
  head_loss_backward({.forward = head,
                      .scale = scale_.data(),
                      .head_columns = job.backward->weights->head(),
                      .dstates = chunk_gradients_.data(),
                      .head_gradient = gradient_of(*job.backward, head_name),
                      .divergence_scale = teacher.teachers > 0 ? divergence_scale_.data() : nullptr,
                      .teacher = teacher},
                     job.device);
  if (guesses_ != nullptr) {
    run_guesses_backward(job, chunk);
  } else {
    scatter_gradients(job, chunk);
  }
}

TeacherParams BatchPass::teach(const Job& job, Chunk chunk, const HeadLossParams& head) {
  const auto count = static_cast<int64_t>(chunk.size());
  TeacherParams teacher;
  teacher.teachers = count;
  if (job.objective.teacher() == Teacher::kFile) {
    const std::vector<TopTokens>& all = job.batch.teachers;
    LOOPLM_CHECK(all.size() == job.batch.ids.size(), "teachers of {} rows, of {}", all.size(),
                 job.batch.ids.size());
    top_teachers_.clear();
    for (const int64_t row : chunk) top_teachers_.push_back(all[static_cast<size_t>(row)]);
    unnamed_log_sum_.resize(static_cast<size_t>(head.rows));
    teacher.top = top_teachers_.data();
    teacher.unnamed_log_sum = unnamed_log_sum_.data();
  } else {
    const int64_t vocabulary = config_.vocab_size, first = head.rows - count;
    if (teacher_.empty()) {
      teacher_ = Buffer<float>(static_cast<size_t>(chunk_tokens_ * vocabulary));
    }
    const LogitSummary* summary = head.summary + first;
    softmax_rows(head.logits + first * vocabulary, summary, count, vocabulary, teacher_.data(),
                 job.device);
    teacher_entropy_.clear();
    for (int64_t i = 0; i < count; ++i) teacher_entropy_.push_back(summary[i].entropy);
    teacher.probabilities = teacher_.data();
    teacher.entropy = teacher_entropy_.data();
  }
  teacher_divergence(head, teacher, divergence_.data(), job.device);
  return teacher;
}

void BatchPass::gather_states(const Job& job, Chunk chunk) {
  const int64_t width = config_.hidden_size;
  for (int64_t t = job.metrics.first_loop; t < trunk_.loops(); ++t) {
    for (size_t i = 0; i < chunk.size(); ++i) {
      const int64_t row = chunk_row(job, chunk, t, static_cast<int64_t>(i));
      std::copy_n(trunk_.state(t) + chunk[i] * width, width, chunk_states_.data() + row * width);
      chunk_targets_[static_cast<size_t>(row)] = job.batch.targets[static_cast<size_t>(chunk[i])];
    }
  }
}

void BatchPass::map_states(const Job& job, Chunk chunk) {
  const auto count = static_cast<int64_t>(chunk.size());
  const int64_t floats = count * config_.hidden_size;
  std::copy_n(chunk_states_.data(), guesses_->loops() * floats, unmapped_states_.data());
  for (int64_t t = 0; t < guesses_->loops(); ++t) {
    guesses_->forward(t, unmapped_states_.data() + t * floats, count,
                      chunk_states_.data() + t * floats, job.device);
  }
}

void BatchPass::count_agreement(const Job& job, Chunk chunk, std::vector<double>& agrees) const {
  const auto best = [&](int64_t t, size_t i) {
    return summaries_[static_cast<size_t>(chunk_row(job, chunk, t, static_cast<int64_t>(i)))].best;
  };
  for (size_t t = 0; t < agrees.size(); ++t) {
    for (size_t i = 0; i < chunk.size(); ++i) {
      const bool agreed = best(static_cast<int64_t>(t), i) == best(trunk_.loops() - 1, i);
      agrees[t] += agreed ? 1 : 0;
    }
  }
}

void BatchPass::judge(Job& job, Chunk chunk, int64_t i) {
  const int64_t first = job.metrics.first_loop;
  const int64_t token = chunk[static_cast<size_t>(i)];
  const auto gate_of = [&](int64_t t) { return static_cast<size_t>(t * trunk_.rows() + token); };
  BatchMetrics& metrics = job.metrics;
  for (int64_t t = 0; t < trunk_.loops(); ++t) {
    const auto at = static_cast<size_t>(t);
    token_gate_[at] = gate_logits_[gate_of(t)];
    token_nll_[at] = 0;
    if (t < first) continue;
    const auto row = static_cast<size_t>(chunk_row(job, chunk, t, i));
    token_nll_[at] = nll_[row];
    token_divergence_[at] = divergence_[row];
    metrics.nll[at] += static_cast<double>(nll_[row]);
    metrics.entropy[at] += summaries_[row].entropy;
    metrics.right[at] += summaries_[row].best == chunk_targets_[row] ? 1 : 0;
  }
  const bool of_pair = job.objective.pairs() != nullptr;
  const double loss = job.objective.evaluate(
      {token_nll_, token_gate_, token_dnll_, token_dgate_, token_divergence_, token_ddivergence_});
  metrics.loss += of_pair ? 0 : loss;
  count_exits(metrics);
  if (job.backward == nullptr) return;
  const double weight =
      of_pair ? static_cast<double>(row_weights_[static_cast<size_t>(token)]) : 1.0;
  const auto scaled = [&](float x) {
    return static_cast<float>(job.backward->scale * weight * static_cast<double>(x));
  };
  for (int64_t t = 0; t < trunk_.loops(); ++t) {
    const auto at = static_cast<size_t>(t);
    gate_gradients_[gate_of(t)] = scaled(token_dgate_[at]);
    if (t < first) continue;
    const auto row = static_cast<size_t>(chunk_row(job, chunk, t, i));
    scale_[row] = scaled(token_dnll_[at]);
    divergence_scale_[row] = scaled(token_ddivergence_[at]);
  }
}

void BatchPass::count_exits(BatchMetrics& metrics) const {
  if (!config_.exit_gate) {
    metrics.exit.back() += 1;
    return;
  }
  std::vector<double> log_p(token_gate_.size());
  exit_log_probabilities(token_gate_, log_p);
  for (size_t t = 0; t < log_p.size(); ++t) {
    const double p = std::exp(log_p[t]);
    metrics.exit[t] += p;
    metrics.exit_entropy -= p > 0 ? p * log_p[t] : 0;
  }
}

void BatchPass::scatter_gradients(const Job& job, Chunk chunk) {
  const int64_t width = config_.hidden_size;
  for (int64_t t = job.metrics.first_loop; t < trunk_.loops(); ++t) {
    for (size_t i = 0; i < chunk.size(); ++i) {
      const int64_t row = chunk_row(job, chunk, t, static_cast<int64_t>(i));
      std::copy_n(chunk_gradients_.data() + row * width, width,
                  trunk_.state_gradient(t) + chunk[i] * width);
    }
  }
}

void BatchPass::run_guesses_backward(const Job& job, Chunk chunk) {
  const auto count = static_cast<int64_t>(chunk.size());
  const int64_t floats = count * config_.hidden_size;
  for (int64_t t = 0; t < guesses_->loops(); ++t) {
    guesses_->backward(t, unmapped_states_.data() + t * floats, count,
                       chunk_gradients_.data() + t * floats, *job.backward->gradients, job.device);
  }
}

}  // namespace looplm
