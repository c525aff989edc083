#include "train/corpus.h"

#include <fmt/format.h>

#include "base/file.h"
#include "base/json.h"

namespace looplm {
namespace {

using Visit = std::function<Status(const CorpusDocument&)>;

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
        "{}: no field '{}'; expected 'text', or 'prompt' and 'completion'", where, name));
  }
  if (!field->is_string()) {
    return invalid_argument(
        fmt::format("{}: field '{}' is {}; expected a string", where, name, field->dump()));
  }
  return field->get<std::string>();
}

Status visit_object(std::string_view line, const std::string& where, const Visit& visit) {
  LOOPLM_ASSIGN_OR_RETURN(const Json object, parse_json(line, where));
  if (!object.is_object()) {
    return invalid_argument(fmt::format("{}: expected a JSON object", where));
  }
  const bool pair = object.contains("prompt") || object.contains("completion");
  if (pair && object.contains("text")) {
    return invalid_argument(fmt::format(
        "{}: has 'text' and also 'prompt' or 'completion'; expected one of the two", where));
  }
  std::string prompt;
  if (pair) {
    LOOPLM_ASSIGN_OR_RETURN(prompt, string_field(object, "prompt", where));
  }
  LOOPLM_ASSIGN_OR_RETURN(const std::string text,
                          string_field(object, pair ? "completion" : "text", where));
  if (prompt.empty() && text.empty()) return {};
  return visit({prompt, text});
}

Status read_json_lines(std::string_view rest, const std::string& path, const Visit& visit) {
  for (int64_t number = 1; !rest.empty(); ++number) {
    const std::string_view line = take_line(rest);
    if (is_blank(line)) continue;
    LOOPLM_RETURN_IF_ERROR(visit_object(line, fmt::format("{}:{}", path, number), visit));
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
      if (open) LOOPLM_RETURN_IF_ERROR(visit({{}, std::string_view(start, end)}));
      open = false;
      continue;
    }
    if (!open) start = line.data();
    open = true;
    end = line.data() + line.size();
  }
  return open ? visit({{}, std::string_view(start, end)}) : Status();
}

Status read_lines(std::string_view rest, const Visit& visit) {
  while (!rest.empty()) {
    const std::string_view line = take_line(rest);
    if (!is_blank(line)) LOOPLM_RETURN_IF_ERROR(visit({{}, line}));
  }
  return {};
}

}  // namespace

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
      if (!is_blank(file.text())) status = visit({{}, file.text()});
      break;
  }
  return status.with_context(path);
}

}  // namespace looplm
