#include "model/weights.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/bf16.h"
#include "base/check.h"
#include "model/quantized_checkpoint.h"
#include "model/tensor_read.h"

namespace looplm {
namespace {

MatrixSource matrix(const TensorView& view) {
  return {view.data,     view.dtype,  view.shape[0], view.shape[1],
          view.shape[1], view.scales, view.minimums};
}

// A matrix that is stored in other integers than it will be kept in goes through floats.
class Widened {
 public:
  MatrixSource source(const TensorView& view, Quant wanted) {
    if (!is_quantized(view) || quant_of(view) == wanted) return matrix(view);
    Buffer<float> floats(static_cast<size_t>(view.count()));
    read_as_float(view, floats.span());
    buffers_.push_back(std::move(floats));
    return {buffers_.back().data(), DType::kF32, view.shape[0], view.shape[1], view.shape[1]};
  }

 private:
  std::vector<Buffer<float>> buffers_;
};

// Looks tensors up by name and remembers the first failure, so that a list of look-ups reads as
// one.
class Finder {
 public:
  Finder(const ModelConfig& config, const TensorSource& source) : source_(source) {
    for (ParameterSpec& spec : parameter_specs(config)) {
      shapes_.emplace(std::move(spec.name), std::move(spec.shape));
    }
  }

  TensorView find(const std::string& name) {
    Result<TensorView> found = source_(name);
    if (!found.ok()) {
      fail(found.status());
      return {};
    }
    const Shape& expected = shapes_.at(name);
    if (found->shape != expected) {
      fail(invalid_argument(fmt::format("tensor '{}' has shape {}; the config expects {}", name,
                                        shape_text(found->shape), shape_text(expected))));
      return {};
    }
    return *found;
  }
  TensorView find(int64_t layer, const char* name) {
    return find(layer_parameter_name(layer, name));
  }
  const Status& status() const { return status_; }

 private:
  void fail(Status status) {
    if (status_.ok()) status_ = std::move(status);
  }

  const TensorSource& source_;
  std::unordered_map<std::string, Shape> shapes_;
  Status status_;
};

// The matrices of one block, in the stacks that the forward pass multiplies by.
struct BlockTensors {
  std::array<TensorView, 3> qkv;
  std::array<TensorView, 1> output;
  std::array<TensorView, 2> gate_up;
  std::array<TensorView, 1> down;
};

BlockTensors find_block(Finder& finder, int64_t layer) {
  return {{finder.find(layer, kQueryName), finder.find(layer, kKeyName),
           finder.find(layer, kValueName)},
          {finder.find(layer, kOutputName)},
          {finder.find(layer, kGateProjectionName), finder.find(layer, kUpProjectionName)},
          {finder.find(layer, kDownProjectionName)}};
}

using PackFunction = void (*)(std::span<const MatrixSource>, PackedMatrix&, Device&);

// Nothing for a matrix that is not there.
template <size_t kCount>
void pack_stack(const std::array<TensorView, kCount>& tensors, PackFunction pack, PackedMatrix& out,
                Device& device) {
  if (out.empty()) return;
  std::array<MatrixSource, kCount> sources;
  Widened widened;
  const bool alike = std::all_of(tensors.begin(), tensors.end(), [&](const TensorView& tensor) {
    return quant_of(tensor) == out.quant();
  });
  for (size_t i = 0; i < kCount; ++i) {
    sources[i] = widened.source(tensors[i], alike ? out.quant() : Quant::kNone);
  }
  pack(sources, out, device);
}

template <typename Packed>
void pack_block(const BlockTensors& tensors, PackFunction pack, Packed& out, Device& device) {
  pack_stack(tensors.qkv, pack, out.qkv, device);
  pack_stack(tensors.output, pack, out.output, device);
  pack_stack(tensors.gate_up, pack, out.gate_up, device);
  pack_stack(tensors.down, pack, out.down, device);
}

const char* head_name(const ModelConfig& config) {
  return config.tie_embeddings ? kEmbeddingName : kHeadName;
}

bool is_vector(const ParameterSpec& spec) {
  return spec.role == ParameterRole::kNorm || is_gate(spec);
}

// Of an embedding table stored in `dtype`. Not F16, so that new values of any size fit.
DType held_embedding(DType dtype) { return dtype == DType::kBf16 ? DType::kBf16 : DType::kF32; }

// Copies elements, rounded where `to` is narrower.
void copy_elements(const TensorView& from, DType to, std::byte* out, Device& device) {
  constexpr int64_t kElements = int64_t{1} << 16;
  device.for_pieces(from.count(), kElements, [&](int64_t begin, int64_t end, int thread) {
    const auto count = static_cast<size_t>(end - begin);
    if (from.dtype == to) {
      const size_t size = dtype_size(to);
      const auto first = static_cast<size_t>(begin) * size;
      std::memcpy(out + first, from.data + first, count * size);
    } else if (to == DType::kF32) {
      read_as_float(from, begin, {reinterpret_cast<float*>(out) + begin, count});
    } else {
      float* floats = device.thread_scratch(thread, count);
      read_as_float(from, begin, {floats, count});
      std::transform(floats, floats + count, reinterpret_cast<Bf16*>(out) + begin, to_bf16);
    }
  });
}

}  // namespace

namespace {

struct MatrixShape {
  int64_t terms;
  int64_t columns;
  Quant quant;

  // For the backward pass; without a quant, since nothing is rounded that way round.
  MatrixShape turned() const { return {columns, terms, Quant::kNone}; }
};

struct BlockShapes {
  BlockShapes(const ModelConfig& c, const BlockQuants& quants)
      : qkv{c.hidden_size, c.query_size() + 2 * c.kv_size(), quants.qkv},
        output{c.query_size(), c.hidden_size, quants.output},
        gate_up{c.hidden_size, 2 * c.intermediate_size, quants.gate_up},
        down{c.intermediate_size, c.hidden_size, quants.down} {}

  MatrixShape qkv;
  MatrixShape output;
  MatrixShape gate_up;
  MatrixShape down;
};

MatrixShape head_shape(const ModelConfig& c, Quant quant) {
  return {c.hidden_size, c.vocab_size, quant};
}

PackedMatrix empty_matrix(const MatrixShape& s, const MatrixFormat& format) {
  if (s.quant == Quant::kNone) return PackedMatrix(s.terms, s.columns, format.dtype);
  return format.widened ? PackedMatrix(s.terms, s.columns, s.quant, format.dtype)
                        : PackedMatrix(s.terms, s.columns, s.quant);
}

// None where the forward pass's serves both ways.
PackedMatrix turned_matrix(const MatrixShape& s, const MatrixFormat& format) {
  return s.quant == Quant::kNone ? empty_matrix(s.turned(), format) : PackedMatrix();
}

uint64_t matrix_bytes(const MatrixShape& s, DType dtype) {
  return s.quant == Quant::kNone ? PackedMatrix::packed_bytes(s.terms, s.columns, dtype)
                                 : PackedMatrix::packed_bytes(s.terms, s.columns, s.quant);
}

}  // namespace

void ModelWeights::allocate() {
  const BlockShapes shapes(config_, format_.blocks);
  blocks_.resize(static_cast<size_t>(config_.layers));
  for (BlockWeights& block : blocks_) {
    block.qkv = empty_matrix(shapes.qkv, format_);
    block.output = empty_matrix(shapes.output, format_);
    block.gate_up = empty_matrix(shapes.gate_up, format_);
    block.down = empty_matrix(shapes.down, format_);
  }
  head_ = empty_matrix(head_shape(config_, format_.head), format_);
}

namespace {

// Points the norms and the gate at wherever `find` says they are.
template <typename Find>
void bind_vectors(const ModelConfig& config, Find find, std::vector<BlockWeights>& blocks,
                  const float*& final_norm, const float*& gate_weight, const float*& gate_bias) {
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    BlockWeights& block = blocks[static_cast<size_t>(layer)];
    const auto of = [&](const char* name) { return find(layer_parameter_name(layer, name)); };
    block.attention_norm = of(kAttentionNormName);
    block.mlp_norm = of(kMlpNormName);
    if (config.norm_placement == NormPlacement::kSandwich) {
      block.attention_output_norm = of(kAttentionOutputNormName);
      block.mlp_output_norm = of(kMlpOutputNormName);
    }
  }
  final_norm = find(kFinalNormName);
  if (config.exit_gate) {
    gate_weight = find(kGateWeightName);
    gate_bias = find(kGateBiasName);
  }
}

}  // namespace

Result<ModelWeights> ModelWeights::load(const ModelConfig& config, const TensorSource& source,
                                        const MatrixFormat& format, Device& device) {
  ModelWeights weights(config, format);
  weights.allocate();
  size_t total = 0;
  std::unordered_map<std::string, size_t> offsets;
  for (const ParameterSpec& spec : parameter_specs(config)) {
    if (!is_vector(spec)) continue;
    offsets[spec.name] = total;
    total += static_cast<size_t>(spec.count());
  }
  weights.vectors_ = Buffer<float>(total);
  bind_vectors(
      config, [&](const std::string& name) { return weights.vectors_.data() + offsets.at(name); },
      weights.blocks_, weights.final_norm_, weights.gate_weight_, weights.gate_bias_);
  LOOPLM_ASSIGN_OR_RETURN(const TensorView stored, source(kEmbeddingName));
  weights.allocate_embedding(stored.dtype);
  LOOPLM_RETURN_IF_ERROR(weights.update(source, device));
  return weights;
}

void ModelWeights::allocate_embedding(DType stored) {
  embedding_ = {held_embedding(stored), {config_.vocab_size, config_.hidden_size}};
  table_ = Buffer<std::byte>(embedding_.bytes());
  embedding_.data = table_.data();
}

Status ModelWeights::update(const TensorSource& source, Device& device) {
  LOOPLM_CHECK(!vectors_.empty(), "weights over a set are packed again by repack()");
  Finder finder(config_, source);
  const std::vector<ParameterSpec> specs = parameter_specs(config_);
  for (const ParameterSpec& spec : specs) finder.find(spec.name);
  LOOPLM_RETURN_IF_ERROR(finder.status());
  float* to = vectors_.data();
  for (const ParameterSpec& spec : specs) {
    if (!is_vector(spec)) continue;
    const auto count = static_cast<size_t>(spec.count());
    read_as_float(finder.find(spec.name), {to, count});
    to += count;
  }
  copy_elements(finder.find(kEmbeddingName), embedding_.dtype, table_.data(), device);
  pack(source, device);
  return {};
}

void ModelWeights::pack(const TensorSource& source, Device& device) {
  Finder finder(config_, source);
  pack_stack(std::array<TensorView, 1>{finder.find(head_name(config_))}, pack_rows, head_, device);
  for (int64_t layer = 0; layer < config_.layers; ++layer) {
    pack_block(find_block(finder, layer), pack_rows, blocks_[static_cast<size_t>(layer)], device);
  }
  LOOPLM_CHECK(finder.status().ok(), "{}", finder.status().message());
}

ModelWeights ModelWeights::for_training(const ParameterSet& parameters, const ModelConfig& config,
                                        DType dtype, Device& device) {
  const TensorSource none = [](const std::string& name) -> Result<TensorView> {
    return not_found(name);
  };
  return std::move(for_training(parameters, none, config, float_format(dtype), device)).value();
}

Result<ModelWeights> ModelWeights::for_training(const ParameterSet& trained,
                                                const TensorSource& frozen,
                                                const ModelConfig& config,
                                                const MatrixFormat& format, Device& device) {
  const TensorSource of_set = trained.source();
  const TensorSource all = [&](const std::string& name) {
    return trained.contains(name) ? of_set(name) : frozen(name);
  };
  ModelWeights weights(config, format);
  Finder finder(config, all);
  size_t copied = 0;  // floats
  std::unordered_map<std::string, size_t> offsets;
  for (const ParameterSpec& spec : parameter_specs(config)) {
    finder.find(spec.name);
    if (trained.contains(spec.name) || !is_vector(spec)) continue;
    offsets[spec.name] = copied;
    copied += static_cast<size_t>(spec.count());
  }
  LOOPLM_RETURN_IF_ERROR(finder.status());
  weights.allocate();
  weights.vectors_ = Buffer<float>(copied);
  for (const auto& [name, offset] : offsets) {
    const TensorView view = finder.find(name);
    read_as_float(view, {weights.vectors_.data() + offset, static_cast<size_t>(view.count())});
  }
  bind_vectors(
      config,
      [&](const std::string& name) {
        return trained.contains(name) ? trained.find(name)
                                      : weights.vectors_.data() + offsets.at(name);
      },
      weights.blocks_, weights.final_norm_, weights.gate_weight_, weights.gate_bias_);
  const TensorView embedding = finder.find(kEmbeddingName);
  if (trained.contains(kEmbeddingName)) {
    weights.embedding_ = embedding;
  } else {
    weights.allocate_embedding(embedding.dtype);
    copy_elements(embedding, weights.embedding_.dtype, weights.table_.data(), device);
  }
  weights.pack(all, device);
  return weights;
}

void ModelWeights::repack(const ParameterSet& trained, Device& device) {
  const TensorSource source = trained.source();
  Finder finder(config_, source);
  if (trained.contains(kEmbeddingName)) embedding_ = finder.find(kEmbeddingName);
  if (trained.contains(head_name(config_))) {
    pack_stack(std::array<TensorView, 1>{finder.find(head_name(config_))}, pack_rows, head_,
               device);
  }
  for (int64_t layer = 0; layer < config_.layers; ++layer) {
    if (!trained.contains(layer_parameter_name(layer, kQueryName))) continue;
    pack_block(find_block(finder, layer), pack_rows, blocks_[static_cast<size_t>(layer)], device);
  }
  LOOPLM_CHECK(finder.status().ok(), "{}", finder.status().message());
}

uint64_t ModelWeights::planned_packed_bytes(const ModelConfig& c, const MatrixFormat& format) {
  const BlockShapes shapes(c, format.blocks);
  uint64_t block = 0;
  for (const MatrixShape& s : {shapes.qkv, shapes.output, shapes.gate_up, shapes.down}) {
    block += matrix_bytes(s, format.dtype);
  }
  return static_cast<uint64_t>(c.layers) * block +
         matrix_bytes(head_shape(c, format.head), format.dtype);
}

uint64_t ModelWeights::bytes(const ModelConfig& config, const MatrixFormat& format,
                             DType embedding) {
  uint64_t total = planned_packed_bytes(config, format);
  for (const ParameterSpec& spec : parameter_specs(config)) {
    if (is_vector(spec)) total += static_cast<uint64_t>(spec.count()) * sizeof(float);
    if (spec.role == ParameterRole::kEmbedding) {
      total += static_cast<uint64_t>(spec.count()) * dtype_size(held_embedding(embedding));
    }
  }
  return total;
}

uint64_t ModelWeights::packed_bytes() const {
  return block_bytes() + head_.bytes() + vectors_.bytes() + table_.bytes();
}

uint64_t ModelWeights::block_bytes() const {
  uint64_t bytes = 0;
  for (const BlockWeights& b : blocks_) {
    bytes += b.qkv.bytes() + b.output.bytes() + b.gate_up.bytes() + b.down.bytes();
  }
  return bytes;
}

BackwardWeights BackwardWeights::of_head(const ModelConfig& config, const MatrixFormat& format) {
  BackwardWeights weights(config);
  weights.head_ = turned_matrix(head_shape(config, format.head), format);
  return weights;
}

BackwardWeights::BackwardWeights(const ModelConfig& config, const MatrixFormat& format)
    : BackwardWeights(of_head(config, format)) {
  const BlockShapes shapes(config, format.blocks);
  blocks_.resize(static_cast<size_t>(config.layers));
  for (BlockBackwardWeights& block : blocks_) {
    block.qkv = turned_matrix(shapes.qkv, format);
    block.output = turned_matrix(shapes.output, format);
    block.gate_up = turned_matrix(shapes.gate_up, format);
    block.down = turned_matrix(shapes.down, format);
  }
}

uint64_t BackwardWeights::planned_head_bytes(const ModelConfig& config,
                                             const MatrixFormat& format) {
  const MatrixShape head = head_shape(config, format.head);
  return head.quant == Quant::kNone ? matrix_bytes(head.turned(), format.dtype) : 0;
}

uint64_t BackwardWeights::planned_bytes(const ModelConfig& config, const MatrixFormat& format) {
  const auto bytes = [&](const MatrixShape& s) {
    return s.quant == Quant::kNone ? matrix_bytes(s.turned(), format.dtype) : 0;
  };
  const BlockShapes shapes(config, format.blocks);
  return static_cast<uint64_t>(config.layers) * (bytes(shapes.qkv) + bytes(shapes.output) +
                                                 bytes(shapes.gate_up) + bytes(shapes.down)) +
         planned_head_bytes(config, format);
}

void BackwardWeights::repack(const TensorSource& source, Device& device) {
  Finder finder(config_, source);
  pack_stack(std::array<TensorView, 1>{finder.find(head_name(config_))}, pack_columns, head_,
             device);
  for (size_t layer = 0; layer < blocks_.size(); ++layer) {
    pack_block(find_block(finder, static_cast<int64_t>(layer)), pack_columns, blocks_[layer],
               device);
  }
  LOOPLM_CHECK(finder.status().ok(), "{}", finder.status().message());
}

namespace {

// Norms and the gate are fp32 in memory anyhow, and in the GGUF files of every type. Half precision
// has three bits more than bf16.
DType stored_dtype(const std::vector<ParameterSpec>& specs,
                   const std::vector<TensorView>& tensors) {
  for (size_t i = 0; i < specs.size(); ++i) {
    const bool finer = tensors[i].dtype == DType::kF32 || tensors[i].dtype == DType::kF16;
    if (!is_vector(specs[i]) && finer) return DType::kF32;
  }
  return DType::kBf16;
}

}  // namespace

MatrixFormat quantized_format(Quant quant) {
  return {DType::kBf16, BlockQuants::all(quant), Quant::kInt8};
}

MatrixFormat stored_format(const std::vector<ParameterSpec>& specs,
                           const std::vector<TensorView>& tensors) {
  MatrixFormat format = {stored_dtype(specs, tensors), {}, Quant::kNone};
  for (size_t i = 0; i < specs.size(); ++i) {
    const Quant stored = quant_of(tensors[i]);
    if (specs[i].role == ParameterRole::kLinear) format.blocks.*stack_of(specs[i].name) = stored;
    if (specs[i].role == ParameterRole::kHead) format.head = stored;
  }
  return format;
}

}  // namespace looplm
