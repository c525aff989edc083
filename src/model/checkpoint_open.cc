#include <algorithm>
#include <cstring>
#include <filesystem>
#include <set>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/directory.h"
#include "base/file.h"
#include "base/gguf_name.h"
#include "model/checkpoint.h"
#include "model/gguf_model.h"
#include "model/guess_maps.h"
#include "model/quantized_checkpoint.h"
#include "model/tensor_read.h"

namespace looplm {
namespace {

// A directory held open, so that its inode number cannot be given to another one meanwhile.
class HeldDirectory {
 public:
  explicit HeldDirectory(const std::string& path)
      : descriptor_(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)) {}
  HeldDirectory(const HeldDirectory&) = delete;
  HeldDirectory& operator=(const HeldDirectory&) = delete;
  ~HeldDirectory() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }

  // Whether the path still leads to it.
  bool is_at(const std::string& path) const {
    struct stat held {};
    struct stat now {};
    return descriptor_ >= 0 && ::fstat(descriptor_, &held) == 0 &&
           ::stat(path.c_str(), &now) == 0 && held.st_dev == now.st_dev &&
           held.st_ino == now.st_ino;
  }

 private:
  int descriptor_;
};

Status check_tied_head(const Checkpoint& checkpoint) {
  LOOPLM_ASSIGN_OR_RETURN(const TensorView head, checkpoint.weights.find(kHeadName));
  LOOPLM_ASSIGN_OR_RETURN(const TensorView embedding, checkpoint.weights.find(kEmbeddingName));
  if (head.dtype == embedding.dtype && head.shape == embedding.shape &&
      std::memcmp(head.data, embedding.data, head.bytes()) == 0) {
    return {};
  }
  return invalid_argument(
      fmt::format("'{}' differs from '{}', but config.json says 'tie_word_embeddings'", kHeadName,
                  kEmbeddingName));
}

Status check_unexpected(const Checkpoint& checkpoint) {
  std::set<std::string> expected;
  for (const ParameterSpec& spec : checkpoint.specs) expected.insert(spec.name);
  std::set<std::string> quantized;
  for (size_t i = 0; i < checkpoint.specs.size(); ++i) {
    if (is_quantized(checkpoint.tensors[i])) quantized.insert(checkpoint.specs[i].name);
  }
  for (const std::string& name : checkpoint.weights.names()) {
    if (expected.contains(name) || name.ends_with("rotary_emb.inv_freq")) continue;
    if (is_quantization_part(name) && quantized.contains(name.substr(0, name.rfind('.')))) continue;
    if (name == kHeadName) {
      LOOPLM_RETURN_IF_ERROR(check_tied_head(checkpoint));
      continue;
    }
    return invalid_argument(
        fmt::format("unexpected tensor '{}'; a model with this config.json has {} tensors and none "
                    "of that name",
                    name, checkpoint.specs.size()));
  }
  return {};
}

Status find_parameters(Checkpoint& checkpoint) {
  for (const ParameterSpec& spec : checkpoint.specs) {
    LOOPLM_ASSIGN_OR_RETURN(TensorView view, checkpoint.weights.find(spec.name));
    if (is_quantized(view)) {
      LOOPLM_RETURN_IF_ERROR(bind_quantized(checkpoint.weights, spec, view));
    }
    if (view.shape != spec.shape) {
      return invalid_argument(fmt::format("tensor '{}' is {}; expected {} from config.json",
                                          spec.name, shape_text(view.shape),
                                          shape_text(spec.shape)));
    }
    checkpoint.stored_types.push_back(!is_quantized(view)              ? dtype_name(view.dtype)
                                      : quant_of(view) == Quant::kInt4 ? "int4"
                                                                       : "int8");
    checkpoint.tensors.push_back(std::move(view));
  }
  return {};
}

// What else the directory may be taken for, in a word about where to go from there.
Status check_holds_model(const std::string& directory) {
  if (directory.empty()) {
    return invalid_argument("the model's path is empty; expected a directory or a GGUF file");
  }
  const auto holds = [&](const std::string& name) { return name_exists(directory + "/" + name); };
  if (holds("config.json")) return {};
  if (holds("adapter_config.json")) {
    return invalid_argument(fmt::format(
        "'{}' holds an adapter and no model; expected the model that it was trained beside, with "
        "the adapter in --lora",
        directory));
  }
  if (name_exists(guess_file(directory))) {
    return invalid_argument(
        fmt::format("'{}' holds guess maps and no model; expected the model that they were trained "
                    "for, with the file in its folder",
                    directory));
  }
  if (holds("model/config.json") || holds("model/adapter_config.json")) {
    return invalid_argument(
        fmt::format("'{0}' holds a run; expected its model, '{0}/model'", directory));
  }
  const Result<std::vector<std::string>> names = list_directory(directory);
  if (!names.ok()) return {};  // reading config.json says why
  const auto model_in = [&](const std::string& name) {
    const bool gguf = name.ends_with(".gguf") && file_exists(directory + "/" + name);
    if (gguf || holds(name + "/config.json")) return name;
    return holds(name + "/model/config.json") ? name + "/model" : std::string();  // a run's
  };
  std::string found;
  for (size_t i = 0; i < names.value().size() && found.empty(); ++i) {
    found = model_in(names.value()[i]);
  }
  return invalid_argument(fmt::format(
      "'{}' holds no config.json; expected a model's directory, or a GGUF file{}", directory,
      found.empty() ? "" : fmt::format(", such as '{}/{}'", directory, found)));
}

Result<Checkpoint> open_once(const std::string& directory) {
  Checkpoint checkpoint;
  checkpoint.directory = directory;
  LOOPLM_RETURN_IF_ERROR(check_holds_model(directory));
  LOOPLM_ASSIGN_OR_RETURN(checkpoint.config, read_model_config(directory));
  LOOPLM_ASSIGN_OR_RETURN(checkpoint.weights, Safetensors::open(directory));
  checkpoint.specs = parameter_specs(checkpoint.config);
  LOOPLM_RETURN_IF_ERROR(find_parameters(checkpoint).with_context(directory));
  LOOPLM_RETURN_IF_ERROR(check_unexpected(checkpoint).with_context(directory));
  return checkpoint;
}

Result<Checkpoint> open_directory(const std::string& directory) {
  constexpr int kAttempts = 10;
  for (int attempt = 1;; ++attempt) {
    const HeldDirectory held(directory);
    Result<Checkpoint> checkpoint = open_once(directory);
    // A training run may have put a newer checkpoint here between our opening of two files.
    if (held.is_at(directory) || attempt == kAttempts) return checkpoint;
  }
}

}  // namespace

std::vector<std::string> Checkpoint::files() const {
  std::vector<std::string> paths;
  if (gguf.has_value()) paths = gguf->paths();
  for (const std::string& path : weights.files()) paths.push_back(path);
  return paths;
}

void Checkpoint::release_pages() const {
  if (gguf.has_value()) gguf->release_pages();
  weights.release_pages();
}

Result<Checkpoint> open_checkpoint(const std::string& path, const CheckpointOptions& options) {
  if (is_gguf_model(path)) return open_gguf_checkpoint(path, options);
  if (!options.gate_file.empty()) {
    return invalid_argument(
        fmt::format("a gate file '{}' is given, but '{}' is not a GGUF file; a directory's weights "
                    "hold the gate themselves",
                    options.gate_file, path));
  }
  return open_directory(path);
}

Result<ModelConfig> read_checkpoint_config(const std::string& path,
                                           const CheckpointOptions& options) {
  if (!is_gguf_model(path)) {
    LOOPLM_RETURN_IF_ERROR(check_holds_model(path));
    return read_model_config(path);
  }
  CheckpointOptions of_header = options;
  of_header.shapes_only = true;
  LOOPLM_ASSIGN_OR_RETURN(const Checkpoint checkpoint, open_gguf_checkpoint(path, of_header));
  return checkpoint.config;
}

std::string companion_directory(const std::string& path) {
  if (!is_gguf_model(path)) return path;
  const std::string parent = std::filesystem::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

Status check_finite(const Checkpoint& checkpoint, ThreadPool& pool) {
  return check_finite(checkpoint.specs, checkpoint.tensors, pool)
      .with_context(checkpoint.directory);
}

TensorSource checkpoint_source(const Checkpoint& checkpoint) {
  return [&checkpoint](const std::string& name) -> Result<TensorView> {
    for (size_t i = 0; i < checkpoint.specs.size(); ++i) {
      if (checkpoint.specs[i].name == name) return checkpoint.tensors[i];
    }
    return not_found(fmt::format("no tensor '{}' in '{}'", name, checkpoint.directory));
  };
}

ParameterFill checkpoint_fill(const Checkpoint& checkpoint) {
  return [&checkpoint](int64_t parameter, int64_t first, std::span<float> out) {
    read_as_float(checkpoint.tensors[static_cast<size_t>(parameter)], first, out);
  };
}

}  // namespace looplm
