#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <span>

#include <fmt/format.h>

#include "base/bf16.h"
#include "base/check.h"
#include "base/directory.h"
#include "base/file.h"
#include "base/json.h"
#include "model/atomic_directory.h"
#include "model/chat_model.h"
#include "model/checkpoint.h"
#include "model/config_rules.h"
#include "model/gguf_model.h"
#include "model/gguf_value.h"
#include "model/guess_maps.h"
#include "tensor/buffer.h"

namespace looplm {
namespace {

namespace fs = std::filesystem;

constexpr std::array<const char*, 10> kCompanions = {"tokenizer.json",
                                                     "tokenizer_config.json",
                                                     "special_tokens_map.json",
                                                     "added_tokens.json",
                                                     "vocab.json",
                                                     "merges.txt",
                                                     "tokenizer.model",
                                                     "chat_template.jinja",
                                                     "chat_template.json",
                                                     "generation_config.json"};

bool is_companion(const std::string& name) {
  const bool python = (name.starts_with("configuration_") || name.starts_with("modeling_")) &&
                      name.ends_with(".py");
  return python || std::find(kCompanions.begin(), kCompanions.end(), name) != kCompanions.end();
}

// Turns the given floats into the file's bytes, a chunk at a time.
class ChunkEncoder {
 public:
  ChunkEncoder(const ParameterFill& fill, DType dtype, ThreadPool& pool)
      : fill_(fill), pool_(pool), floats_(kChunk), bf16_(dtype == DType::kBf16 ? kChunk : 0) {}

  Status write_parameter(int64_t parameter, int64_t count, WeightFilesWriter& writer) {
    for (int64_t first = 0; first < count; first += kChunk) {
      const int64_t size = std::min(kChunk, count - first);
      encode(parameter, first, size);
      const auto elements = static_cast<size_t>(size);
      LOOPLM_RETURN_IF_ERROR(writer.write(bf16_.empty()
                                              ? std::as_bytes(floats_.span().first(elements))
                                              : std::as_bytes(bf16_.span().first(elements))));
    }
    return {};
  }

 private:
  // 16 MiB of floats: the file is written in large pieces, and memory stays small.
  static constexpr int64_t kChunk = int64_t{1} << 22;
  // A thread's share at a time, which stays in its L2 cache between filling and rounding.
  static constexpr int64_t kTask = int64_t{1} << 15;

  void encode(int64_t parameter, int64_t first, int64_t size) {
    pool_.parallel_for((size + kTask - 1) / kTask, [&](int64_t task, int /*thread*/) {
      const int64_t begin = task * kTask;
      const int64_t end = std::min(size, begin + kTask);
      const std::span<float> out(floats_.data() + begin, static_cast<size_t>(end - begin));
      fill_(parameter, first + begin, out);
      if (bf16_.empty()) return;
      for (int64_t i = begin; i < end; ++i) {
        bf16_[static_cast<size_t>(i)] = to_bf16(floats_[static_cast<size_t>(i)]);
      }
    });
  }

  const ParameterFill& fill_;
  ThreadPool& pool_;
  Buffer<float> floats_;
  Buffer<Bf16> bf16_;
};

}  // namespace

namespace {

// What a chat template and `data build` ask of a tokenizer: the texts of the tokens that a GGUF
// file names by their ids.
Result<std::string> gguf_tokenizer_config(const GgufMetadata& metadata) {
  OrderedJson json = {{"tokenizer_class", "PreTrainedTokenizerFast"}};
  LOOPLM_ASSIGN_OR_RETURN(const std::vector<std::string_view> tokens,
                          gguf_strings(metadata, "tokenizer.ggml.tokens"));
  for (const char* name : {"bos", "eos", "pad", "unk"}) {
    const std::string key =
        fmt::format("tokenizer.ggml.{}_token_id", std::string_view(name) == "pad"   ? "padding"
                                                  : std::string_view(name) == "unk" ? "unknown"
                                                                                    : name);
    LOOPLM_ASSIGN_OR_RETURN(
        const int64_t id, gguf_int(metadata, key, -1, 0, static_cast<int64_t>(tokens.size()) - 1));
    if (id >= 0) json[fmt::format("{}_token", name)] = tokens[static_cast<size_t>(id)];
  }
  json["clean_up_tokenization_spaces"] = false;
  return dump_json(json) + "\n";
}

constexpr const char* kGenerationFile = "/generation_config.json";

struct GenerationConfig {  // NOLINT(bugprone-exception-escape): JSON moves without one
  OrderedJson json;
  std::vector<int64_t> ends;
};

Result<GenerationConfig> read_generation_config(const std::string& path, int64_t vocab_size) {
  GenerationConfig config;
  LOOPLM_ASSIGN_OR_RETURN(const std::string text, read_text_file(path));
  LOOPLM_ASSIGN_OR_RETURN(config.json, parse_ordered_json(text, path));
  if (!config.json.is_object()) return invalid_argument(path + ": expected a JSON object");
  Result<std::vector<int64_t>> ends = read_eos_token_ids(
      {{"eos_token_id", Json(config.json.value("eos_token_id", OrderedJson()))}}, vocab_size);
  if (!ends.ok()) return ends.status().with_context(path);
  config.ends = std::move(ends).value();
  return config;
}

// Adds the ids that are in the vocabulary and not there yet.
void add_missing(std::span<const int32_t> ids, int64_t vocab_size, std::vector<int64_t>& ends) {
  for (const int32_t id : ids) {
    if (id < vocab_size && std::ranges::find(ends, id) == ends.end()) ends.push_back(id);
  }
}

// transformers takes the ends of a text from generation_config.json alone where there is one. It
// gets these ids beside its own ends, or those of config.json if it has none. A file that
// cannot be read stays as it is.
Status add_ends_of_turn(std::span<const int32_t> ids, const ModelConfig& config,
                        const std::string& path) {
  if (ids.empty() || !file_exists(path)) return {};
  Result<GenerationConfig> read = read_generation_config(path, config.vocab_size);
  if (!read.ok()) return {};
  std::vector<int64_t> ends = read->ends.empty() ? config.eos_token_ids : read->ends;
  add_missing(ids, config.vocab_size, ends);
  if (ends == read->ends) return {};
  read->json["eos_token_id"] = ends;
  return write_text_file(path, dump_json(read->json, 2) + "\n");
}

}  // namespace

Status check_generation_config(const std::string& from, int64_t vocab_size) {
  const std::string path = companion_directory(from) + kGenerationFile;
  return file_exists(path) ? read_generation_config(path, vocab_size).status() : Status();
}

namespace {

// Those of a GGUF file or of a folder, which are no files of their own here. Several stand in
// tokenizer_config.json, where transformers reads them too.
Status write_chat_templates(const std::string& from, const std::string& to) {
  LOOPLM_ASSIGN_OR_RETURN(const auto templates, chat_template_texts(from));
  const std::string jinja = to + "/chat_template.jinja", tokens = to + "/tokenizer_config.json";
  if (templates.empty()) return {};
  if (templates.size() == 1 && templates.contains("default")) {
    return write_text_file(jinja, templates.at("default"));
  }
  OrderedJson config = OrderedJson::object();
  if (file_exists(tokens)) {
    LOOPLM_ASSIGN_OR_RETURN(config, read_ordered_json_file(tokens));
  }
  config["chat_template"] = OrderedJson::array();
  for (const auto& [name, text] : templates) {
    config["chat_template"].push_back({{"name", name}, {"template", text}});
  }
  for (const char* name : {"/chat_template.jinja", "/chat_template.json"}) {
    std::error_code error;
    fs::remove(to + name, error);
    if (error) {
      return io_error(fmt::format("'{}{}' cannot be removed: {}", to, name, error.message()));
    }
  }
  return write_text_file(tokens, dump_json(config, 2) + "\n");
}

}  // namespace

Status copy_companions(const std::string& from, const std::string& to) {
  const std::string directory = companion_directory(from);
  LOOPLM_ASSIGN_OR_RETURN(const std::vector<std::string> names, list_directory(directory));
  for (const std::string& name : names) {
    if (!is_companion(name)) continue;
    LOOPLM_ASSIGN_OR_RETURN(const MappedFile file,
                            MappedFile::open((fs::path(directory) / name).string()));
    LOOPLM_RETURN_IF_ERROR(write_text_file(fmt::format("{}/{}", to, name), file.text()));
  }
  if (directory == from) {
    const bool folder = is_directory(directory + "/additional_chat_templates");
    return folder ? write_chat_templates(from, to) : Status();
  }
  CheckpointOptions of_header;
  of_header.shapes_only = true;
  LOOPLM_ASSIGN_OR_RETURN(const Checkpoint model, open_checkpoint(from, of_header));
  // None where a tokenizer.json lies beside the file.
  if (!model.tokenizer_json.empty()) {
    LOOPLM_RETURN_IF_ERROR(write_text_file(to + "/tokenizer.json", model.tokenizer_json));
    if (!file_exists(to + "/tokenizer_config.json")) {
      Result<std::string> config = gguf_tokenizer_config(model.gguf->metadata());
      if (!config.ok()) return config.status().with_context(from);
      LOOPLM_RETURN_IF_ERROR(write_text_file(to + "/tokenizer_config.json", *config));
    }
  }
  return write_chat_templates(from, to);
}

bool is_checkpoint_file(const std::string& name) {
  return name == "config.json" || name == kWeightsIndexFile || name == kWeightsFile ||
         (name.starts_with("model-") && name.ends_with(".safetensors")) || is_guess_file(name) ||
         is_companion(name);
}

Status write_checkpoint_files(const std::string& directory, const ModelConfig& config,
                              const ParameterFill& fill, const SaveOptions& options,
                              ThreadPool& pool) {
  LOOPLM_CHECK(options.dtype != DType::kF16, "checkpoints are written as F32 or BF16");
  LOOPLM_RETURN_IF_ERROR(validate(config));
  if (!options.companions_from.empty()) {
    LOOPLM_RETURN_IF_ERROR(copy_companions(options.companions_from, directory));
  }
  if (!options.chat_template.empty()) {
    LOOPLM_RETURN_IF_ERROR(
        write_text_file(directory + "/chat_template.jinja", options.chat_template));
  }
  ModelConfig saved = config;
  saved.dtype = options.dtype == DType::kBf16 ? "bfloat16" : "float32";
  add_missing(options.ends_of_turn, config.vocab_size, saved.eos_token_ids);
  LOOPLM_RETURN_IF_ERROR(
      add_ends_of_turn(options.ends_of_turn, saved, directory + kGenerationFile));
  LOOPLM_RETURN_IF_ERROR(write_text_file(directory + "/config.json", model_config_json(saved)));

  const std::vector<ParameterSpec> specs = parameter_specs(config);
  std::vector<TensorDeclaration> declarations;
  declarations.reserve(specs.size());
  for (const ParameterSpec& spec : specs) {
    declarations.push_back({spec.name, options.dtype, spec.shape});
  }
  LOOPLM_ASSIGN_OR_RETURN(
      WeightFilesWriter writer,
      WeightFilesWriter::create(directory, std::move(declarations), options.max_shard_bytes));
  ChunkEncoder encoder(fill, options.dtype, pool);
  for (size_t i = 0; i < specs.size(); ++i) {
    LOOPLM_RETURN_IF_ERROR(
        encoder.write_parameter(static_cast<int64_t>(i), specs[i].count(), writer));
  }
  return writer.commit();
}

Status save_checkpoint(const std::string& directory, const ModelConfig& config,
                       const ParameterFill& fill, const SaveOptions& options, ThreadPool& pool) {
  LOOPLM_ASSIGN_OR_RETURN(AtomicDirectory fresh,
                          AtomicDirectory::create(directory, is_checkpoint_file));
  LOOPLM_RETURN_IF_ERROR(write_checkpoint_files(fresh.path(), config, fill, options, pool));
  return fresh.commit();
}

}  // namespace looplm
