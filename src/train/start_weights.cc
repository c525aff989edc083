#include "train/start_weights.h"

#include <algorithm>
#include <span>
#include <vector>

#include <fmt/format.h>

#include "base/directory.h"
#include "base/file.h"
#include "base/hash.h"
#include "model/initialize.h"
#include "model/tensor_read.h"

namespace looplm {
namespace {

// Values of a parameter set as save_checkpoint's functions take them, in the set's order.
void fill_with(const ParameterFill& fill, ParameterSet& set) {
  for (size_t i = 0; i < set.specs().size(); ++i) {
    fill(static_cast<int64_t>(i), 0,
         {set.data() + set.offset(i), static_cast<size_t>(set.specs()[i].count())});
  }
}

Status check_given(const StartModel& given, ThreadPool& pool) {
  LOOPLM_RETURN_IF_ERROR(validate(given.config));
  const std::vector<ParameterSpec> specs = parameter_specs(given.config);
  std::vector<TensorView> views;
  for (const ParameterSpec& spec : specs) {
    LOOPLM_ASSIGN_OR_RETURN(TensorView view, given.tensors(spec.name));
    if (view.shape != spec.shape || view.data == nullptr) {
      return invalid_argument(fmt::format("tensor '{}' has shape {}; the config expects {}",
                                          spec.name, shape_text(view.shape),
                                          shape_text(spec.shape)));
    }
    views.push_back(std::move(view));
  }
  return check_finite(specs, views, pool);
}

uint64_t hash_values(uint64_t hash, const TensorView& view) {
  if (view.dtype != DType::kU8) return hash_words(hash, {view.data, view.bytes()});
  constexpr int64_t kChunk = 4096;
  std::vector<float> values;
  for (int64_t first = 0; first < view.count(); first += kChunk) {
    values.resize(static_cast<size_t>(std::min(kChunk, view.count() - first)));
    read_as_float(view, first, values);
    hash = hash_words(hash, std::as_bytes(std::span(values)));
  }
  return hash;
}

}  // namespace

Result<StartWeights> StartWeights::open(const RunConfig::Model& model, const StartOptions& options,
                                        Device& device) {
  StartWeights start(model);
  if (const StartModel* given = options.given; given != nullptr) {
    LOOPLM_RETURN_IF_ERROR(check_given(*given, device.pool()).with_context("the model given"));
    start.config_ = given->config;
    start.tensors_ = given->tensors;
  } else if (!model.from.empty()) {
    LOOPLM_ASSIGN_OR_RETURN(Checkpoint checkpoint,
                            open_checkpoint(model.from, {.block_dtype = DType::kF32,
                                                         .shapes_only = options.shapes_only,
                                                         .pool = &device.pool()}));
    if (!options.shapes_only) LOOPLM_RETURN_IF_ERROR(check_finite(checkpoint, device.pool()));
    checkpoint.release_pages();
    start.checkpoint_ = std::make_unique<Checkpoint>(std::move(checkpoint));
    start.config_ = start.checkpoint_->config;
    start.tokenizer_json_ = start.checkpoint_->tokenizer_json;
    start.tensors_ = checkpoint_source(*start.checkpoint_);
  } else {
    start.config_ = model.config;
  }
  return start;
}

Status StartWeights::fill(ParameterSet& set) {
  if (!tensors_ && set.specs().size() == parameter_specs(config_).size()) {
    fill_with(initial_fill(config_, model_.seed), set);
    return {};
  }
  return set.load(tensors());
}

const TensorSource& StartWeights::tensors() {
  if (!tensors_) {
    fresh_ = std::make_unique<ParameterSet>(config_);
    fill_with(initial_fill(config_, model_.seed), *fresh_);
    tensors_ = fresh_->source();
  }
  return tensors_;
}

MatrixFormat StartWeights::format() const {
  if (checkpoint_) return stored_format(checkpoint_->specs, checkpoint_->tensors);
  MatrixFormat format;
  if (!tensors_ || fresh_) return format;
  const std::vector<ParameterSpec> specs = parameter_specs(config_);
  std::vector<TensorView> views;
  for (const ParameterSpec& spec : specs) views.push_back(tensors_(spec.name).value());
  return stored_format(specs, views);
}

void StartWeights::drop_tensors() {
  tensors_ = {};
  checkpoint_.reset();
  fresh_.reset();
}

void StartWeights::release_pages() const {
  if (checkpoint_) checkpoint_->release_pages();
}

Result<uint64_t> StartWeights::frozen_hash(const ParameterSet& trained) {
  uint64_t hash = 1;
  for (const ParameterSpec& spec : parameter_specs(config_)) {
    if (trained.contains(spec.name)) continue;
    LOOPLM_ASSIGN_OR_RETURN(const TensorView view, tensors()(spec.name));
    hash = hash_values(hash, view);
  }
  return hash;
}

Result<std::unique_ptr<Tokenizer>> StartWeights::load_tokenizer() const {
  const std::string& path = model_.tokenizer.empty() ? model_.from : model_.tokenizer;
  if (path.empty()) return std::unique_ptr<Tokenizer>();
  const std::string directory = companion_directory(path);
  if (name_exists(directory + "/tokenizer.json")) return Tokenizer::load(directory);
  if (path == model_.from && !tokenizer_json_.empty()) {
    return Tokenizer::parse(tokenizer_json_, path);
  }
  if (!model_.tokenizer.empty() && !(path.ends_with(".gguf") && file_exists(path))) {
    return not_found(fmt::format("model.tokenizer is '{}'; it holds no tokenizer.json", path));
  }
  return std::unique_ptr<Tokenizer>();
}

}  // namespace looplm
