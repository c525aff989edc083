#include "model/trunk.h"

#include <algorithm>
#include <limits>

#include "base/check.h"

namespace looplm {
namespace {

// Rows of a part: a product reads its matrix once for so many.
constexpr int64_t kPartRows = 256;
// A task of weights' gradients. A product prepares so many rows at a time.
constexpr int64_t kTaskRows = 528;
// What several blocks may keep, in all, before weights' gradients are made. With small models many
// blocks then share a parallel region, since each region waits for its slowest thread. A block of a
// large model keeps more than this by itself and has a region of its own.
constexpr int64_t kStageFloats = int64_t{8} << 20;

// Blocks of the backward pass that go together.
int64_t blocks_of_stage(const ModelConfig& config, const TrunkShape& s) {
  if (s.policy != MemoryPolicy::kKeepAll || s.frozen) return 1;
  const int64_t kept = BlockGradients::kept_floats(config, s.rows, s.operands, s.frozen);
  const int64_t blocks = (s.loops - s.first_backward_loop()) * config.layers;
  return std::clamp<int64_t>(kStageFloats / kept, 1, std::max<int64_t>(blocks, 1));
}

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
    scratch = BlockGradients::scratch_floats(config, s.rows, s.operands);
    kept_gradients = blocks_of_stage(config, s) *
                     BlockGradients::kept_floats(config, s.rows, s.operands, s.frozen);
  }
  int64_t states = 0;
  int64_t block_inputs = 0;
  int64_t activations = 0;
  int64_t operands = 0;
  int64_t inverse_rms = 0;
  int64_t state_gradients = 0;
  int64_t gradient = 0;
  int64_t scratch = 0;
  int64_t kept_gradients = 0;
};

Buffer<float> allocate(int64_t floats) { return Buffer<float>(static_cast<size_t>(floats)); }

}  // namespace

Trunk::Trunk(const ModelConfig& config, const TrunkShape& shape, AdapterWeights* adapter)
    : config_(config),
      shape_(shape),
      adapter_(adapter),
      state_floats_(shape.rows * config.hidden_size),
      rotary_(config.head_dim, config.rope_theta),
      activation_floats_(BlockActivations::floats(config, shape.rows)) {
  LOOPLM_CHECK(shape.rows > 0 && shape.loops > 0, "{} rows, {} loops", shape.rows, shape.loops);
  shape_.frozen = shape.frozen || adapter != nullptr;
  stage_blocks_ = blocks_of_stage(config, shape_);
  const Sizes sizes(config, shape_);
  states_ = allocate(sizes.states);
  block_inputs_ = allocate(sizes.block_inputs);
  activations_ = allocate(sizes.activations);
  operands_ = allocate(sizes.operands);
  inverse_rms_ = allocate(sizes.inverse_rms);
  state_gradients_ = allocate(sizes.state_gradients);
  gradient_ = allocate(sizes.gradient);
  scratch_ = allocate(sizes.scratch);
  kept_gradients_ = allocate(sizes.kept_gradients);
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
  add("block gradients", sizes.scratch + sizes.kept_gradients, "");
  return plan;
}

uint64_t Trunk::scratch_bytes(const ModelConfig& config, const TrunkShape& s, int threads) {
  const Widths w(config);
  const int64_t terms =
      std::max({w.qkv, w.hidden, s.backward ? 2 * w.feed_forward : w.feed_forward});
  if (s.frozen) return matmul_scratch_bytes(s.rows, terms, threads);  // they share each product
  size_t own = matmul_scratch_bytes(std::min(s.rows, kPartRows + s.max_document), terms, 1);
  if (s.backward) own = std::max(own, matmul_scratch_bytes(kTaskRows, s.rows, 1));
  return static_cast<uint64_t>(threads) * own;
}

uint64_t Trunk::attention_scratch_bytes(const ModelConfig& config, const TrunkShape& s,
                                        int threads) {
  AttentionParams p;
  p.head_dim = config.head_dim;
  p.operands = s.attention;
  return static_cast<uint64_t>(threads) * attention_backward_scratch_bytes(p, s.max_document);
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

void Trunk::cut_parts(std::span<const int64_t> document_starts, bool widened, Device& device) {
  const int64_t threads = device.pool().size();
  const int64_t rows = std::clamp(shape_.rows / (4 * threads), kNormSumRows, kPartRows);
  std::vector<size_t> borders = {0};  // of documents
  const size_t documents = document_starts.size() - 1;
  for (size_t d = 1; d < documents; ++d) {
    const int64_t row = document_starts[d];
    if (row % kNormSumRows == 0 && row < shape_.rows &&
        row - document_starts[borders.back()] >= rows) {
      borders.push_back(d);
    }
  }
  borders.push_back(documents);
  const auto rows_of = [&](size_t i) {
    return document_starts[borders[i + 1]] - document_starts[borders[i]];
  };
  // Whether threads that take one part after the other have about the same number of rows each. If
  // not, they share the rows of each operation.
  std::vector<int64_t> taken(static_cast<size_t>(threads), 0);
  for (size_t i = 0; i + 1 < borders.size(); ++i) {
    *std::min_element(taken.begin(), taken.end()) += rows_of(i);
  }
  const bool even =
      *std::max_element(taken.begin(), taken.end()) * threads * 10 <= shape_.rows * 11;
  // Small integers are widened for each product, so one product takes all rows.
  if (adapter_ != nullptr || widened || !even) borders = {0, documents};

  parts_.clear();
  for (size_t i = 0; i + 1 < borders.size(); ++i) {
    const int64_t first = document_starts[borders[i]];
    std::vector<int64_t> starts;
    for (size_t d = borders[i]; d <= borders[i + 1]; ++d) {
      starts.push_back(document_starts[d] - first);
      if (d > borders[i]) rotary_.grow(document_starts[d] - document_starts[d - 1], device);
    }
    parts_.push_back({first, rows_of(i),
                      PackedAttention(config_, rotary_, std::move(starts), shape_.attention)});
  }
}

template <typename Body>
void Trunk::for_parts(Device& device, Body body) {
  if (parts_.size() == 1) return body(parts_.front(), device);
  device.pool().parallel_for(static_cast<int64_t>(parts_.size()), [&](int64_t i, int thread) {
    body(parts_[static_cast<size_t>(i)], device.alone(thread));
  });
}

void Trunk::run_block(const ModelWeights& weights, Part& part, Place at, float* out,
                      Device& device) {
  const int64_t first = part.first * config_.hidden_size;
  block_forward(config_, weights.block(at.layer), at.layer, block_input(at.loop, at.layer) + first,
                activations(at.loop, at.layer).of_rows(config_, part.first, part.rows),
                part.attention, out, device, adapter(at.loop, at.layer));
}

void Trunk::forward(const ModelWeights& weights, std::span<const int32_t> ids,
                    std::span<const int64_t> document_starts, Device& device) {
  LOOPLM_CHECK(static_cast<int64_t>(ids.size()) == shape_.rows, "{} ids for {} rows", ids.size(),
               shape_.rows);
  ids_.assign(ids.begin(), ids.end());
  cut_parts(document_starts, weights.block(0).qkv.is_widened(), device);
  for_parts(device, [&](Part& part, Device& own) { forward_part(weights, part, own); });
}

void Trunk::forward_part(const ModelWeights& weights, Part& part, Device& device) {
  const int64_t width = config_.hidden_size, first = part.first * width;
  const TensorView& table = weights.embedding();
  embedding_forward(
      {ids_.data() + part.first, part.rows, width, table.data, table.dtype, states_.data() + first},
      device);
  for (int64_t loop = 0; loop < shape_.loops; ++loop) {
    for (int64_t layer = 0; layer < config_.layers; ++layer) {
      run_block(weights, part, {loop, layer}, block_input(loop, layer + 1) + first, device);
    }
    float* scales =
        shape_.backward ? inverse_rms_.data() + loop * shape_.rows + part.first : nullptr;
    rms_norm_forward({block_input(loop, config_.layers) + first, weights.final_norm(),
                      static_cast<float>(config_.rms_norm_eps), part.rows, width,
                      states_.data() + (loop + 1) * state_floats_ + first, scales},
                     device);
  }
}

BlockGradients Trunk::gradients_of(int64_t block, int64_t begin) {
  const int64_t floats =
      BlockGradients::kept_floats(config_, shape_.rows, shape_.operands, shape_.frozen);
  return BlockGradients::assign(config_, shape_.rows, shape_.operands, shape_.frozen,
                                scratch_.data(), kept_gradients_.data() + (block - begin) * floats);
}

void Trunk::start_backward_loop(const Backward& pass, Part& part, int64_t loop,
                                const BlockGradients& to, Device& device) {
  const int64_t width = config_.hidden_size, first = part.first * width;
  float* const gradient = gradient_.data() + first;
  // That of the state carried into the next loop: of h_t, or of x_{t,L} without norms between
  // loops.
  if (loop == shape_.loops - 1) std::fill_n(gradient, part.rows * width, 0.0f);
  float* const dstate = state_gradient(loop) + first;
  if (config_.norm_between_loops) add(gradient, part.rows * width, dstate, device);
  rms_norm_backward({.dy = dstate,
                     .x = block_input(loop, config_.layers) + first,
                     .weight = pass.weights.final_norm(),
                     .inverse_rms = inverse_rms_.data() + loop * shape_.rows + part.first,
                     .rows = part.rows,
                     .width = width,
                     .dx = gradient,
                     .accumulate = !config_.norm_between_loops,
                     .weight_sums = to.norm_sum(BlockGradients::kNormAfterLoop, width)},
                    device);
  if (shape_.policy != MemoryPolicy::kLoopInputs) return;
  for (int64_t layer = 0; layer + 1 < config_.layers; ++layer) {
    run_block(pass.weights, part, {loop, layer}, block_input(loop, layer + 1) + first, device);
  }
}

void Trunk::backward_part(const Backward& pass, Part& part, int64_t begin, int64_t end,
                          Device& device) {
  const int64_t first = part.first * config_.hidden_size;
  for (int64_t block = begin; block < end; ++block) {
    const Place at = place(block);
    const BlockGradients to = gradients_of(block, begin).from_row(config_, part.first);
    if (at.layer == config_.layers - 1) start_backward_loop(pass, part, at.loop, to, device);
    if (shape_.policy != MemoryPolicy::kKeepAll) {
      run_block(pass.weights, part, at, to.hidden, device);
    }
    block_backward(config_, pass.weights.block(at.layer), pass.backward_weights.block(at.layer),
                   block_input(at.loop, at.layer) + first,
                   activations(at.loop, at.layer).of_rows(config_, part.first, part.rows),
                   part.attention, to, gradient_.data() + first, device, adapter(at.loop, at.layer),
                   &pass.gradients);
  }
}

// Sums over rows of one weight follow one another in the order of blocks, so a task takes a
// weight's rows through all blocks of the stage.
void Trunk::add_weight_gradients(const Backward& pass, int64_t begin, int64_t end, Device& device) {
  struct Task {
    int64_t layer;
    size_t matrix;
    int64_t first;
    int64_t count;
  };
  constexpr size_t kNormsOfLayer = 4;  // in the place of a matrix
  std::vector<std::vector<int64_t>> blocks_of_layer(static_cast<size_t>(config_.layers));
  std::vector<BlockGradients> kept;
  for (int64_t block = begin; block < end; ++block) {
    blocks_of_layer[static_cast<size_t>(place(block).layer)].push_back(block);
    kept.push_back(gradients_of(block, begin));
  }
  const auto tasks_of = [&](int64_t rows) {
    std::vector<Task> tasks;
    for (int64_t layer = 0; layer < config_.layers; ++layer) {
      if (blocks_of_layer[static_cast<size_t>(layer)].empty()) continue;
      const auto matrices =
          weight_gradient_tasks(config_, kept.front(), pass.layers[static_cast<size_t>(layer)]);
      for (size_t m = 0; m < matrices.size(); ++m) {
        for (int64_t first = 0; first < matrices[m].out; first += rows) {
          tasks.push_back({layer, m, first, std::min(rows, matrices[m].out - first)});
        }
      }
      tasks.push_back({layer, kNormsOfLayer, 0, 0});
    }
    return tasks;
  };
  const DType dtype = pass.weights.block(0).qkv.dtype();
  const int64_t width = config_.hidden_size;
  float* const final_norm = pass.gradients.find(kFinalNormName);
  const auto run = [&](const Task& task, Device& own) {
    const BlockWeightGradients& g = pass.layers[static_cast<size_t>(task.layer)];
    for (const int64_t block : blocks_of_layer[static_cast<size_t>(task.layer)]) {
      const BlockGradients& from = kept[static_cast<size_t>(block - begin)];
      if (task.matrix != kNormsOfLayer) {
        add_weight_gradient(weight_gradient_tasks(config_, from, g)[task.matrix], task.first,
                            task.count, dtype, own);
        continue;
      }
      for (size_t norm = 0; norm < g.norms.size(); ++norm) {
        if (g.norms[norm] == nullptr) continue;
        add_norm_gradient(from, static_cast<BlockGradients::Norm>(norm), width, g.norms[norm], own);
      }
      if (task.layer == config_.layers - 1) {
        add_norm_gradient(from, BlockGradients::kNormAfterLoop, width, final_norm, own);
      }
    }
  };
  const std::vector<Task> tasks = tasks_of(kTaskRows);
  const auto count = static_cast<int64_t>(tasks.size());
  if (count < 4 * device.pool().size()) {  // too few: threads share each, a whole matrix
    for (const Task& task : tasks_of(std::numeric_limits<int64_t>::max() / 2)) run(task, device);
    return;
  }
  device.pool().parallel_for(count, [&](int64_t i, int thread) {
    run(tasks[static_cast<size_t>(i)], device.alone(thread));
  });
}

void Trunk::backward(const ModelWeights& weights, const BackwardWeights& backward_weights,
                     ParameterSet& gradients, Device& device) {
  LOOPLM_CHECK(shape_.backward);
  Backward pass = {weights, backward_weights, gradients, {}};
  for (int64_t layer = 0; !shape_.frozen && layer < config_.layers; ++layer) {
    pass.layers.push_back(BlockWeightGradients::of(gradients, config_, layer));
  }
  const int64_t first = shape_.first_backward_loop();
  const int64_t blocks = (shape_.loops - first) * config_.layers;
  for (int64_t begin = 0; begin < blocks; begin += stage_blocks_) {
    const int64_t end = std::min(begin + stage_blocks_, blocks);
    for_parts(device, [&](Part& part, Device& own) { backward_part(pass, part, begin, end, own); });
    if (!shape_.frozen) add_weight_gradients(pass, begin, end, device);
  }
  if (shape_.frozen || first > 0) return;
  embedding_backward({ids_.data(), shape_.rows, config_.hidden_size, gradient_.data(),
                      gradients.find(kEmbeddingName)},
                     device);
}

}  // namespace looplm
