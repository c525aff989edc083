// Checkpoint directories: config.json, the weights in safetensors, and tokenizer files.
#ifndef LOOPLM_MODEL_CHECKPOINT_H_
#define LOOPLM_MODEL_CHECKPOINT_H_

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "looplm/config.h"
#include "looplm/status.h"

#include "base/thread_pool.h"
#include "model/parameters.h"
#include "model/safetensors.h"
#include "model/safetensors_writer.h"
#include "tensor/tensor.h"

namespace looplm {

struct Checkpoint {
  std::string directory;
  ModelConfig config;
  std::vector<ParameterSpec> specs;  // parameter_specs(config)
  std::vector<TensorView> tensors;   // of each spec, in `weights`; dtypes may differ
  Safetensors weights;
};

// Opens a directory and checks that its weights are exactly the parameters that its config.json
// describes, each with that shape. Errors: a parameter that is missing, misshapen or of a dtype
// looplm does not read, and any tensor that is no parameter, except
//   - "lm_head.weight" in a model with tied embeddings if it is a copy of the embedding (some
//     programs write it; if it differed, dropping it would silently give another model),
//   - "...rotary_emb.inv_freq", a constant that old programs stored.
// Values are not looked at; see check_finite.
Result<Checkpoint> open_checkpoint(const std::string& directory);

// An error that names the first tensor and index with a NaN or an infinity. Reads all weights, at
// the speed of memory or, the first time, of the disk.
Status check_finite(const Checkpoint& checkpoint, ThreadPool& pool);

// Gives the values to be saved: sets out[i] to element first + i of
// parameter_specs(config)[parameter]. Called by several threads at once.
using ParameterFill = std::function<void(int64_t parameter, int64_t first, std::span<float> out)>;

// Reads an open checkpoint, for conversions. The checkpoint must outlive the function.
ParameterFill checkpoint_fill(const Checkpoint& checkpoint);

struct SaveOptions {
  DType dtype = DType::kBf16;  // kF32, or kBf16, rounded to nearest even
  // Directory of a model whose tokenizer files, generation_config.json and Python code for Hugging
  // Face (configuration_*.py, modeling_*.py) are copied, where it has them. Empty: none.
  std::string companions_from;
  uint64_t max_shard_bytes = WeightFilesWriter::kOneFile;
};

// Writes a checkpoint that appears whole or not at all (see AtomicDirectory). An existing directory
// is replaced if it holds nothing but a checkpoint's files. config.json states options.dtype.
Status save_checkpoint(const std::string& directory, const ModelConfig& config,
                       const ParameterFill& fill, const SaveOptions& options, ThreadPool& pool);

// The same into an existing, empty directory and file by file: for callers that add files of their
// own before they commit an AtomicDirectory.
Status write_checkpoint_files(const std::string& directory, const ModelConfig& config,
                              const ParameterFill& fill, const SaveOptions& options,
                              ThreadPool& pool);

// Whether save_checkpoint may have written a file of this name.
bool is_checkpoint_file(const std::string& name);

}  // namespace looplm

#endif  // LOOPLM_MODEL_CHECKPOINT_H_
