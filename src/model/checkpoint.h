// Checkpoints: directories with config.json, the weights in safetensors, and tokenizer files; and
// GGUF files.
#ifndef LOOPLM_MODEL_CHECKPOINT_H_
#define LOOPLM_MODEL_CHECKPOINT_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "looplm/config.h"
#include "looplm/status.h"

#include "base/thread_pool.h"
#include "model/gguf.h"
#include "model/parameters.h"
#include "model/safetensors.h"
#include "model/safetensors_writer.h"
#include "tensor/buffer.h"
#include "tensor/tensor.h"

namespace looplm {

struct Checkpoint {
  std::string directory;  // or the GGUF file's path
  ModelConfig config;
  std::vector<ParameterSpec> specs;       // parameter_specs(config)
  std::vector<TensorView> tensors;        // of each spec; dtypes may differ
  std::vector<std::string> stored_types;  // of each spec, as its file says: "BF16", "Q4_K"
  std::vector<std::string> notes;         // what the files lack, in sentences for the user
  // The tokenizer in a GGUF file, as a tokenizer.json; empty where one lies beside the file, and of
  // directories. tokenizer_status: why looplm does not read the one that the file has.
  std::string tokenizer_json;
  Status tokenizer_status;

  Safetensors weights;  // of a GGUF model: the file with its gate, if there is one
  std::optional<GgufFile> gguf;
  std::vector<Buffer<std::byte>> converted;  // tensors that are not used as the GGUF file has them

  // The paths of the files that hold the weights.
  std::vector<std::string> files() const;
  // Call after reading much of these files that is not needed again soon; see MappedFile.
  void release_pages() const;
};

struct CheckpointOptions {
  // Safetensors (a file or a checkpoint directory) with the exit gate of a GGUF model. Empty: the
  // model's own, else the one in NAME.gate.safetensors beside NAME.gguf, else none.
  std::string gate_file{};
  // What the blocks of a GGUF file become: kF32, which says all that they say, or kBf16. Nothing:
  // kF32 where the file has F32 or F16 matrices too, else kBf16.
  std::optional<DType> block_dtype{};
  // Leaves tensors that would have to be converted without data.
  bool shapes_only = false;
  ThreadPool* pool = nullptr;  // for conversions; null: this thread alone
};

// Opens a directory or a GGUF file and checks that its weights are exactly the parameters that its
// config describes, each with that shape. Errors: a parameter that is missing, misshapen or of a
// type looplm does not read, and any tensor that is no parameter, except
//   - "lm_head.weight" in a model with tied embeddings if it is a copy of the embedding (some
//     programs write it; if it differed, dropping it would silently give another model),
//   - "...rotary_emb.inv_freq", a constant that old programs stored, and its like in GGUF files.
// Values are not looked at; see check_finite.
Result<Checkpoint> open_checkpoint(const std::string& path, const CheckpointOptions& options = {});

// The config alone, at the cost of headers.
Result<ModelConfig> read_checkpoint_config(const std::string& path,
                                           const CheckpointOptions& options = {});

// Where a model's tokenizer files are: the directory itself, or the one that its GGUF file is in.
std::string companion_directory(const std::string& path);

// An error that names the first tensor and index with a NaN or an infinity. Reads all weights, at
// the speed of memory or, the first time, of the disk.
Status check_finite(const Checkpoint& checkpoint, ThreadPool& pool);

// The tensors of an open checkpoint, which must outlive the function.
TensorSource checkpoint_source(const Checkpoint& checkpoint);

// Gives the values to be saved: sets out[i] to element first + i of
// parameter_specs(config)[parameter]. Called by several threads at once.
using ParameterFill = std::function<void(int64_t parameter, int64_t first, std::span<float> out)>;

// Reads an open checkpoint, for conversions. The checkpoint must outlive the function.
ParameterFill checkpoint_fill(const Checkpoint& checkpoint);

struct SaveOptions {
  DType dtype = DType::kBf16;  // kF32, or kBf16, rounded to nearest even
  // Directory or GGUF file of a model whose tokenizer files, generation_config.json and Python code
  // for Hugging Face (configuration_*.py, modeling_*.py) are copied, where it has them. Empty:
  // none.
  std::string companions_from;
  // Written as chat_template.jinja, in place of the companion of that name. Empty: as it comes.
  std::string chat_template;
  // What ends a turn of that template: config.json and generation_config.json name it among the
  // ends of a text, so that other programs stop there too. A generation_config.json that cannot be
  // read stays as it is (check_generation_config).
  std::optional<int64_t> end_of_turn{};
  uint64_t max_shard_bytes = WeightFilesWriter::kOneFile;
};

// Why the generation_config.json of a model's directory, or beside its GGUF file, cannot get an end
// of turn; OK also where there is none.
Status check_generation_config(const std::string& from, int64_t vocab_size);

// Writes a checkpoint that appears whole or not at all (see AtomicDirectory). An existing directory
// is replaced if it holds nothing but a checkpoint's files. config.json states options.dtype.
Status save_checkpoint(const std::string& directory, const ModelConfig& config,
                       const ParameterFill& fill, const SaveOptions& options, ThreadPool& pool);

// The same into an existing, empty directory and file by file: for callers that add files of their
// own before they commit an AtomicDirectory.
Status write_checkpoint_files(const std::string& directory, const ModelConfig& config,
                              const ParameterFill& fill, const SaveOptions& options,
                              ThreadPool& pool);

// Copies the tokenizer's and Hugging Face's files of a model. `from` is its directory or GGUF file;
// the tokenizer that is in a GGUF file becomes a tokenizer.json and a tokenizer_config.json.
Status copy_companions(const std::string& from, const std::string& to);

// Whether a model's directory may hold a file of this name that save_checkpoint or its like wrote.
bool is_checkpoint_file(const std::string& name);

}  // namespace looplm

#endif  // LOOPLM_MODEL_CHECKPOINT_H_
