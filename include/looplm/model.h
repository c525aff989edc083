// A model that is ready to run.
#ifndef LOOPLM_MODEL_H_
#define LOOPLM_MODEL_H_

#include <memory>
#include <string>

#include "looplm/config.h"
#include "looplm/kv_policy.h"
#include "looplm/status.h"
#include "looplm/tokenizer.h"

namespace looplm {

// How weights are held in memory while running. Sums are fp32 in both.
enum class WeightType {
  kAsStored,  // F32 matrices run in fp32, all others in bf16
  kF32,
  kBf16,  // weights and the inputs of matrix products are rounded to bf16
};

struct ModelOptions {
  int threads = 0;  // 0: LOOPLM_THREADS, or all processors
  WeightType weights = WeightType::kAsStored;
  KvType kv = KvType::kF32;  // keys and values of earlier positions
  // Safetensors with the exit gate of a GGUF model, whose converter leaves it out. Empty: the file
  // NAME.gate.safetensors beside NAME.gguf, if there is one.
  std::string gate_file{};
};

// Not for use by several threads at once.
class Model {
 public:
  // `path` is a directory with config.json and safetensors, or a GGUF file; tokenizer.json is there
  // or beside the file if text is wanted. Fails on missing or misshapen tensors and on values that
  // are not finite.
  static Result<std::unique_ptr<Model>> load(const std::string& path,
                                             const ModelOptions& options = {});
  ~Model();

  const ModelConfig& config() const;
  // Null where there is no tokenizer.json.
  const Tokenizer* tokenizer() const;
  // Or the GGUF file.
  const std::string& directory() const;

  // looplm's own view of the model.
  struct Parts;
  Parts& parts() { return *parts_; }

 private:
  explicit Model(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace looplm

#endif  // LOOPLM_MODEL_H_
