#include "model/trunk.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace looplm {
namespace {

// Floats of each buffer. The forward-only trunk keeps one block's intermediates and one running x.
struct Sizes {
  Sizes(const ModelConfig& config, const TrunkShape& s) {
    const int64_t state = s.rows * config.hidden_size;
    const int64_t block = BlockActivations::floats(config, s.rows);
    states = (s.loops + 1) * state;
    activations = block;
    operands = BlockActivations::operand_floats(config, s.rows, s.operands);
    if (!s.backward) {
      block_inputs = state;
      return;
    }
    const int64_t first = s.first_backward_loop(), kept = s.loops - first;
    const bool keep_loop_only = s.policy == MemoryPolicy::kLoopInputs;
    block_inputs = (keep_loop_only ? kept + config.layers - 1 : kept * config.layers) * state;
    if (first > 0) block_inputs += state;
    if (s.policy == MemoryPolicy::kKeepAll) activations = kept * config.layers * block;
    inverse_rms = s.loops * s.rows;
    state_gradients = s.loops * state;
    gradient = state;
    scratch = BlockGradients::floats(config, s.rows, s.operands);
  }
  int64_t states = 0;
  int64_t block_inputs = 0;
  int64_t activations = 0;
  int64_t operands = 0;
  int64_t inverse_rms = 0;
  int64_t state_gradients = 0;
  int64_t gradient = 0;
  int64_t scratch = 0;
};

Buffer<float> allocate(int64_t floats) { return Buffer<float>(static_cast<size_t>(floats)); }

}  // namespace

Trunk::Trunk(const ModelConfig& config, const TrunkShape& shape, AdapterWeights* adapter)
    : config_(config),
      shape_(shape),
      adapter_(adapter),
      state_floats_(shape.rows * config.hidden_size),
      attention_(config_),
      activation_floats_(BlockActivations::floats(config, shape.rows)) {
  LOOPLM_CHECK(shape.rows > 0 && shape.loops > 0, "{} rows, {} loops", shape.rows, shape.loops);
  const Sizes sizes(config, shape);
  states_ = allocate(sizes.states);
  block_inputs_ = allocate(sizes.block_inputs);
  activations_ = allocate(sizes.activations);
  operands_ = allocate(sizes.operands);
  inverse_rms_ = allocate(sizes.inverse_rms);
  state_gradients_ = allocate(sizes.state_gradients);
  gradient_ = allocate(sizes.gradient);
  scratch_ = allocate(sizes.scratch);
}

MemoryPlan Trunk::plan(const ModelConfig& config, const TrunkShape& shape) {
  const Sizes sizes(config, shape);
  MemoryPlan plan;
  const auto add = [&plan](const char* name, int64_t floats, std::string note) {
    if (floats > 0) {
      plan.add(name, static_cast<uint64_t>(floats) * sizeof(float), std::move(note));
    }
  };
  add("loop states", sizes.states, fmt::format("{} loops and the embedding", shape.loops));
  add("block inputs", sizes.block_inputs, name_of(kMemoryPolicyNames, shape.policy));
  add("block intermediates", sizes.activations, "");
  add("operands of products", sizes.operands, dtype_word(shape.operands));
  add("norm scales", sizes.inverse_rms, "");
  add("state gradients", sizes.state_gradients, "");
  add("residual gradient", sizes.gradient, "");
  add("block gradients", sizes.scratch, "");
  return plan;
}

float* Trunk::block_input(int64_t loop, int64_t layer) {
  const int64_t layers = config_.layers;
  if (layer == 0) {
    if (loop == 0 || config_.norm_between_loops) return states_.data() + loop * state_floats_;
    return block_input(loop - 1, layers);
  }
  // Loops without a backward pass work in place, in slot 0.
  const int64_t first = shape_.first_backward_loop();
  int64_t slot = 0;
  if (loop >= first) {
    slot = (loop - first) * layers + layer - 1;
    // The last output of every loop is kept; inputs within a loop share slots across loops.
    if (shape_.policy == MemoryPolicy::kLoopInputs) {
      slot = layer == layers ? loop - first : shape_.loops - first + layer - 1;
    }
    if (first > 0) ++slot;
  }
  return block_inputs_.data() + slot * state_floats_;
}

BlockActivations Trunk::activations(int64_t loop, int64_t layer) {
  const int64_t kept = loop - shape_.first_backward_loop();
  const bool keep = kept >= 0 && shape_.policy == MemoryPolicy::kKeepAll;
  const int64_t slot = keep ? kept * config_.layers + layer : 0;
  return BlockActivations::assign(config_, shape_.rows, shape_.operands,
                                  activations_.data() + slot * activation_floats_,
                                  operands_.data());
}

void Trunk::run_loop(const ModelWeights& weights, int64_t loop, Device& device) {
  for (int64_t layer = 0; layer < config_.layers; ++layer) {
    block_forward(config_, weights.block(layer), layer, block_input(loop, layer),
                  activations(loop, layer), attention_, block_input(loop, layer + 1), device,
                  adapter(loop, layer));
  }
}

void Trunk::forward(const ModelWeights& weights, std::span<const int32_t> ids,
                    std::span<const int64_t> document_starts, Device& device) {
  LOOPLM_CHECK(static_cast<int64_t>(ids.size()) == shape_.rows, "{} ids for {} rows", ids.size(),
               shape_.rows);
  ids_.assign(ids.begin(), ids.end());
  attention_.set_documents(document_starts, device);
  const TensorView& table = weights.embedding();
  embedding_forward(
      {ids_.data(), shape_.rows, config_.hidden_size, table.data, table.dtype, states_.data()},
      device);
  for (int64_t loop = 0; loop < shape_.loops; ++loop) {
    run_loop(weights, loop, device);
    float* scales = shape_.backward ? inverse_rms_.data() + loop * shape_.rows : nullptr;
    rms_norm_forward({block_input(loop, config_.layers), weights.final_norm(),
                      static_cast<float>(config_.rms_norm_eps), shape_.rows, config_.hidden_size,
                      states_.data() + (loop + 1) * state_floats_, scales},
                     device);
  }
}

void Trunk::backward(const ModelWeights& weights, const BackwardWeights& backward_weights,
                     ParameterSet& gradients, Device& device) {
  LOOPLM_CHECK(shape_.backward);
  const BlockGradients scratch =
      BlockGradients::assign(config_, shape_.rows, shape_.operands, scratch_.data());
  const bool frozen = adapter_ != nullptr;
  std::vector<BlockWeightGradients> weight_gradients(static_cast<size_t>(config_.layers));
  for (int64_t layer = 0; layer < config_.layers && !frozen; ++layer) {
    weight_gradients[static_cast<size_t>(layer)] =
        BlockWeightGradients::of(gradients, config_, layer);
  }
  float* final_norm_gradient = frozen ? nullptr : gradients.find(kFinalNormName);
  std::fill(gradient_.begin(), gradient_.end(), 0.0f);

  const int64_t first = shape_.first_backward_loop();
  for (int64_t loop = shape_.loops - 1; loop >= first; --loop) {
    // gradient_ is that of the state carried into the next loop: of h_t, or of x_{t,L} without
    // norms between loops.
    float* dstate = state_gradient(loop);
    if (config_.norm_between_loops) {
      add(gradient_.data(), state_floats_, dstate, device);
    }
    rms_norm_backward({dstate, block_input(loop, config_.layers), weights.final_norm(),
                       inverse_rms_.data() + loop * shape_.rows, shape_.rows, config_.hidden_size,
                       gradient_.data(), !config_.norm_between_loops, final_norm_gradient},
                      device);

    if (shape_.policy == MemoryPolicy::kLoopInputs) {
      for (int64_t layer = 0; layer + 1 < config_.layers; ++layer) {
        block_forward(config_, weights.block(layer), layer, block_input(loop, layer),
                      activations(loop, layer), attention_, block_input(loop, layer + 1), device,
                      adapter(loop, layer));
      }
    }
    for (int64_t layer = config_.layers - 1; layer >= 0; --layer) {
      const BlockActivations a = activations(loop, layer);
      const float* x = block_input(loop, layer);
      if (shape_.policy != MemoryPolicy::kKeepAll) {
        block_forward(config_, weights.block(layer), layer, x, a, attention_, scratch.hidden,
                      device, adapter(loop, layer));
      }
      block_backward(config_, weights.block(layer), backward_weights.block(layer), x, a, attention_,
                     scratch, weight_gradients[static_cast<size_t>(layer)], gradient_.data(),
                     device, adapter(loop, layer), &gradients);
    }
  }
  if (frozen || first > 0) return;
  embedding_backward({ids_.data(), shape_.rows, config_.hidden_size, gradient_.data(),
                      gradients.find(kEmbeddingName)},
                     device);
}

}  // namespace looplm
