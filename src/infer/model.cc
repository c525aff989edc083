#include "looplm/model.h"

#include <fmt/format.h>

#include "infer/parts.h"
#include "model/quantized_checkpoint.h"
#include "model/tokenizer_files.h"

namespace looplm {
namespace {

DType packed_type(WeightType wanted, const Checkpoint& checkpoint) {
  if (wanted == WeightType::kF32) return DType::kF32;
  if (wanted == WeightType::kBf16) return DType::kBf16;
  // Norms and the gate are fp32 in memory anyhow, and in the GGUF files of every type.
  for (size_t i = 0; i < checkpoint.specs.size(); ++i) {
    const ParameterRole role = checkpoint.specs[i].role;
    const bool matrix = role == ParameterRole::kEmbedding || role == ParameterRole::kHead ||
                        role == ParameterRole::kLinear;
    if (matrix && checkpoint.tensors[i].dtype == DType::kF32) return DType::kF32;
  }
  return DType::kBf16;
}

MatrixFormat matrix_format(WeightType wanted, const Checkpoint& checkpoint) {
  if (wanted == WeightType::kInt8) {
    return {DType::kBf16, BlockQuants::all(Quant::kInt8), Quant::kInt8};
  }
  if (wanted == WeightType::kInt4) {
    return {DType::kBf16, BlockQuants::all(Quant::kInt4), Quant::kInt8};
  }
  MatrixFormat format = {packed_type(wanted, checkpoint), {}, Quant::kNone};
  if (wanted != WeightType::kAsStored) return format;
  for (size_t i = 0; i < checkpoint.specs.size(); ++i) {
    const Quant stored = quant_of(checkpoint.tensors[i]);
    if (checkpoint.specs[i].role == ParameterRole::kLinear) {
      format.blocks.*stack_of(checkpoint.specs[i].name) = stored;
    }
    if (checkpoint.specs[i].role == ParameterRole::kHead) format.head = stored;
  }
  return format;
}

ParameterSource source_of(const Checkpoint& checkpoint) {
  return [&checkpoint](const std::string& name) -> Result<TensorView> {
    for (size_t i = 0; i < checkpoint.specs.size(); ++i) {
      if (checkpoint.specs[i].name == name) return checkpoint.tensors[i];
    }
    return not_found(fmt::format("no tensor '{}' in '{}'", name, checkpoint.directory));
  };
}

}  // namespace

Result<std::unique_ptr<Model>> Model::load(const std::string& path, const ModelOptions& options) {
  LOOPLM_ASSIGN_OR_RETURN(std::unique_ptr<Device> device, Device::create(options.threads));
  CheckpointOptions opening;
  opening.gate_file = options.gate_file;
  opening.pool = &device->pool();
  LOOPLM_ASSIGN_OR_RETURN(Checkpoint checkpoint, open_checkpoint(path, opening));
  LOOPLM_RETURN_IF_ERROR(check_finite(checkpoint, device->pool()));
  const MatrixFormat format = matrix_format(options.weights, checkpoint);
  LOOPLM_ASSIGN_OR_RETURN(
      ModelWeights weights,
      ModelWeights::load(checkpoint.config, source_of(checkpoint), format, *device));
  LOOPLM_ASSIGN_OR_RETURN(std::unique_ptr<Tokenizer> tokenizer, checkpoint_tokenizer(checkpoint));
  LOOPLM_ASSIGN_OR_RETURN(EndsOfText ends, find_ends_of_text(checkpoint, tokenizer.get()));
  const KvLayout layout = {checkpoint.config.kv_heads, checkpoint.config.head_dim, options.kv};
  std::unique_ptr<Parts> parts(new Parts{std::move(checkpoint), std::move(device),
                                         std::move(weights), std::move(tokenizer), std::move(ends),
                                         nullptr, PagePool(layout)});
  parts->runner = std::make_unique<PassRunner>(parts->weights, *parts->device);
  return std::unique_ptr<Model>(new Model(std::move(parts)));
}

Model::Model(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Model::~Model() = default;

const ModelConfig& Model::config() const { return parts_->config(); }
const Tokenizer* Model::tokenizer() const { return parts_->tokenizer.get(); }
const std::vector<EndOfText>& Model::ends_of_text() const { return parts_->ends.ends; }
const std::string& Model::directory() const { return parts_->checkpoint.directory; }

}  // namespace looplm
