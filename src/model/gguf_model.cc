#include "model/gguf_model.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <set>

#include <fmt/format.h>

#include "base/bf16.h"
#include "base/check.h"
#include "model/config_rules.h"

namespace looplm {
namespace {

struct NamePair {
  const char* ours;
  const char* gguf;
};
// Where Hugging Face's Ouro says "post_attention_layernorm" it means the norm before the
// feed-forward part; the norms of what the two parts return have the suffix _2.
constexpr std::array<NamePair, 11> kBlockNames = {{
    {kAttentionNormName, "attn_norm.weight"},
    {kQueryName, "attn_q.weight"},
    {kKeyName, "attn_k.weight"},
    {kValueName, "attn_v.weight"},
    {kOutputName, "attn_output.weight"},
    {kAttentionOutputNormName, "post_attention_norm.weight"},
    {kMlpNormName, "ffn_norm.weight"},
    {kGateProjectionName, "ffn_gate.weight"},
    {kUpProjectionName, "ffn_up.weight"},
    {kDownProjectionName, "ffn_down.weight"},
    {kMlpOutputNormName, "post_ffw_norm.weight"},
}};
constexpr std::array<NamePair, 5> kModelNames = {{
    {kEmbeddingName, "token_embd.weight"},
    {kFinalNormName, "output_norm.weight"},
    {kGateWeightName, kGgufGateWeightName},
    {kGateBiasName, kGgufGateBiasName},
    {kHeadName, "output.weight"},
}};

constexpr std::string_view kLayerPrefix = "model.layers.";

bool is_gate(const ParameterSpec& spec) {
  return spec.role == ParameterRole::kGateWeight || spec.role == ParameterRole::kGateBias;
}

bool is_reordered(const std::string& parameter) {
  return parameter.ends_with(kQueryName) || parameter.ends_with(kKeyName);
}

// A tensor whose values must be changed into `to`.
struct Conversion {
  const GgufTensor* from;
  DType dtype;       // of `to`; blocks become bf16
  int64_t head_dim;  // rows are reordered within heads of this size; 0: not
  int64_t rows;
  int64_t columns;
  std::byte* to;
};

// The row of the file that is row `row` of the model. In a head of size D the file has row i of
// the first half at 2i and row i of the second half at 2i + 1.
int64_t stored_row(const Conversion& conversion, int64_t row) {
  const int64_t size = conversion.head_dim;
  if (size == 0) return row;
  const int64_t in_head = row % size;
  const int64_t half = size / 2;
  return row - in_head + in_head % half * 2 + in_head / half;
}

void convert_rows(const Conversion& c, const std::byte* data, int64_t first, int64_t last) {
  const GgmlBlock block = ggml_block(c.from->type);
  const int64_t stored_bytes = c.columns / block.elements * block.bytes;
  const bool plain = plain_dtype(c.from->type).has_value();
  std::vector<float> floats(plain ? 0 : static_cast<size_t>(c.columns));
  for (int64_t row = first; row < last; ++row) {
    const std::byte* from = data + stored_row(c, row) * stored_bytes;
    std::byte* to = c.to + row * c.columns * static_cast<int64_t>(dtype_size(c.dtype));
    if (plain) {
      std::memcpy(to, from, static_cast<size_t>(stored_bytes));
      continue;
    }
    read_ggml_blocks(c.from->type, from, floats);
    auto* rounded = reinterpret_cast<Bf16*>(to);
    for (size_t i = 0; i < floats.size(); ++i) rounded[i] = to_bf16(floats[i]);
  }
}

struct RowRange {
  size_t conversion;
  int64_t first;
  int64_t last;
};

void convert(const GgufFile& file, const std::vector<Conversion>& conversions, ThreadPool* pool) {
  constexpr int64_t kElements = int64_t{1} << 18;
  std::vector<RowRange> ranges;
  for (size_t i = 0; i < conversions.size(); ++i) {
    const Conversion& c = conversions[i];
    const int64_t step = std::max<int64_t>(1, kElements / c.columns);
    for (int64_t first = 0; first < c.rows; first += step) {
      ranges.push_back({i, first, std::min(c.rows, first + step)});
    }
  }
  const auto run = [&](int64_t index, int /*thread*/) {
    const RowRange& range = ranges[static_cast<size_t>(index)];
    const Conversion& c = conversions[range.conversion];
    convert_rows(c, file.data(*c.from), range.first, range.last);
  };
  const auto count = static_cast<int64_t>(ranges.size());
  if (pool != nullptr) return pool->parallel_for(count, run);
  for (int64_t i = 0; i < count; ++i) run(i, 0);
}

// "models/ouro.gguf" to "models/ouro.gate.safetensors".
std::string gate_file_beside(const std::string& path) {
  const std::string suffix = ".gguf";
  const size_t stem = path.ends_with(suffix) ? path.size() - suffix.size() : path.size();
  return path.substr(0, stem) + ".gate.safetensors";
}

// Decides where the gate comes from: the file named, the model's own file, the file beside it.
Status find_gate(const std::string& path, const CheckpointOptions& options,
                 Checkpoint& checkpoint) {
  const std::string beside = gate_file_beside(path);
  std::string gate = options.gate_file;
  if (gate.empty() && !checkpoint.config.exit_gate && file_exists(beside)) gate = beside;
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

Status check_shape(const std::string& name, const Shape& found, const Shape& expected) {
  if (found == expected) return {};
  return invalid_argument(fmt::format("tensor '{}' is {}; expected {} from the file's keys", name,
                                      shape_text(found), shape_text(expected)));
}

Status add_gate_tensor(const ParameterSpec& spec, Checkpoint& checkpoint) {
  LOOPLM_ASSIGN_OR_RETURN(TensorView view, checkpoint.weights.find(spec.name));
  LOOPLM_RETURN_IF_ERROR(
      check_shape(spec.name, view.shape, spec.shape)
          .with_context(fmt::format("gate file '{}'", checkpoint.weights.files()[0])));
  checkpoint.stored_types.push_back(dtype_name(view.dtype));
  checkpoint.tensors.push_back(std::move(view));
  return {};
}

Status add_tensor(const ParameterSpec& spec, Checkpoint& checkpoint,
                  std::vector<Conversion>& conversions) {
  const std::string name = gguf_tensor_name(spec.name);
  const GgufTensor* tensor = checkpoint.gguf->find(name);
  if (tensor == nullptr) return not_found(fmt::format("no tensor '{}'", name));
  LOOPLM_RETURN_IF_ERROR(check_shape(name, tensor->shape, spec.shape));
  const std::optional<DType> plain = plain_dtype(tensor->type);
  TensorView view{plain.value_or(DType::kBf16), tensor->shape, nullptr};
  const bool reordered = is_reordered(spec.name);
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
    return unsupported(
        fmt::format("unexpected tensor '{}'; a model of architecture {} with these keys has {} "
                    "tensors and none of that name",
                    tensor.name, checkpoint.config.model_type, checkpoint.specs.size()));
  }
  return {};
}

// Buffers for what must be converted, and the views into them.
void allocate(Checkpoint& checkpoint, std::vector<Conversion>& conversions) {
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
  checkpoint.specs = parameter_specs(checkpoint.config);
  std::vector<Conversion> conversions;
  for (const ParameterSpec& spec : checkpoint.specs) {
    const bool beside = is_gate(spec) && !checkpoint.weights.files().empty();
    LOOPLM_RETURN_IF_ERROR(beside ? add_gate_tensor(spec, checkpoint)
                                  : add_tensor(spec, checkpoint, conversions));
  }
  LOOPLM_RETURN_IF_ERROR(check_unexpected(checkpoint));
  if (options.shapes_only) return {};
  allocate(checkpoint, conversions);
  convert(*checkpoint.gguf, conversions, options.pool);
  return {};
}

}  // namespace

std::string gguf_tensor_name(const std::string& parameter) {
  for (const NamePair& pair : kModelNames) {
    if (parameter == pair.ours) return pair.gguf;
  }
  const size_t dot = parameter.find('.', kLayerPrefix.size());
  LOOPLM_CHECK(parameter.starts_with(kLayerPrefix) && dot != std::string::npos, "{}", parameter);
  for (const NamePair& pair : kBlockNames) {
    if (parameter.substr(dot + 1) == pair.ours) {
      return fmt::format(
          "blk.{}.{}", parameter.substr(kLayerPrefix.size(), dot - kLayerPrefix.size()), pair.gguf);
    }
  }
  LOOPLM_CHECK(false, "{}", parameter);
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
