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

// How weights are held in memory while running. Sums are fp32 in all.
enum class WeightType {
  kAsStored,  // F32 matrices run in fp32, all others in bf16
  kF32,
  kBf16,  // weights and the inputs of matrix products are rounded to bf16
  kInt8,  // matrices in int8 with a scale per row; the inputs of products in int8 too, with a scale
          // per 64 values
  kInt4,  // blocks' matrices in int4 with a scale and a minimum per 64 weights, the head in int8
};

struct ModelOptions {
  int threads = 0;  // 0: LOOPLM_THREADS, or all processors
  WeightType weights = WeightType::kAsStored;
  // Keys and values of earlier positions. Log-probabilities are those of training, bit for bit,
  // with fp32 alone.
  KvType kv = KvType::kBf16;
  // Safetensors with the exit gate of a GGUF model, whose converter leaves it out. Empty: the file
  // NAME.gate.safetensors beside NAME.gguf, if there is one.
  std::string gate_file{};
};

// Not for use by several threads at once.
class Model {
 public:
  // `path` is a directory with config.json and safetensors, or a GGUF file. Text is read by the
  // tokenizer.json there or beside the file, else by the GGUF file's own tokenizer. Fails on
  // missing or misshapen tensors and on values that are not finite.
  static Result<std::unique_ptr<Model>> load(const std::string& path,
                                             const ModelOptions& options = {});
  ~Model();

  const ModelConfig& config() const;
  // Null where there is none.
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
