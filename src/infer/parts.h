// What a public Model is made of.
#ifndef LOOPLM_INFER_PARTS_H_
#define LOOPLM_INFER_PARTS_H_

#include <memory>

#include "looplm/model.h"

#include "infer/pass.h"
#include "kernels/device.h"
#include "model/checkpoint.h"
#include "model/end_of_text.h"
#include "model/weights.h"

namespace looplm {

struct Model::Parts {
  Checkpoint checkpoint;  // keeps the embedding table's mapping alive
  std::unique_ptr<Device> device;
  ModelWeights weights;
  std::unique_ptr<Tokenizer> tokenizer;  // null when the model has none
  EndsOfText ends;
  std::unique_ptr<PassRunner> runner;
  PagePool pages;

  const ModelConfig& config() const { return checkpoint.config; }
};

}  // namespace looplm

#endif  // LOOPLM_INFER_PARTS_H_
