// A model's weights in the form that the forward pass reads: matrices packed for the kernels,
// vectors in fp32.
#ifndef LOOPLM_MODEL_WEIGHTS_H_
#define LOOPLM_MODEL_WEIGHTS_H_

#include <cstdint>
#include <vector>

#include "looplm/config.h"
#include "looplm/status.h"

#include "kernels/kernels.h"
#include "model/block_quants.h"
#include "model/parameter_set.h"

namespace looplm {

// E hidden, Q = heads * head_dim, KV = kv_heads * head_dim, F feed-forward.
struct BlockWeights {
  const float* attention_norm = nullptr;         // (E)
  const float* attention_output_norm = nullptr;  // (E); null without sandwich norms
  const float* mlp_norm = nullptr;               // (E)
  const float* mlp_output_norm = nullptr;        // (E); null without sandwich norms
  PackedMatrix qkv;                              // terms E, columns Q + KV + KV
  PackedMatrix output;                           // terms Q, columns E
  PackedMatrix gate_up;                          // terms E, columns F + F
  PackedMatrix down;                             // terms F, columns E
};

// The same matrices with terms and columns exchanged, for gradients of inputs. Empty where the
// forward pass's matrix is in small integers and serves both ways.
struct BlockBackwardWeights {
  PackedMatrix qkv;      // terms Q + KV + KV, columns E
  PackedMatrix output;   // terms E, columns Q
  PackedMatrix gate_up;  // terms F + F, columns E
  PackedMatrix down;     // terms E, columns F
};

// How matrices are packed.
struct MatrixFormat {
  DType dtype = DType::kF32;  // kF32 or kBf16, where not quantised
  BlockQuants blocks;
  Quant head = Quant::kNone;
  bool widened = false;  // those that are quantised, to `dtype`

  bool operator==(const MatrixFormat&) const = default;
};
inline MatrixFormat float_format(DType dtype) { return {dtype, {}, Quant::kNone}; }
// All matrices in that kind of integers, but for a head in no less than int8.
MatrixFormat quantized_format(Quant quant);
// As the tensors are stored; their data is not looked at.
MatrixFormat stored_format(const std::vector<ParameterSpec>& specs,
                           const std::vector<TensorView>& tensors);

class ModelWeights {
 public:
  // Copies every parameter of `source`: matrices packed as `format` says, the embedding table as it
  // is there (F16 in fp32). Fails on a missing tensor and on a wrong shape.
  static Result<ModelWeights> load(const ModelConfig& config, const TensorSource& source,
                                   const MatrixFormat& format, Device& device);
  // Takes new values into loaded weights, in the types that they have. After an error of `source`
  // nothing has changed.
  Status update(const TensorSource& source, Device& device);

  // Weights over a set whose values change: its embedding, norms and gate are read from the set
  // directly, and repack() packs its matrices again. A set of a part of the parameters holds all of
  // a block's matrices or none; the others are frozen: asked of `frozen` and copied, here only.
  // Matrices that are trained are not quantised.
  static Result<ModelWeights> for_training(const ParameterSet& trained, const TensorSource& frozen,
                                           const ModelConfig& config, const MatrixFormat& format,
                                           Device& device);
  // The same of a set of all parameters.
  static ModelWeights for_training(const ParameterSet& parameters, const ModelConfig& config,
                                   DType dtype, Device& device);
  void repack(const ParameterSet& trained, Device& device);
  // What packed_bytes() of such weights will be.
  static uint64_t planned_packed_bytes(const ModelConfig& config, const MatrixFormat& format);

  const ModelConfig& config() const { return config_; }
  const MatrixFormat& format() const { return format_; }
  const BlockWeights& block(int64_t layer) const { return blocks_[static_cast<size_t>(layer)]; }
  const float* final_norm() const { return final_norm_; }
  const float* gate_weight() const { return gate_weight_; }  // null without a gate
  float gate_bias() const { return gate_bias_ == nullptr ? 0.0f : *gate_bias_; }
  const PackedMatrix& head() const { return head_; }          // terms E, columns V
  const TensorView& embedding() const { return embedding_; }  // (V, E)
  uint64_t packed_bytes() const;
  // The same of a model that would be loaded, from a file with its embedding table in that dtype.
  static uint64_t bytes(const ModelConfig& config, const MatrixFormat& format, DType embedding);
  // Bytes of matrices that one trip through the stack reads, and one read-out.
  uint64_t block_bytes() const;
  uint64_t head_bytes() const { return head_.bytes(); }

 private:
  ModelWeights(const ModelConfig& config, const MatrixFormat& format)
      : config_(config), format_(format) {}
  void allocate();
  void pack(const TensorSource& source, Device& device);
  void allocate_embedding(DType stored);

  ModelConfig config_;
  MatrixFormat format_;
  std::vector<BlockWeights> blocks_;
  // Norms and gate in the order of parameter_specs, and the embedding table: of a loaded model all,
  // of one in training those that are frozen.
  Buffer<float> vectors_;
  Buffer<std::byte> table_;
  const float* final_norm_ = nullptr;
  const float* gate_weight_ = nullptr;
  const float* gate_bias_ = nullptr;
  PackedMatrix head_;
  TensorView embedding_;
};

// What the backward pass needs besides.
class BackwardWeights {
 public:
  BackwardWeights(const ModelConfig& config, const MatrixFormat& format);
  // For gradients that go no further than through the head: no block.
  static BackwardWeights of_head(const ModelConfig& config, const MatrixFormat& format);
  static uint64_t planned_bytes(const ModelConfig& config, const MatrixFormat& format);
  static uint64_t planned_head_bytes(const ModelConfig& config, const MatrixFormat& format);
  void repack(const TensorSource& parameters, Device& device);

  const BlockBackwardWeights& block(int64_t layer) const {
    return blocks_[static_cast<size_t>(layer)];
  }
  // Terms V, columns E; null where the forward pass's head serves both ways.
  const PackedMatrix* head() const { return head_.empty() ? nullptr : &head_; }

 private:
  explicit BackwardWeights(const ModelConfig& config) : config_(config) {}

  ModelConfig config_;
  std::vector<BlockBackwardWeights> blocks_;
  PackedMatrix head_;
};

}  // namespace looplm

#endif  // LOOPLM_MODEL_WEIGHTS_H_
