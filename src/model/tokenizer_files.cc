#include "model/tokenizer_files.h"

#include <fmt/format.h>

#include "base/directory.h"
#include "base/file.h"
#include "base/json.h"
#include "model/gguf.h"
#include "model/gguf_tokenizer.h"

namespace looplm {
namespace {

Result<std::unique_ptr<Tokenizer>> parse_own(const std::string& json, const std::string& path) {
  return Tokenizer::parse(json, path + ": tokenizer.ggml");
}

Result<std::optional<std::string>> config_token(const Json& config, const char* key) {
  const auto entry = config.find(key);
  if (entry == config.end() || entry->is_null()) return std::optional<std::string>();
  const Json& token =
      entry->is_object() && entry->contains("content") ? (*entry)["content"] : *entry;
  if (!token.is_string()) {
    return invalid_argument(fmt::format("'{}' is {}; expected a token", key, dump_json(*entry)));
  }
  return std::optional(token.get<std::string>());
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> load_tokenizer(const std::string& path) {
  const std::string directory = companion_directory(path);
  if (directory == path || name_exists(directory + "/tokenizer.json")) {
    return Tokenizer::load(directory);
  }
  LOOPLM_ASSIGN_OR_RETURN(const GgufFile file, GgufFile::open(path));
  const Result<std::string> json = gguf_tokenizer_json(file.metadata(), kMaxVocabSize);
  if (!json.ok()) return json.status().with_context(path);
  if (json.value().empty()) return not_found(fmt::format("'{}' has no tokenizer", path));
  return parse_own(json.value(), path);
}

Result<std::unique_ptr<Tokenizer>> checkpoint_tokenizer(const Checkpoint& checkpoint) {
  const std::string directory = companion_directory(checkpoint.directory);
  if (name_exists(directory + "/tokenizer.json")) return Tokenizer::load(directory);
  if (checkpoint.tokenizer_json.empty()) return std::unique_ptr<Tokenizer>();
  return parse_own(checkpoint.tokenizer_json, checkpoint.directory);
}

Result<std::optional<NamedToken>> named_token(const std::string& directory, const char* key) {
  for (const char* file : {"tokenizer_config.json", "special_tokens_map.json"}) {
    const std::string path = fmt::format("{}/{}", directory, file);
    if (!name_exists(path)) continue;
    LOOPLM_ASSIGN_OR_RETURN(const Json config, read_json_file(path));
    if (!config.is_object()) return invalid_argument(path + ": expected a JSON object");
    auto token = config_token(config, key);
    if (!token.ok()) return token.status().with_context(path);
    if (token.value()) return std::optional(NamedToken{*std::move(token).value(), file});
  }
  return std::optional<NamedToken>();
}

Result<std::optional<int32_t>> end_token_of(const std::string& path, const Tokenizer& tokenizer) {
  const std::string directory = companion_directory(path);
  LOOPLM_ASSIGN_OR_RETURN(const auto token, named_token(directory, "eos_token"));
  if (token) {
    const std::optional<int32_t> id = tokenizer.id_of(token->content);
    if (id) return id;
    return invalid_argument(
        fmt::format("{}/{}: 'eos_token' is '{}', which is not in the vocabulary", directory,
                    token->file, token->content));
  }
  if (directory == path) return std::optional<int32_t>();
  LOOPLM_ASSIGN_OR_RETURN(const GgufFile file, GgufFile::open(path));
  const auto id =
      gguf_int(file.metadata(), "tokenizer.ggml.eos_token_id", -1, 0, tokenizer.vocab_size() - 1);
  if (!id.ok()) return id.status().with_context(path);
  if (id.value() == -1) return std::optional<int32_t>();
  return std::optional(static_cast<int32_t>(id.value()));
}

}  // namespace looplm
