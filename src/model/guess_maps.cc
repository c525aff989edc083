#include "model/guess_maps.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/bf16.h"
#include "base/check.h"
#include "base/directory.h"
#include "base/file.h"
#include "base/gguf_name.h"
#include "model/atomic_directory.h"
#include "model/safetensors.h"
#include "model/safetensors_writer.h"
#include "model/tensor_read.h"

namespace looplm {
namespace {

constexpr const char* kGuessFile = "guess.safetensors";
constexpr int64_t kMappedRows = 64;       // per task
constexpr int64_t kGradientColumns = 64;  // of a bias, per task

std::string guess_weight_name(int64_t loop) { return fmt::format("guess.loop{}.weight", loop + 1); }
std::string guess_bias_name(int64_t loop) { return fmt::format("guess.loop{}.bias", loop + 1); }

Status check_guess(const ParameterSpec& spec, const TensorView& view) {
  if (view.dtype == DType::kU8) {
    return unsupported(fmt::format("'{}' is U8; expected F32, BF16 or F16", spec.name));
  }
  if (view.shape != spec.shape) {
    return invalid_argument(fmt::format("'{}' has shape {}; this model expects {}", spec.name,
                                        shape_text(view.shape), shape_text(spec.shape)));
  }
  return check_finite(spec.name, view);
}

Result<StoredGuesses> read_guess_file(const std::string& path, const ModelConfig& config) {
  LOOPLM_ASSIGN_OR_RETURN(const Safetensors file, Safetensors::open(path));
  StoredGuesses guesses{ParameterSet(guess_specs(config)), DType::kBf16};
  for (const std::string& name : file.names()) {
    if (guesses.values.contains(name)) continue;
    return invalid_argument(fmt::format(
        "{}: '{}' is not a guess map of this model, which has {} loops and a map for each but "
        "the last",
        path, name, config.loops));
  }
  for (const ParameterSpec& spec : guesses.values.specs()) {
    LOOPLM_ASSIGN_OR_RETURN(const TensorView view, file.find(spec.name));
    LOOPLM_RETURN_IF_ERROR(check_guess(spec, view).with_context(path));
    if (spec.shape.size() > 1 && view.dtype != DType::kBf16) guesses.dtype = DType::kF32;
  }
  LOOPLM_RETURN_IF_ERROR(
      guesses.values.load([&file](const std::string& name) { return file.find(name); }));
  return guesses;
}

}  // namespace

std::string guess_file(const std::string& model_path) {
  if (is_gguf_model(model_path)) return gguf_guess_file(model_path);
  return model_path + "/" + kGuessFile;
}

std::vector<ParameterSpec> guess_specs(const ModelConfig& config) {
  const int64_t width = config.hidden_size;
  std::vector<ParameterSpec> specs;
  for (int64_t loop = 0; loop + 1 < config.loops; ++loop) {
    specs.push_back({guess_weight_name(loop), {width, width}, ParameterRole::kLinear});
    // No role of a model's own parameters: like them, a bias does not decay.
    specs.push_back({guess_bias_name(loop), {width}, ParameterRole::kNorm});
  }
  return specs;
}

Result<std::optional<StoredGuesses>> read_guesses(const std::string& model_path,
                                                  const ModelConfig& config) {
  const std::string path = guess_file(model_path);
  if (!name_exists(path)) return std::optional<StoredGuesses>();
  LOOPLM_ASSIGN_OR_RETURN(StoredGuesses guesses, read_guess_file(path, config));
  return std::optional(std::move(guesses));
}

bool is_guess_file(const std::string& name) { return name == kGuessFile; }

Status save_guesses(const std::string& directory, const ParameterSet& values, DType dtype) {
  LOOPLM_CHECK(dtype == DType::kF32 || dtype == DType::kBf16, "maps are written as F32 or BF16");
  LOOPLM_ASSIGN_OR_RETURN(AtomicDirectory fresh, AtomicDirectory::create(directory, is_guess_file));
  std::vector<TensorDeclaration> entries;
  for (const ParameterSpec& spec : values.specs())
    entries.push_back({spec.name, dtype, spec.shape});
  LOOPLM_ASSIGN_OR_RETURN(SafetensorsWriter writer,
                          SafetensorsWriter::create(guess_file(fresh.path()), entries));
  if (dtype == DType::kF32) {
    LOOPLM_RETURN_IF_ERROR(writer.write(std::as_bytes(values.values())));
  } else {
    std::vector<Bf16> rounded;
    rounded.reserve(values.values().size());
    for (const float value : values.values()) rounded.push_back(to_bf16(value));
    LOOPLM_RETURN_IF_ERROR(writer.write(std::as_bytes(std::span(rounded))));
  }
  LOOPLM_RETURN_IF_ERROR(writer.commit());
  return fresh.commit();
}

Result<std::optional<AtomicFileWriter>> begin_guess_copy(const std::string& from_model,
                                                         const ModelConfig& config,
                                                         const std::string& to) {
  LOOPLM_ASSIGN_OR_RETURN(const std::optional<StoredGuesses> guesses,
                          read_guesses(from_model, config));
  if (!guesses) return std::optional<AtomicFileWriter>();
  LOOPLM_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::open(guess_file(from_model)));
  LOOPLM_ASSIGN_OR_RETURN(AtomicFileWriter writer, AtomicFileWriter::create(to));
  LOOPLM_RETURN_IF_ERROR(writer.write(file.text()));
  LOOPLM_RETURN_IF_ERROR(writer.sync());
  return std::optional(std::move(writer));
}

Result<bool> copy_guesses(const std::string& from_model, const ModelConfig& config,
                          const std::string& model_path) {
  LOOPLM_ASSIGN_OR_RETURN(std::optional<AtomicFileWriter> copy,
                          begin_guess_copy(from_model, config, guess_file(model_path)));
  if (copy) LOOPLM_RETURN_IF_ERROR(copy->commit());
  return copy.has_value();
}

GuessMaps::GuessMaps(const ModelConfig& config, DType dtype) : width_(config.hidden_size) {
  for (int64_t loop = 0; loop + 1 < config.loops; ++loop) {
    maps_.push_back({guess_weight_name(loop), guess_bias_name(loop),
                     PackedMatrix(width_, width_, dtype),
                     std::vector<float>(static_cast<size_t>(width_))});
  }
}

uint64_t GuessMaps::planned_bytes(const ModelConfig& config, DType dtype) {
  return static_cast<uint64_t>(config.loops - 1) *
         PackedMatrix::packed_bytes(config.hidden_size, config.hidden_size, dtype);
}

void GuessMaps::repack(const ParameterSet& values, Device& device) {
  for (Map& map : maps_) {
    const std::array<MatrixSource, 1> weight = {
        {{values.find(map.weight_name), DType::kF32, width_, width_, width_}}};
    pack_rows(weight, map.weight, device);
    std::copy_n(values.find(map.bias_name), width_, map.bias.begin());
  }
}

void GuessMaps::forward(int64_t loop, const float* states, int64_t rows, float* out,
                        Device& device) const {
  const Map& map = maps_[static_cast<size_t>(loop)];
  device.for_pieces(rows, kMappedRows, [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) {
      const float* from = states + r * width_;
      float* to = out + r * width_;
      for (int64_t i = 0; i < width_; ++i) to[i] = from[i] + map.bias[static_cast<size_t>(i)];
    }
  });
  MatmulParams product;
  product.a = states;
  product.a_row_stride = width_;
  product.rows = rows;
  product.b = &map.weight;
  product.c = out;
  product.c_row_stride = width_;
  product.accumulate = true;
  matmul(product, device);
}

void GuessMaps::apply(std::span<const int64_t> loops, float* states, Device& device) {
  const auto width = static_cast<size_t>(width_);
  for (int64_t loop = 0; loop < this->loops(); ++loop) {
    rows_.clear();
    for (size_t r = 0; r < loops.size(); ++r) {
      if (loops[r] == loop) rows_.push_back(r);
    }
    if (rows_.empty()) continue;
    const size_t count = rows_.size();
    states_.resize(std::max(states_.size(), 2 * count * width));
    float* const mapped = states_.data() + count * width;
    for (size_t i = 0; i < count; ++i) {
      std::copy_n(states + rows_[i] * width, width, states_.data() + i * width);
    }
    forward(loop, states_.data(), static_cast<int64_t>(count), mapped, device);
    for (size_t i = 0; i < count; ++i) {
      std::copy_n(mapped + i * width, width, states + rows_[i] * width);
    }
  }
}

void GuessMaps::backward(int64_t loop, const float* states, int64_t rows, const float* dout,
                         ParameterSet& gradients, Device& device) const {
  const Map& map = maps_[static_cast<size_t>(loop)];
  linear_weight_gradient({dout, width_, states, width_, rows, width_, width_, map.weight.dtype(),
                          gradients.find(map.weight_name)},
                         device);
  float* const bias = gradients.find(map.bias_name);
  device.for_pieces(width_, kGradientColumns, [&](int64_t begin, int64_t end, int) {
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t i = begin; i < end; ++i) bias[i] += dout[r * width_ + i];
    }
  });
}

}  // namespace looplm
