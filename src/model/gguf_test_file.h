// Writes GGUF files for tests: well-formed ones, and parts from which broken ones are put together.
#ifndef LOOPLM_MODEL_GGUF_TEST_FILE_H_
#define LOOPLM_MODEL_GGUF_TEST_FILE_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bf16.h"
#include "model/gguf_model.h"

namespace looplm {

template <typename T>
void append_number(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

inline void append_string(std::string& out, std::string_view text) {
  append_number<uint64_t>(out, text.size());
  out += text;
}

struct GgufTestTensor {
  std::string name;
  std::vector<int64_t> sizes;  // in the file's order: fastest first
  uint32_t type = 0;
  std::string data;
};

class GgufTestFile {
 public:
  void add_raw(std::string_view key, GgufType type, std::string_view value) {
    append_string(keys_, key);
    append_number(keys_, static_cast<uint32_t>(type));
    keys_ += value;
    ++key_count_;
  }
  void add(std::string_view key, uint32_t value) { add_number(key, GgufType::kUint32, value); }
  void add(std::string_view key, float value) { add_number(key, GgufType::kFloat32, value); }
  void add_flag(std::string_view key, bool value) {
    add_number(key, GgufType::kBool, static_cast<uint8_t>(value));
  }
  void add_text(std::string_view key, std::string_view value) {
    std::string raw;
    append_string(raw, value);
    add_raw(key, GgufType::kString, raw);
  }
  void add_list(std::string_view key, const std::vector<std::string>& values) {
    std::string raw = list_head(GgufType::kString, values.size());
    for (const std::string& value : values) append_string(raw, value);
    add_raw(key, GgufType::kArray, raw);
  }
  void add_list(std::string_view key, const std::vector<int32_t>& values) {
    std::string raw = list_head(GgufType::kInt32, values.size());
    for (const int32_t value : values) append_number(raw, value);
    add_raw(key, GgufType::kArray, raw);
  }
  void add_tensor(GgufTestTensor tensor) { tensors_.push_back(std::move(tensor)); }
  std::vector<GgufTestTensor>& tensors() { return tensors_; }

  // The whole file; data at multiples of 32 bytes, also its end.
  std::string bytes(uint32_t version = 3) const {
    std::string out = "GGUF";
    append_number(out, version);
    append_number<uint64_t>(out, tensors_.size());
    append_number(out, key_count_);
    out += keys_;
    uint64_t offset = 0;
    for (const GgufTestTensor& tensor : tensors_) {
      append_string(out, tensor.name);
      append_number(out, static_cast<uint32_t>(tensor.sizes.size()));
      for (const int64_t size : tensor.sizes) append_number(out, size);
      append_number(out, tensor.type);
      append_number(out, offset);
      offset += (tensor.data.size() + 31) / 32 * 32;
    }
    for (const GgufTestTensor& tensor : tensors_) {
      out.resize((out.size() + 31) / 32 * 32);
      out += tensor.data;
    }
    out.resize((out.size() + 31) / 32 * 32);
    return out;
  }

 private:
  static std::string list_head(GgufType element, uint64_t count) {
    std::string raw;
    append_number(raw, static_cast<uint32_t>(element));
    append_number(raw, count);
    return raw;
  }
  template <typename T>
  void add_number(std::string_view key, GgufType type, T value) {
    std::string raw;
    append_number(raw, value);
    add_raw(key, type, raw);
  }

  std::string keys_;
  uint64_t key_count_ = 0;
  std::vector<GgufTestTensor> tensors_;
};

// Floats in one of the types that a test can write simply.
inline std::string encode_ggml(GgmlType type, std::span<const float> values) {
  std::string out;
  if (type == GgmlType::kF32) {
    for (const float value : values) append_number(out, value);
  } else if (type == GgmlType::kF16) {
    for (const float value : values) append_number(out, float_to_half(value));
  } else if (type == GgmlType::kBf16) {
    for (const float value : values) append_number(out, to_bf16(value).bits);
  } else if (type == GgmlType::kQ8_0) {
    for (size_t first = 0; first < values.size(); first += 32) {
      const auto block = values.subspan(first, 32);
      float largest = 0;
      for (const float value : block) largest = std::max(largest, std::fabs(value));
      const uint16_t scale = float_to_half(largest / 127);
      append_number(out, scale);
      for (const float value : block) {
        const float level = scale == 0 ? 0 : std::round(value / half_to_float(scale));
        append_number(out, static_cast<int8_t>(std::clamp(level, -127.0f, 127.0f)));
      }
    }
  }
  return out;
}

// Puts rows of a query or key projection into the order that llama.cpp wants: within each head the
// two halves interleaved.
inline std::vector<float> interleave_heads(std::span<const float> values, int64_t columns,
                                           int64_t head_dim) {
  std::vector<float> out;
  const auto rows = static_cast<int64_t>(values.size()) / columns;
  for (int64_t head = 0; head < rows; head += head_dim) {
    for (int64_t i = 0; i < head_dim / 2; ++i) {
      for (const int64_t row : {head + i, head + head_dim / 2 + i}) {
        const auto from = values.subspan(static_cast<size_t>(row * columns));
        out.insert(out.end(), from.begin(), from.begin() + columns);
      }
    }
  }
  return out;
}

// The keys that describe a model.
inline void add_model_keys(const ModelConfig& c, GgufTestFile& file) {
  const std::string arch = c.model_type + ".";
  const auto size = [&](const char* key, int64_t value) {
    file.add(arch + key, static_cast<uint32_t>(value));
  };
  file.add_text("general.architecture", c.model_type);
  size("block_count", c.layers);
  size("context_length", c.max_positions);
  size("embedding_length", c.hidden_size);
  size("feed_forward_length", c.intermediate_size);
  size("attention.head_count", c.heads);
  size("attention.head_count_kv", c.kv_heads);
  size("attention.key_length", c.head_dim);
  size("attention.value_length", c.head_dim);
  size("rope.dimension_count", c.head_dim);
  if (c.model_type != "llama") size("num_loops", c.loops);
  if (c.model_type != "llama") file.add_flag(arch + "skip_loop_final_norm", !c.norm_between_loops);
  file.add(arch + "rope.freq_base", static_cast<float>(c.rope_theta));
  file.add(arch + "attention.layer_norm_rms_epsilon", static_cast<float>(c.rms_norm_eps));
  for (const int64_t id : c.eos_token_ids) {
    file.add("tokenizer.ggml.eos_token_id", static_cast<uint32_t>(id));
  }
}

// A model as llama.cpp's converter writes it: matrices of `type`, vectors in F32, no gate.
inline GgufTestFile gguf_of_model(const ModelConfig& config, const ParameterFill& values,
                                  GgmlType type) {
  GgufTestFile file;
  add_model_keys(config, file);
  const std::vector<ParameterSpec> specs = parameter_specs(config);
  for (size_t i = 0; i < specs.size(); ++i) {
    const ParameterSpec& spec = specs[i];
    if (is_gate(spec)) continue;
    std::vector<float> floats(static_cast<size_t>(spec.count()));
    values(static_cast<int64_t>(i), 0, floats);
    if (spec.name.ends_with(kQueryName) || spec.name.ends_with(kKeyName)) {
      floats = interleave_heads(floats, spec.shape[1], config.head_dim);
    }
    const GgmlType stored = spec.shape.size() == 1 ? GgmlType::kF32 : type;
    file.add_tensor({gguf_tensor_name(spec.name),
                     {spec.shape.rbegin(), spec.shape.rend()},
                     static_cast<uint32_t>(stored),
                     encode_ggml(stored, floats)});
  }
  return file;
}

}  // namespace looplm

#endif  // LOOPLM_MODEL_GGUF_TEST_FILE_H_
