#include "model/gguf_model.h"

#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/directory.h"
#include "base/gguf_name.h"
#include "model/config_rules.h"
#include "model/gguf_convert.h"
#include "model/gguf_tokenizer.h"

namespace looplm {
namespace {

// Decides where the gate comes from: the file named, the model's own file, the file beside it.
Status find_gate(const std::string& path, const CheckpointOptions& options,
                 Checkpoint& checkpoint) {
  const std::string beside = gguf_gate_file(path);
  std::string gate = options.gate_file;
  if (gate.empty() && !checkpoint.config.exit_gate && name_exists(beside)) gate = beside;
  if (!gate.empty()) {
    LOOPLM_ASSIGN_OR_RETURN(checkpoint.weights, Safetensors::open(gate));
    checkpoint.config.exit_gate = true;
    return {};
  }
  const ModelFamily& family = *find_model_family(checkpoint.config.model_type);
  if (family.exit_gate && !checkpoint.config.exit_gate) {
    checkpoint.notes.push_back(fmt::format(
        "no exit gate: llama.cpp's converter leaves it out, and there is no '{}' with '{}' and "
        "'{}'; exits by the gate (q-exit) and the weighted read-out are not available",
        beside, kGateWeightName, kGateBiasName));
  }
  return {};
}

// Text is read by the tokenizer.json beside the file, else by what the file's own keys say.
Status find_tokenizer(const std::string& path, Checkpoint& checkpoint) {
  if (name_exists(companion_directory(path) + "/tokenizer.json")) return {};
  Result<std::string> json =
      gguf_tokenizer_json(checkpoint.gguf->metadata(), checkpoint.config.vocab_size);
  if (json.ok()) {
    checkpoint.tokenizer_json = std::move(json).value();
    return {};
  }
  if (json.status().code() != StatusCode::kUnsupported) return json.status();
  checkpoint.tokenizer_status = json.status();
  checkpoint.notes.push_back(
      fmt::format("no tokenizer: {}; a tokenizer.json beside the file would be read instead",
                  json.status().message()));
  return {};
}

Status check_shape(const std::string& name, const Shape& found, const Shape& expected) {
  if (found == expected) return {};
  return invalid_argument(fmt::format("tensor '{}' is {}; expected {} from the file's keys", name,
                                      shape_text(found), shape_text(expected)));
}

Status add_gate_tensor(const ParameterSpec& spec, Checkpoint& checkpoint) {
  LOOPLM_ASSIGN_OR_RETURN(TensorView view, checkpoint.weights.find(spec.name));
  if (view.dtype == DType::kU8) {
    return invalid_argument(
        fmt::format("gate tensor '{}' is U8; expected F32, BF16 or F16", spec.name));
  }
  LOOPLM_RETURN_IF_ERROR(
      check_shape(spec.name, view.shape, spec.shape)
          .with_context(fmt::format("gate file '{}'", checkpoint.weights.files()[0])));
  checkpoint.stored_types.push_back(dtype_name(view.dtype));
  checkpoint.tensors.push_back(std::move(view));
  return {};
}

Status add_tensor(const ParameterSpec& spec, DType block_dtype, Checkpoint& checkpoint,
                  std::vector<GgufConversion>& conversions) {
  const std::string name = gguf_tensor_name(spec.name);
  const GgufTensor* tensor = checkpoint.gguf->find(name);
  if (tensor == nullptr) return not_found(fmt::format("no tensor '{}'", name));
  LOOPLM_RETURN_IF_ERROR(check_shape(name, tensor->shape, spec.shape));
  const std::optional<DType> plain = plain_dtype(tensor->type);
  TensorView view{plain.value_or(block_dtype), tensor->shape, nullptr};
  const bool reordered = gguf_reorders(spec.name);
  if (plain.has_value() && !reordered) {
    view.data = checkpoint.gguf->data(*tensor);
  } else {
    const int64_t columns = tensor->shape.back();
    conversions.push_back({tensor, view.dtype, reordered ? checkpoint.config.head_dim : 0,
                           view.count() / columns, columns, nullptr});
  }
  checkpoint.stored_types.push_back(ggml_block(tensor->type).name);
  checkpoint.tensors.push_back(std::move(view));
  return {};
}

Status check_unexpected(const Checkpoint& checkpoint) {
  std::set<std::string> expected;
  for (const ParameterSpec& spec : checkpoint.specs) expected.insert(gguf_tensor_name(spec.name));
  // A gate that the file named by the options replaces.
  expected.insert({kGgufGateWeightName, kGgufGateBiasName});
  for (const GgufTensor& tensor : checkpoint.gguf->tensors()) {
    if (expected.contains(tensor.name)) continue;
    // A constant that old converters stored.
    if (tensor.name.ends_with("attn_rot_embd.weight")) continue;
    if (tensor.name == "rope_freqs.weight") {
      return unsupported(
          fmt::format("tensor '{}' scales RoPE's frequencies (as in Llama 3.1 and later); looplm "
                      "runs only plain RoPE",
                      tensor.name));
    }
    return unsupported(
        fmt::format("unexpected tensor '{}'; a model of architecture {} with these keys has {} "
                    "tensors and none of that name",
                    tensor.name, checkpoint.config.model_type, checkpoint.specs.size()));
  }
  return {};
}

// Buffers for what must be converted, and the views into them.
void allocate(Checkpoint& checkpoint, std::vector<GgufConversion>& conversions) {
  size_t next = 0;
  for (TensorView& view : checkpoint.tensors) {
    if (view.data != nullptr) continue;
    Buffer<std::byte>& buffer = checkpoint.converted.emplace_back(view.bytes());
    view.data = buffer.data();
    conversions[next++].to = buffer.data();
  }
}

Status fill(const std::string& path, const CheckpointOptions& options, Checkpoint& checkpoint) {
  LOOPLM_ASSIGN_OR_RETURN(checkpoint.config, gguf_model_config(*checkpoint.gguf));
  LOOPLM_RETURN_IF_ERROR(find_gate(path, options, checkpoint));
  LOOPLM_RETURN_IF_ERROR(find_tokenizer(path, checkpoint));
  checkpoint.specs = parameter_specs(checkpoint.config);
  std::vector<GgufConversion> conversions;
  const DType usual = checkpoint.config.dtype == "bfloat16" ? DType::kBf16 : DType::kF32;
  const DType block_dtype = options.block_dtype.value_or(usual);
  for (const ParameterSpec& spec : checkpoint.specs) {
    const bool beside = is_gate(spec) && !checkpoint.weights.files().empty();
    LOOPLM_RETURN_IF_ERROR(beside ? add_gate_tensor(spec, checkpoint)
                                  : add_tensor(spec, block_dtype, checkpoint, conversions));
  }
  LOOPLM_RETURN_IF_ERROR(check_unexpected(checkpoint));
  if (options.shapes_only) return {};
  allocate(checkpoint, conversions);
  convert_gguf_tensors(*checkpoint.gguf, conversions, options.pool);
  return {};
}

}  // namespace

bool gguf_reorders(const std::string& parameter) {
  return parameter.ends_with(kQueryName) || parameter.ends_with(kKeyName);
}

Result<Checkpoint> open_gguf_checkpoint(const std::string& path, const CheckpointOptions& options) {
  Checkpoint checkpoint;
  checkpoint.directory = path;
  LOOPLM_ASSIGN_OR_RETURN(checkpoint.gguf, GgufFile::open(path));
  const Status status = fill(path, options, checkpoint).with_context(path);
  if (!status.ok()) return status;
  return checkpoint;
}

}  // namespace looplm
