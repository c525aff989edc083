#include "model/gguf_export.h"

#include <algorithm>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "base/directory.h"
#include "base/file.h"
#include "base/gguf_name.h"
#include "model/config_rules.h"
#include "model/end_of_text.h"
#include "model/gguf_encode.h"
#include "model/gguf_model.h"
#include "model/gguf_tokenizer_families.h"
#include "model/gguf_tokenizer_write.h"
#include "model/gguf_writer.h"
#include "model/guess_maps.h"
#include "model/quantized_checkpoint.h"
#include "model/safetensors_writer.h"
#include "model/tokenizer_files.h"

namespace looplm {
namespace {

// general.file_type: what most matrices are, by llama.cpp's numbers.
uint32_t file_type(GgmlType type) {
  switch (type) {
    case GgmlType::kF32:
      return 0;
    case GgmlType::kF16:
      return 1;
    case GgmlType::kQ4_0:
      return 2;
    case GgmlType::kQ8_0:
      return 7;
    case GgmlType::kQ4K:
      return 14;
    default:
      return 32;  // BF16
  }
}

// "llama" for all that is a plain transformer of Llama's shape.
Result<std::string> architecture_of(const ModelConfig& config) {
  const ModelFamily& family = *find_model_family(config.model_type);
  const bool plain = config.loops == 1 && config.norm_placement == NormPlacement::kPre;
  if (plain && !config.exit_gate) return std::string("llama");
  if (family.loops_key != nullptr && config.norm_placement == family.norm_placement &&
      (family.exit_gate || !config.exit_gate)) {
    return config.model_type;
  }
  return unsupported(fmt::format(
      "a model of type {} with {} loops, {} norms and {} exit gate; llama.cpp knows ouro (sandwich "
      "norms), nanbeige (norms before, no gate) and plain Llama",
      config.model_type, config.loops,
      config.norm_placement == NormPlacement::kPre ? kPreName : kSandwichName,
      config.exit_gate ? "an" : "no"));
}

void add_shape(const ModelConfig& c, const std::string& architecture, GgufKeys& keys) {
  const std::string prefix = architecture + ".";
  const auto add = [&](const char* key, int64_t value) {
    keys.add(prefix + key, static_cast<uint32_t>(value));
  };
  add("vocab_size", c.vocab_size);
  add("block_count", c.layers);
  add("context_length", c.max_positions);
  add("embedding_length", c.hidden_size);
  add("feed_forward_length", c.intermediate_size);
  add("attention.head_count", c.heads);
  add("attention.head_count_kv", c.kv_heads);
  add("attention.key_length", c.head_dim);
  add("attention.value_length", c.head_dim);
  add("rope.dimension_count", c.head_dim);
  keys.add(prefix + "rope.freq_base", static_cast<float>(c.rope_theta));
  keys.add(prefix + "attention.layer_norm_rms_epsilon", static_cast<float>(c.rms_norm_eps));
  if (architecture == "llama") return;
  add("num_loops", c.loops);
  keys.add_flag(prefix + "skip_loop_final_norm", !c.norm_between_loops);
}

// The ids that end a text, under the keys that there are for them, and what else names an id.
Status add_special_ids(const ModelConfig& config, const EndsOfText& ends, GgufKeys& keys) {
  const size_t count = std::min(ends.ends.size(), kGgufEndKeys.size());
  for (size_t i = 0; i < count; ++i) {
    keys.add(kGgufEndKeys[i], static_cast<uint32_t>(ends.ends[i].id));
  }
  if (config.bos_token_id >= 0) {
    keys.add("tokenizer.ggml.bos_token_id", static_cast<uint32_t>(config.bos_token_id));
  }
  if (config.pad_token_id >= 0) {
    keys.add("tokenizer.ggml.padding_token_id", static_cast<uint32_t>(config.pad_token_id));
  }
  return {};
}

Result<std::string> tokenizer_text(const Checkpoint& checkpoint) {
  const std::string file = companion_directory(checkpoint.directory) + "/tokenizer.json";
  if (name_exists(file)) return read_text_file(file);
  LOOPLM_RETURN_IF_ERROR(checkpoint.tokenizer_status);
  return checkpoint.tokenizer_json;
}

Status add_tokenizer(const Checkpoint& checkpoint, const GgufExportOptions& options,
                     GgufKeys& keys) {
  LOOPLM_ASSIGN_OR_RETURN(const std::string text, tokenizer_text(checkpoint));
  if (text.empty()) {
    keys.add_text(kGgufTokenizerKey, "none");
    return {};
  }
  LOOPLM_ASSIGN_OR_RETURN(const std::unique_ptr<Tokenizer> tokenizer,
                          checkpoint_tokenizer(checkpoint));
  LOOPLM_ASSIGN_OR_RETURN(const EndsOfText ends, find_ends_of_text(checkpoint, tokenizer.get()));
  ModelConfig config = checkpoint.config;
  if (!ends.ends.empty()) config.eos_token_ids = {ends.ends[0].id};
  if (!tokenizer->ids_in_front().empty()) config.bos_token_id = tokenizer->ids_in_front()[0];
  LOOPLM_RETURN_IF_ERROR(add_gguf_tokenizer(text, *tokenizer, config, keys));
  LOOPLM_RETURN_IF_ERROR(add_special_ids(config, ends, keys));
  for (const auto& [name, chat] : options.chat_templates) {
    const bool usual = name == "default" || name.empty();
    keys.add_text(usual ? kGgufChatTemplateKey : fmt::format("{}.{}", kGgufChatTemplateKey, name),
                  chat);
  }
  return {};
}

Result<GgufKeys> keys_of(const Checkpoint& checkpoint, const std::string& path,
                         const GgufExportOptions& options) {
  GgufKeys keys;
  LOOPLM_ASSIGN_OR_RETURN(const std::string architecture, architecture_of(checkpoint.config));
  const std::string stem = gguf_model_stem(path);
  keys.add_text("general.architecture", architecture);
  keys.add_text("general.type", "model");
  keys.add_text("general.name", stem.substr(stem.rfind('/') + 1));
  keys.add("general.file_type", file_type(options.type));
  keys.add("general.quantization_version", uint32_t{2});
  add_shape(checkpoint.config, architecture, keys);
  LOOPLM_RETURN_IF_ERROR(add_tokenizer(checkpoint, options, keys));
  return keys;
}

GgmlType type_of(const ParameterSpec& spec, GgmlType wanted) {
  if (spec.shape.size() < 2) return GgmlType::kF32;
  const int64_t columns = spec.shape.back();
  const bool outside = spec.role == ParameterRole::kEmbedding || spec.role == ParameterRole::kHead;
  const bool four_bits = wanted == GgmlType::kQ4_0 || wanted == GgmlType::kQ4K;
  for (const GgmlType type : {outside && four_bits ? GgmlType::kQ8_0 : wanted, GgmlType::kQ8_0}) {
    if (columns % ggml_block(type).elements == 0) return type;
  }
  return GgmlType::kF16;
}

// llama.cpp turns neighbouring elements of a head in RoPE, Hugging Face's code elements half a head
// apart: row 2i of a head in the file is row i, and row 2i + 1 is row i of the upper half.
int64_t row_of_model(int64_t row, int64_t head_dim) {
  const int64_t in_head = row % head_dim;
  return row - in_head + in_head / 2 + in_head % 2 * (head_dim / 2);
}

class TensorEncoder {
 public:
  TensorEncoder(const Checkpoint& checkpoint, ThreadPool& pool)
      : checkpoint_(checkpoint), fill_(checkpoint_fill(checkpoint)), pool_(pool) {}

  Status write(size_t parameter, GgmlType type, GgufWriter& writer) {
    const ParameterSpec& spec = checkpoint_.specs[parameter];
    const int64_t columns = spec.shape.back();
    const int64_t rows = spec.count() / columns;
    const GgmlBlock block = ggml_block(type);
    const int64_t row_bytes = columns / block.elements * block.bytes;
    const bool reordered = gguf_reorders(spec.name);
    const int64_t step = std::max<int64_t>(1, kChunk / columns);
    for (int64_t first = 0; first < rows; first += step) {
      const int64_t count = std::min(step, rows - first);
      bytes_.resize(static_cast<size_t>(count * row_bytes));
      pool_.parallel_for(count, [&](int64_t i, int /*thread*/) {
        const int64_t row = first + i;
        const int64_t from = reordered ? row_of_model(row, checkpoint_.config.head_dim) : row;
        std::vector<float> floats(static_cast<size_t>(columns));
        fill_(static_cast<int64_t>(parameter), from * columns, floats);
        write_ggml_blocks(type, floats, bytes_.data() + i * row_bytes);
      });
      LOOPLM_RETURN_IF_ERROR(writer.write(bytes_));
    }
    return {};
  }

 private:
  static constexpr int64_t kChunk = int64_t{1} << 22;  // elements in memory at once

  const Checkpoint& checkpoint_;
  ParameterFill fill_;
  ThreadPool& pool_;
  std::vector<std::byte> bytes_;
};

// All but the last step.
Result<SafetensorsWriter> begin_gate(const Checkpoint& checkpoint, const std::string& path) {
  std::vector<TensorDeclaration> declarations;
  std::vector<float> values;
  const ParameterFill fill = checkpoint_fill(checkpoint);
  for (size_t i = 0; i < checkpoint.specs.size(); ++i) {
    const ParameterSpec& spec = checkpoint.specs[i];
    if (!is_gate(spec)) continue;
    declarations.push_back({spec.name, DType::kF32, spec.shape});
    const size_t first = values.size();
    values.resize(first + static_cast<size_t>(spec.count()));
    fill(static_cast<int64_t>(i), 0, std::span(values).subspan(first));
  }
  LOOPLM_ASSIGN_OR_RETURN(SafetensorsWriter writer, SafetensorsWriter::create(path, declarations));
  LOOPLM_RETURN_IF_ERROR(writer.write(std::as_bytes(std::span(values))));
  LOOPLM_RETURN_IF_ERROR(writer.sync());
  return writer;
}

}  // namespace

Result<GgufExport> export_gguf(const Checkpoint& checkpoint, const std::string& path,
                               const GgufExportOptions& options, ThreadPool& pool) {
  for (size_t i = 0; i < checkpoint.specs.size(); ++i) {
    if (!is_quantized(checkpoint.tensors[i])) continue;
    return unsupported(fmt::format(
        "'{}' is stored in {}; expected floating-point weights, as the model had before `looplm "
        "quantize`",
        checkpoint.specs[i].name, checkpoint.stored_types[i]));
  }
  GgufExport result;
  const std::string gate_file = gguf_gate_file(path);
  LOOPLM_ASSIGN_OR_RETURN(const GgufKeys keys, keys_of(checkpoint, path, options));
  if (!checkpoint.config.exit_gate && file_exists(gate_file)) {
    return invalid_argument(fmt::format(
        "'{}' is there, and this model has no exit gate; it would be read as this model's",
        gate_file));
  }
  const std::string guesses = gguf_guess_file(path);  // whatever its ending
  if (!file_exists(guess_file(checkpoint.directory)) && file_exists(guesses)) {
    return invalid_argument(fmt::format(
        "'{}' is there, and this model has no guess maps; they would be read as this model's",
        guesses));
  }
  std::vector<GgufDeclaration> declarations;
  std::vector<std::pair<size_t, GgmlType>> parameters;
  for (size_t i = 0; i < checkpoint.specs.size(); ++i) {
    const ParameterSpec& spec = checkpoint.specs[i];
    if (is_gate(spec)) continue;
    const GgmlType type = type_of(spec, options.type);
    if (spec.shape.size() > 1) ++result.matrices[ggml_block(type).name];
    declarations.push_back({gguf_tensor_name(spec.name), type, spec.shape});
    parameters.emplace_back(i, type);
  }
  LOOPLM_ASSIGN_OR_RETURN(GgufWriter writer,
                          GgufWriter::create(path, keys, std::move(declarations)));
  TensorEncoder encoder(checkpoint, pool);
  for (const auto& [parameter, type] : parameters) {
    LOOPLM_RETURN_IF_ERROR(encoder.write(parameter, type, writer));
  }
  LOOPLM_RETURN_IF_ERROR(writer.sync());
  std::optional<SafetensorsWriter> gate;
  if (checkpoint.config.exit_gate) {
    LOOPLM_ASSIGN_OR_RETURN(SafetensorsWriter begun, begin_gate(checkpoint, gate_file));
    gate.emplace(std::move(begun));
    result.gate_file = gate_file;
  }
  LOOPLM_ASSIGN_OR_RETURN(std::optional<AtomicFileWriter> guess_copy,
                          begin_guess_copy(checkpoint.directory, checkpoint.config, guesses));
  if (guess_copy) result.guess_file = guesses;
  // None appears before all are on the disk, and the model itself last.
  if (gate) LOOPLM_RETURN_IF_ERROR(gate->commit());
  if (guess_copy) LOOPLM_RETURN_IF_ERROR(guess_copy->commit());
  LOOPLM_RETURN_IF_ERROR(writer.commit());
  return result;
}

}  // namespace looplm
