#include "looplm/model.h"

#include <exception>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "infer/parts.h"
#include "infer/weight_format.h"
#include "model/adapter.h"
#include "model/checkpoint.h"
#include "model/end_of_text.h"
#include "model/guess_maps.h"
#include "model/quantized_checkpoint.h"
#include "model/tensor_read.h"
#include "model/tokenizer_files.h"

namespace looplm {
namespace {

// All parameters of a model as a source gave them, checked before any of them is used.
class GivenTensors {
 public:
  static Result<GivenTensors> take(const ModelConfig& config, const TensorSource& source,
                                   ThreadPool& pool) {
    if (source == nullptr) {
      return invalid_argument(
          "the source of tensors is an empty function; expected one that finds "
          "a tensor by its name");
    }
    GivenTensors given;
    given.specs_ = parameter_specs(config);
    for (const ParameterSpec& spec : given.specs_) {
      LOOPLM_ASSIGN_OR_RETURN(TensorView view, find(spec.name, source));
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

  MatrixFormat format(WeightType wanted) const { return weight_format(wanted, specs_, tensors_); }

 private:
  static Result<TensorView> find(const std::string& name, const TensorSource& source) {
    try {
      return source(name);
    } catch (const std::exception& x) {
      return internal_error(fmt::format("the source of tensor '{}' threw: {}", name, x.what()));
    }
  }

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

  std::vector<ParameterSpec> specs_;
  std::vector<TensorView> tensors_;
  std::unordered_map<std::string, size_t> places_;
};

std::vector<EndOfText> ends_of(const ModelSource& source) {
  if (!source.ends_of_text.empty()) return source.ends_of_text;
  std::vector<EndOfText> ends;
  for (const int64_t id : source.config.eos_token_ids) {
    ends.push_back({static_cast<int32_t>(id), {"config: eos_token_id"}});
  }
  return ends;
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
  const std::vector<EndOfText> ends = ends_of(source);
  for (const EndOfText& end : ends) {
    if (end.id >= 0 && end.id < source.config.vocab_size) continue;
    return invalid_argument(fmt::format("{}: token {} ends a text; expected 0 to {}", source.name,
                                        end.id, source.config.vocab_size - 1));
  }
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
                                         .ends = ends,
                                         .device = std::move(o.device),
                                         .weights = std::move(weights),
                                         .adapters = {},
                                         .guesses = nullptr,
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
  if (options.weights != WeightType::kAsStored) {
    opening.block_dtype = options.weights == WeightType::kF32 ? DType::kF32 : DType::kBf16;
  }
  opening.pool = &o.device->pool();
  LOOPLM_ASSIGN_OR_RETURN(const Checkpoint checkpoint, open_checkpoint(path, opening));
  ModelSource source;
  source.config = checkpoint.config;
  source.tensors = checkpoint_source(checkpoint);
  std::optional<AdaptedTensors> adapted;
  std::optional<Adapter> beside;
  std::optional<StoredGuesses> guesses;
  if (!options.adapter.empty()) {
    LOOPLM_ASSIGN_OR_RETURN(Adapter adapter, read_adapter(options.adapter, source.config));
    if (adapter.is_mergeable(checkpoint)) {
      LOOPLM_ASSIGN_OR_RETURN(adapted,
                              AdaptedTensors::create(checkpoint, adapter, o.device->pool()));
      source.tensors = adapted->source();
    } else {
      beside = std::move(adapter);
    }
  } else {
    LOOPLM_ASSIGN_OR_RETURN(guesses, read_guesses(path, source.config));
  }
  LOOPLM_ASSIGN_OR_RETURN(source.tokenizer, checkpoint_tokenizer(checkpoint));
  LOOPLM_ASSIGN_OR_RETURN(EndsOfText ends,
                          find_ends_of_text(checkpoint, source.tokenizer.get(), options.adapter));
  source.ends_of_text = std::move(ends.ends);
  source.name = path;
  LOOPLM_ASSIGN_OR_RETURN(std::unique_ptr<Model> model, create(source, o));
  Parts& parts = *model->parts_;
  parts.tokenizer_status = checkpoint.tokenizer_status;
  if (model->tokenizer() != nullptr) parts.stop_strings = std::move(ends.texts);
  if (guesses.has_value()) {
    parts.guesses = std::make_unique<GuessMaps>(source.config, guesses->dtype);
    parts.guesses->repack(guesses->values, *parts.device);
  }
  if (beside.has_value()) {
    parts.runner = std::make_unique<PassRunner>(parts.weights, *parts.device,
                                                &parts.place_adapter("", *beside));
  }
  return model;
}

AdapterWeights& Model::Parts::place_adapter(const std::string& adapter, const Adapter& from) {
  AdapterWeights& placed =
      adapters.try_emplace(adapter, config(), from.settings, AdapterUse::kForwardOnly)
          .first->second;
  placed.repack(from.values, *device);
  return placed;
}

Status Model::add_adapter(const std::string& name, const std::string& directory) {
  if (name.empty())
    return invalid_argument("an adapter's name is empty; expected the name that requests give");
  if (parts_->find_adapter(name) != nullptr) {
    return invalid_argument(fmt::format("two adapters are called '{}'", name));
  }
  LOOPLM_ASSIGN_OR_RETURN(const Adapter adapter, read_adapter(directory, config()));
  parts_->place_adapter(name, adapter);
  return {};
}

Model::Model(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Model::~Model() = default;

const ModelConfig& Model::config() const { return parts_->config(); }
const Tokenizer* Model::tokenizer() const { return parts_->tokenizer.get(); }
const std::vector<EndOfText>& Model::ends_of_text() const { return parts_->ends; }
const std::vector<std::string>& Model::stop_strings() const { return parts_->stop_strings; }
const std::string& Model::name() const { return parts_->name; }
const std::shared_ptr<Device>& Model::device() const { return parts_->device; }

Status Model::update_weights(const TensorSource& tensors) {
  Result<GivenTensors> given = GivenTensors::take(config(), tensors, parts_->device->pool());
  if (!given.ok()) return given.status().with_context(name());
  LOOPLM_RETURN_IF_ERROR(parts_->weights.update(given->source(), *parts_->device));
  parts_->weights_version.fetch_add(1, std::memory_order_relaxed);
  return {};
}

uint64_t Model::weights_version() const {
  return parts_->weights_version.load(std::memory_order_relaxed);
}

}  // namespace looplm
