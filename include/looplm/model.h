// A model that is ready to run.
#ifndef LOOPLM_MODEL_H_
#define LOOPLM_MODEL_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "looplm/config.h"
#include "looplm/kv_policy.h"
#include "looplm/status.h"
#include "looplm/tensor.h"
#include "looplm/tokenizer.h"

namespace looplm {

// Threads, kernels and their scratch memory.
class Device;

// How weights are held in memory while running. Sums are fp32 in all.
enum class WeightType {
  kAsStored,  // fp32 where a matrix is stored as F32 or F16, else bf16; looplm's own integers as
              // they are; bf16 is an approximation of a GGUF file's blocks
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
  // A directory with an adapter in PEFT's layout (adapter_config.json, adapter_model.safetensors),
  // for everything that runs on the model and names no other. load() adds it to the matrices before
  // they take their type in memory. Beside matrices stored in small integers, and with an adapter
  // for each loop, it stays apart. Empty: none.
  std::string adapter{};
  // The device() of another model, to take turns with it on the same threads; `threads` is then
  // ignored. Null: a new device.
  std::shared_ptr<Device> device{};
};

// What a model is made of, wherever it comes from.
struct ModelSource {
  ModelConfig config;
  // Called once for each parameter of the config. looplm reads the memory that it returns only
  // until create() or update_weights() returns.
  TensorSource tensors;
  std::shared_ptr<const Tokenizer> tokenizer{};  // may be null
  // Tokens that end a text. Empty: the config's eos_token_ids. Model::load collects what
  // config.json, generation_config.json, tokenizer_config.json, the chat template and a GGUF file's
  // keys say.
  std::vector<EndOfText> ends_of_text{};
  std::string name = "model in memory";  // for messages and reports
};

// A model copies everything it reads while it runs, so files and sources may change or disappear
// once it is made. Only one thread at a time may use a model, or the models of one device.
class Model {
 public:
  // Fails on a tensor that is missing, misshapen or holds a value that is not finite.
  static Result<std::unique_ptr<Model>> create(const ModelSource& source,
                                               const ModelOptions& options = {});
  // The same from files. `path` is a directory with config.json and safetensors, or a GGUF file.
  // The tokenizer is the tokenizer.json in the directory or beside the GGUF file, else the one in
  // the GGUF file.
  static Result<std::unique_ptr<Model>> load(const std::string& path,
                                             const ModelOptions& options = {});
  ~Model();

  const ModelConfig& config() const;
  // Null where there is none.
  const Tokenizer* tokenizer() const;
  // The tokens at which generation stops unless GenerateOptions::ignore_eos says otherwise.
  const std::vector<EndOfText>& ends_of_text() const;
  // The texts before which it stops, under the same condition: generation_config.json's.
  const std::vector<std::string>& stop_strings() const;
  // The source's name, or the path loaded.
  const std::string& name() const;
  const std::shared_ptr<Device>& device() const;

  // Another adapter beside the same weights, for requests that name it (Request::adapter): its
  // products are added to those of the matrices, in fp32, as when it was trained. Call it
  // only between passes. Fails on a name that is empty or taken, and where `directory` has no
  // adapter for this model.
  Status add_adapter(const std::string& name, const std::string& directory);

  // Replaces the values of all weights, rounded to the types in which the model holds them. Call it
  // only between passes: no Engine may be in step(). After an error the model is unchanged.
  Status update_weights(const TensorSource& tensors);
  // Starts at 1 and rises with each update. Results of another version, such as the keys and values
  // of a prefix, do not fit this one.
  uint64_t weights_version() const;

  // looplm's own view of the model.
  struct Parts;
  Parts& parts() { return *parts_; }

 private:
  explicit Model(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace looplm

#endif  // LOOPLM_MODEL_H_
