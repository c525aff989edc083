#include "looplm/model.h"

#include <unordered_map>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/file.h"
#include "infer/parts.h"
#include "model/checkpoint.h"
#include "model/quantized_checkpoint.h"
#include "model/tensor_read.h"

namespace looplm {
namespace {

bool is_matrix(ParameterRole role) {
  return role == ParameterRole::kEmbedding || role == ParameterRole::kHead ||
         role == ParameterRole::kLinear;
}

// All parameters of a model as a source gave them, checked before any of them is used.
class GivenTensors {
 public:
  static Result<GivenTensors> take(const ModelConfig& config, const TensorSource& source,
                                   ThreadPool& pool) {
    GivenTensors given;
    given.specs_ = parameter_specs(config);
    for (const ParameterSpec& spec : given.specs_) {
      LOOPLM_ASSIGN_OR_RETURN(TensorView view, source(spec.name));
      LOOPLM_RETURN_IF_ERROR(check(spec, view));
      given.places_.emplace(spec.name, given.tensors_.size());
      given.tensors_.push_back(std::move(view));
    }
    LOOPLM_RETURN_IF_ERROR(check_finite(given.specs_, given.tensors_, pool));
    return given;
  }

  TensorSource source() const {
    return [this](const std::string& name) -> Result<TensorView> {
      return tensors_[places_.at(name)];
    };
  }

  MatrixFormat format(WeightType wanted) const {
    if (wanted == WeightType::kInt8) {
      return {DType::kBf16, BlockQuants::all(Quant::kInt8), Quant::kInt8};
    }
    if (wanted == WeightType::kInt4) {
      return {DType::kBf16, BlockQuants::all(Quant::kInt4), Quant::kInt8};
    }
    MatrixFormat format = {dtype(wanted), {}, Quant::kNone};
    if (wanted != WeightType::kAsStored) return format;
    for (size_t i = 0; i < specs_.size(); ++i) {
      const Quant stored = quant_of(tensors_[i]);
      if (specs_[i].role == ParameterRole::kLinear) {
        format.blocks.*stack_of(specs_[i].name) = stored;
      }
      if (specs_[i].role == ParameterRole::kHead) format.head = stored;
    }
    return format;
  }

 private:
  static Status check(const ParameterSpec& spec, const TensorView& view) {
    if (view.shape != spec.shape) {
      return invalid_argument(fmt::format("tensor '{}' has shape {}; the config expects {}",
                                          spec.name, shape_text(view.shape),
                                          shape_text(spec.shape)));
    }
    if (view.data == nullptr || (is_quantized(view) && view.scales == nullptr)) {
      return invalid_argument(fmt::format("tensor '{}' is {}; expected F32, BF16 or F16 values",
                                          spec.name, view.data == nullptr ? "without data" : "U8"));
    }
    return {};
  }

  DType dtype(WeightType wanted) const {
    if (wanted == WeightType::kF32) return DType::kF32;
    if (wanted == WeightType::kBf16) return DType::kBf16;
    // Norms and the gate are fp32 in memory anyhow, and in the GGUF files of every type.
    for (size_t i = 0; i < specs_.size(); ++i) {
      if (is_matrix(specs_[i].role) && tensors_[i].dtype == DType::kF32) return DType::kF32;
    }
    return DType::kBf16;
  }

  std::vector<ParameterSpec> specs_;
  std::vector<TensorView> tensors_;
  std::unordered_map<std::string, size_t> places_;
};

Result<std::shared_ptr<const Tokenizer>> load_tokenizer(const std::string& path,
                                                        const std::string& in_file) {
  const std::string directory = companion_directory(path);
  std::unique_ptr<Tokenizer> tokenizer;
  if (file_exists(directory + "/tokenizer.json")) {
    LOOPLM_ASSIGN_OR_RETURN(tokenizer, Tokenizer::load(directory));
  } else if (!in_file.empty()) {
    LOOPLM_ASSIGN_OR_RETURN(tokenizer, Tokenizer::parse(in_file, path + ": tokenizer.ggml"));
  }
  return std::shared_ptr<const Tokenizer>(std::move(tokenizer));
}

// On the device of the options, or one that it puts there.
Status find_device(ModelOptions& options) {
  if (options.device != nullptr) return {};
  LOOPLM_ASSIGN_OR_RETURN(options.device, Device::create(options.threads));
  return {};
}

}  // namespace

Result<std::unique_ptr<Model>> Model::create(const ModelSource& source,
                                             const ModelOptions& options) {
  LOOPLM_RETURN_IF_ERROR(validate(source.config).with_context(source.name));
  ModelOptions o = options;
  LOOPLM_RETURN_IF_ERROR(find_device(o));
  Result<GivenTensors> given = GivenTensors::take(source.config, source.tensors, o.device->pool());
  if (!given.ok()) return given.status().with_context(source.name);
  LOOPLM_ASSIGN_OR_RETURN(
      ModelWeights weights,
      ModelWeights::load(source.config, given->source(), given->format(o.weights), *o.device));
  const KvLayout layout = {source.config.kv_heads, source.config.head_dim, o.kv};
  std::unique_ptr<Parts> parts(new Parts{.name = source.name,
                                         .tokenizer = source.tokenizer,
                                         .tokenizer_status = {},
                                         .device = std::move(o.device),
                                         .weights = std::move(weights),
                                         .pages = PagePool(layout),
                                         .runner = nullptr});
  parts->runner = std::make_unique<PassRunner>(parts->weights, *parts->device);
  return std::unique_ptr<Model>(new Model(std::move(parts)));
}

Result<std::unique_ptr<Model>> Model::load(const std::string& path, const ModelOptions& options) {
  ModelOptions o = options;
  LOOPLM_RETURN_IF_ERROR(find_device(o));
  CheckpointOptions opening;
  opening.gate_file = options.gate_file;
  opening.pool = &o.device->pool();
  LOOPLM_ASSIGN_OR_RETURN(const Checkpoint checkpoint, open_checkpoint(path, opening));
  ModelSource source;
  source.config = checkpoint.config;
  source.tensors = checkpoint_source(checkpoint);
  LOOPLM_ASSIGN_OR_RETURN(source.tokenizer, load_tokenizer(path, checkpoint.tokenizer_json));
  source.name = path;
  LOOPLM_ASSIGN_OR_RETURN(std::unique_ptr<Model> model, create(source, o));
  model->parts_->tokenizer_status = checkpoint.tokenizer_status;
  return model;
}

Model::Model(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Model::~Model() = default;

const ModelConfig& Model::config() const { return parts_->config(); }
const Tokenizer* Model::tokenizer() const { return parts_->tokenizer.get(); }
const std::string& Model::name() const { return parts_->name; }
const std::shared_ptr<Device>& Model::device() const { return parts_->device; }

Status Model::update_weights(const TensorSource& tensors) {
  Result<GivenTensors> given = GivenTensors::take(config(), tensors, parts_->device->pool());
  if (!given.ok()) return given.status().with_context(name());
  LOOPLM_RETURN_IF_ERROR(parts_->weights.update(given->source(), *parts_->device));
  ++parts_->weights_version;
  return {};
}

uint64_t Model::weights_version() const { return parts_->weights_version; }

}  // namespace looplm
