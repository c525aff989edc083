// The weights that a run starts from: a checkpoint's, a caller's, or fresh ones.
#ifndef LOOPLM_TRAIN_START_WEIGHTS_H_
#define LOOPLM_TRAIN_START_WEIGHTS_H_

#include <memory>
#include <optional>
#include <string>

#include "looplm/config.h"
#include "looplm/status.h"
#include "looplm/tensor.h"
#include "looplm/tokenizer.h"

#include "kernels/device.h"
#include "model/checkpoint.h"
#include "model/parameter_set.h"
#include "model/weights.h"
#include "train/run_config.h"

namespace looplm {

// A model in memory. The tensors must stay as they are while a run uses them.
struct StartModel {
  ModelConfig config;
  TensorSource tensors;
};

struct StartOptions {
  const StartModel* given = nullptr;
  bool shapes_only = false;  // no values are looked at: for a plan
};

class StartWeights {
 public:
  // Takes what is given if there is any, else model.from, else fresh weights of model.config.
  // Values that are not finite are an error.
  static Result<StartWeights> open(const RunConfig::Model& model, const StartOptions& options,
                                   Device& device);

  const ModelConfig& config() const { return config_; }
  // How the start's matrices are stored.
  MatrixFormat format() const;
  // Copies the values of a set of this model's parameters.
  Status fill(ParameterSet& set);
  // The tensors of a start that does not change while this lives: of parameters that are frozen.
  const TensorSource& tensors();
  // The tensors that are at hand already; empty for a fresh model without frozen parts.
  const TensorSource& given_tensors() const { return tensors_; }
  // Over the values of all parameters but those in `trained`.
  Result<uint64_t> frozen_hash(const ParameterSet& trained);
  // Releases tensors that nobody will ask for again.
  void drop_tensors();
  // Of the files just read: a model in training works on copies.
  void release_pages() const;
  // The tokenizer that goes with the model; null where there is none.
  Result<std::unique_ptr<Tokenizer>> load_tokenizer() const;

 private:
  explicit StartWeights(const RunConfig::Model& model) : model_(model) {}

  RunConfig::Model model_;
  ModelConfig config_;
  // One of the three, the last once it is needed.
  std::unique_ptr<Checkpoint> checkpoint_;
  std::unique_ptr<ParameterSet> fresh_;
  TensorSource tensors_;
  std::string tokenizer_json_;  // of a GGUF file
};

}  // namespace looplm

#endif  // LOOPLM_TRAIN_START_WEIGHTS_H_
