#include "eval/examples.h"

#include <algorithm>

#include <fmt/format.h>

#include "text/lines.h"
#include "text/unpacked_file.h"
#include "train/corpus.h"
#include "train/token_shard.h"

namespace looplm {
namespace {

void append(EvalExample& example, const std::vector<int32_t>& ids, bool scored) {
  example.ids.insert(example.ids.end(), ids.begin(), ids.end());
  example.scored.insert(example.scored.end(), ids.size(), scored);
}

Status append_ids(const Json& object, const char* field, bool scored, const std::string& where,
                  EvalExample& example) {
  const auto found = object.find(field);
  if (found == object.end() || !found->is_array()) {
    return invalid_argument(fmt::format("{}: expected an array of ids in '{}'", where, field));
  }
  std::vector<int32_t> ids;
  for (const Json& id : *found) {
    if (!id.is_number_integer()) {
      return invalid_argument(
          fmt::format("{}: '{}' holds {}; expected an id", where, field, dump_json(id)));
    }
    // Out of range stays out of range in 32 bits, and is reported by the caller.
    ids.push_back(static_cast<int32_t>(std::clamp<int64_t>(id.get<int64_t>(), -1, INT32_MAX)));
  }
  append(example, ids, scored);
  return {};
}

Result<EvalExample> example_of(std::string_view line, const Tokenizer* tokenizer,
                               const Result<ChatTemplate>* chat, const std::string& where) {
  LOOPLM_ASSIGN_OR_RETURN(Json object, parse_json(line, where));
  EvalExample example;
  if (object.is_object() && object.contains("prompt_ids")) {
    LOOPLM_RETURN_IF_ERROR(append_ids(object, "prompt_ids", false, where, example));
    LOOPLM_RETURN_IF_ERROR(append_ids(object, "completion_ids", true, where, example));
  } else {
    LOOPLM_ASSIGN_OR_RETURN(const CorpusDocument document,
                            corpus_line(line, where, chat, /*learns=*/false));
    if (std::ranges::any_of(document, &CorpusSegment::of_rejected)) {
      return invalid_argument(where + ": a preference pair; expected a text or a chat");
    }
    if (tokenizer == nullptr) {
      return invalid_argument(fmt::format(
          "{}: the model has no tokenizer.json; expected 'prompt_ids' and 'completion_ids'",
          where));
    }
    Result<DocumentIds> coded = encode_document(document, *tokenizer);
    if (!coded.ok()) return coded.status().with_context(where);
    example.ids = std::move(coded->ids);
    example.scored = std::move(coded->learnt);
  }
  if (!example.scored.empty()) example.scored[0] = false;
  example.fields = std::move(object);
  return example;
}

Status check(const EvalExample& example, const ExampleLimits& limits, const std::string& where) {
  if (std::find(example.scored.begin(), example.scored.end(), true) == example.scored.end()) {
    return invalid_argument(fmt::format(
        "{}: nothing to score; expected a token after the first, or after the prompt", where));
  }
  if (static_cast<int64_t>(example.ids.size()) > limits.max_positions) {
    return invalid_argument(fmt::format("{}: {} tokens; the model has {} positions", where,
                                        example.ids.size(), limits.max_positions));
  }
  for (int32_t id : example.ids) {
    if (id < 0 || id >= limits.vocab_size) {
      return invalid_argument(fmt::format("{}: token id {} is out of range; expected 0 to {}",
                                          where, id, limits.vocab_size - 1));
    }
  }
  return {};
}

// The documents of a token shard.
Result<std::vector<EvalExample>> shard_examples(const std::string& path, const Tokenizer* tokenizer,
                                                const ExampleLimits& limits) {
  LOOPLM_ASSIGN_OR_RETURN(const TokenShard shard, TokenShard::open(path));
  LOOPLM_RETURN_IF_ERROR(shard.verify());
  if (shard.is_pairs()) {
    return invalid_argument(fmt::format("'{}' holds preference pairs; expected documents", path));
  }
  if (tokenizer != nullptr) {
    LOOPLM_RETURN_IF_ERROR(
        check_same_tokenizer("'" + path + "'", shard.vocabulary(), "the model", *tokenizer));
  }
  const int64_t count =
      limits.examples > 0 ? std::min(limits.examples, shard.documents()) : shard.documents();
  std::vector<EvalExample> examples(static_cast<size_t>(count));
  for (int64_t d = 0; d < count; ++d) {
    EvalExample& example = examples[static_cast<size_t>(d)];
    const int64_t tokens = shard.document_length(d);
    example.ids.resize(static_cast<size_t>(tokens));
    LOOPLM_RETURN_IF_ERROR(shard.read(d, 0, example.ids));
    for (int64_t i = 0; i < tokens; ++i) example.scored.push_back(i > 0 && shard.is_learnt(d, i));
    LOOPLM_RETURN_IF_ERROR(check(example, limits, fmt::format("'{}', document {}", path, d)));
  }
  return examples;
}

}  // namespace

Result<std::vector<EvalExample>> read_examples(const std::string& path, const Tokenizer* tokenizer,
                                               const ExampleLimits& limits,
                                               const Result<ChatTemplate>* chat) {
  if (path.ends_with(".tokens")) return shard_examples(path, tokenizer, limits);
  std::vector<EvalExample> examples;
  int64_t number = 0;  // of the line
  const VisitPart add_lines = [&](std::string_view rest) -> Result<bool> {
    if (number == 0) rest = without_byte_order_mark(rest);
    while (!rest.empty()) {
      if (limits.examples > 0 && static_cast<int64_t>(examples.size()) == limits.examples) {
        return false;
      }
      ++number;
      const std::string_view line = take_line(rest);
      if (line.find_first_not_of(" \t") == std::string_view::npos) continue;
      const std::string where = fmt::format("{}:{}", path, number);
      LOOPLM_ASSIGN_OR_RETURN(EvalExample example, example_of(line, tokenizer, chat, where));
      LOOPLM_RETURN_IF_ERROR(check(example, limits, where));
      examples.push_back(std::move(example));
    }
    return true;
  };
  LOOPLM_RETURN_IF_ERROR(read_text_parts(path, whole_lines, add_lines));
  if (examples.empty()) return invalid_argument(fmt::format("'{}' holds no examples", path));
  return examples;
}

}  // namespace looplm
