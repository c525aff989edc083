#include "eval/examples.h"

#include <algorithm>

#include <fmt/format.h>

#include "text/lines.h"
#include "text/unpacked_file.h"
#include "train/corpus.h"

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
          fmt::format("{}: '{}' holds {}; expected an id", where, field, id.dump()));
    }
    // Out of range stays out of range in 32 bits, and is reported by the caller.
    ids.push_back(static_cast<int32_t>(std::clamp<int64_t>(id.get<int64_t>(), -1, INT32_MAX)));
  }
  append(example, ids, scored);
  return {};
}

Result<EvalExample> example_of(Json object, const Tokenizer* tokenizer, const std::string& where) {
  EvalExample example;
  if (object.is_object() && object.contains("prompt_ids")) {
    LOOPLM_RETURN_IF_ERROR(append_ids(object, "prompt_ids", false, where, example));
    LOOPLM_RETURN_IF_ERROR(append_ids(object, "completion_ids", true, where, example));
  } else {
    LOOPLM_ASSIGN_OR_RETURN(const CorpusDocument document, corpus_document(object, where));
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

}  // namespace

Result<std::vector<EvalExample>> read_examples(const std::string& path, const Tokenizer* tokenizer,
                                               const ExampleLimits& limits) {
  LOOPLM_ASSIGN_OR_RETURN(const UnpackedFile file, UnpackedFile::open(path));
  std::vector<EvalExample> examples;
  std::string_view rest = without_byte_order_mark(file.text());
  for (int64_t number = 1; !rest.empty(); ++number) {
    if (limits.examples > 0 && static_cast<int64_t>(examples.size()) == limits.examples) break;
    const std::string_view line = take_line(rest);
    if (line.find_first_not_of(" \t") == std::string_view::npos) continue;
    const std::string where = fmt::format("{}:{}", path, number);
    LOOPLM_ASSIGN_OR_RETURN(Json object, parse_json(line, where));
    LOOPLM_ASSIGN_OR_RETURN(EvalExample example, example_of(std::move(object), tokenizer, where));
    LOOPLM_RETURN_IF_ERROR(check(example, limits, where));
    examples.push_back(std::move(example));
  }
  if (examples.empty()) return invalid_argument(fmt::format("'{}' holds no examples", path));
  return examples;
}

}  // namespace looplm
