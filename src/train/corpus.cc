#include "train/corpus.h"

#include <fmt/format.h>

#include "base/file.h"
#include "base/json.h"

namespace looplm {
namespace {

using Visit = std::function<Status(CorpusDocument)>;

CorpusDocument plain(std::string_view text) { return {{std::string(text), true}}; }

// Takes the next line, without its end, off the front of `rest`.
std::string_view take_line(std::string_view& rest) {
  const size_t end = rest.find('\n');
  std::string_view line = rest.substr(0, end);
  rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

bool is_blank(std::string_view line) {
  return line.find_first_not_of(" \t\r\n\f\v") == std::string_view::npos;
}

Result<std::string> string_field(const Json& object, const char* name, const std::string& where) {
  const auto field = object.find(name);
  if (field == object.end()) {
    return invalid_argument(fmt::format(
        "{}: no field '{}'; expected 'text', 'prompt' and 'completion', or 'turns'", where, name));
  }
  if (!field->is_string()) {
    return invalid_argument(
        fmt::format("{}: field '{}' is {}; expected a string", where, name, field->dump()));
  }
  return field->get<std::string>();
}

Status add_turn(const Json& turn, const std::string& where, CorpusDocument& document) {
  if (!turn.is_object()) {
    return invalid_argument(fmt::format("{}: {}; expected a JSON object", where, turn.dump()));
  }
  LOOPLM_ASSIGN_OR_RETURN(std::string prompt, string_field(turn, "prompt", where));
  LOOPLM_ASSIGN_OR_RETURN(std::string completion, string_field(turn, "completion", where));
  document.push_back({std::move(prompt), false});
  document.push_back({std::move(completion), true});
  return {};
}

Status read_json_lines(std::string_view rest, const std::string& path, const Visit& visit) {
  for (int64_t number = 1; !rest.empty(); ++number) {
    const std::string_view line = take_line(rest);
    if (is_blank(line)) continue;
    const std::string where = fmt::format("{}:{}", path, number);
    LOOPLM_ASSIGN_OR_RETURN(const Json object, parse_json(line, where));
    LOOPLM_ASSIGN_OR_RETURN(CorpusDocument document, corpus_document(object, where));
    std::erase_if(document, [](const CorpusSegment& s) { return s.text.empty(); });
    if (!document.empty()) LOOPLM_RETURN_IF_ERROR(visit(std::move(document)));
  }
  return {};
}

Status read_paragraphs(std::string_view rest, const Visit& visit) {
  const char* start = rest.data();  // of the paragraph so far
  const char* end = start;          // of its last line, line end excluded
  bool open = false;
  while (!rest.empty()) {
    const std::string_view line = take_line(rest);
    if (is_blank(line)) {
      if (open) LOOPLM_RETURN_IF_ERROR(visit(plain({start, end})));
      open = false;
      continue;
    }
    if (!open) start = line.data();
    open = true;
    end = line.data() + line.size();
  }
  return open ? visit(plain({start, end})) : Status();
}

Status read_lines(std::string_view rest, const Visit& visit) {
  while (!rest.empty()) {
    const std::string_view line = take_line(rest);
    if (!is_blank(line)) LOOPLM_RETURN_IF_ERROR(visit(plain(line)));
  }
  return {};
}

}  // namespace

Result<CorpusDocument> corpus_document(const Json& object, const std::string& where) {
  if (!object.is_object()) {
    return invalid_argument(fmt::format("{}: expected a JSON object", where));
  }
  const bool pair = object.contains("prompt") || object.contains("completion");
  const bool turns = object.contains("turns");
  if (pair + turns + object.contains("text") > 1) {
    return invalid_argument(
        fmt::format("{}: expected one of 'text', 'prompt' and 'completion', or 'turns'", where));
  }
  CorpusDocument document;
  if (turns) {
    const Json& list = object["turns"];
    if (!list.is_array()) {
      return invalid_argument(
          fmt::format("{}: field 'turns' is {}; expected an array", where, list.dump()));
    }
    for (size_t i = 0; i < list.size(); ++i) {
      LOOPLM_RETURN_IF_ERROR(add_turn(list[i], fmt::format("{}: turn {}", where, i), document));
    }
  } else if (pair) {
    LOOPLM_RETURN_IF_ERROR(add_turn(object, where, document));
  } else {
    LOOPLM_ASSIGN_OR_RETURN(std::string text, string_field(object, "text", where));
    document.push_back({std::move(text), true});
  }
  return document;
}

Result<DocumentIds> encode_document(const CorpusDocument& document, const Tokenizer& tokenizer,
                                    int64_t* lost_bytes) {
  DocumentIds result;
  result.ids = tokenizer.ids_in_front();
  result.learnt.assign(result.ids.size(), false);
  for (const CorpusSegment& segment : document) {
    LOOPLM_ASSIGN_OR_RETURN(const std::vector<int32_t> ids,
                            tokenizer.encode(segment.text, {.as = EncodeAs::kContinuation,
                                                            .parse_special = false,
                                                            .lost_bytes = lost_bytes}));
    result.ids.insert(result.ids.end(), ids.begin(), ids.end());
    result.learnt.insert(result.learnt.end(), ids.size(), segment.learnt);
  }
  return result;
}

Status read_corpus(const std::string& path, TextSplit split, const Visit& visit) {
  LOOPLM_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::open(path));
  if (path.ends_with(".jsonl")) return read_json_lines(file.text(), path, visit);
  Status status;
  switch (split) {
    case TextSplit::kParagraph:
      status = read_paragraphs(file.text(), visit);
      break;
    case TextSplit::kLine:
      status = read_lines(file.text(), visit);
      break;
    case TextSplit::kFile:
      if (!is_blank(file.text())) status = visit(plain(file.text()));
      break;
  }
  return status.with_context(path);
}

}  // namespace looplm
