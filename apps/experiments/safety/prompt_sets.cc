#include "experiments/safety/prompt_sets.h"

#include <algorithm>
#include <filesystem>
#include <map>

#include <fmt/format.h>

#include "base/file.h"
#include "base/json.h"
#include "eval/ascii.h"

namespace looplm {
namespace {

namespace fs = std::filesystem;
using Prompts = std::vector<CategorisedPrompt>;

// Runs of digits compare as numbers.
bool natural_less(const std::string& a, const std::string& b) {
  size_t i = 0, j = 0;
  while (i < a.size() && j < b.size()) {
    if (is_digit(a[i]) && is_digit(b[j])) {
      const auto run = [](const std::string& s, size_t& at) {
        while (at < s.size() && s[at] == '0') ++at;
        const size_t from = at;
        while (at < s.size() && is_digit(s[at])) ++at;
        return s.substr(from, at - from);
      };
      const std::string x = run(a, i), y = run(b, j);
      if (x.size() != y.size()) return x.size() < y.size();
      if (x != y) return x < y;
    } else {
      if (a[i] != b[j]) return a[i] < b[j];
      ++i, ++j;
    }
  }
  return a.size() - i < b.size() - j;
}

std::string trimmed(std::string_view text) {
  const auto space = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; };
  while (!text.empty() && space(text.front())) text.remove_prefix(1);
  while (!text.empty() && space(text.back())) text.remove_suffix(1);
  return std::string(text);
}

// Calls each(line, number).
template <typename Each>
Status for_lines(const std::string& text, Each each) {
  int number = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    LOOPLM_RETURN_IF_ERROR(each(trimmed(std::string_view(text).substr(at, end - at)), ++number));
    at = end + 1;
  }
  return {};
}

Status read_csv(const std::string& text, const std::string& path, const std::string& category,
                Prompts& prompts) {
  int line = 1;
  for (size_t at = 0; at < text.size();) {
    const int first = line;
    std::string field;
    if (text[at] == '"') {
      bool closed = false;
      for (++at; at < text.size() && !closed; ++at) {
        if (text[at] == '\n') ++line;
        if (text[at] != '"') {
          field += text[at];
        } else if (at + 1 < text.size() && text[at + 1] == '"') {
          field += text[at++];
        } else {
          closed = true;
        }
      }
      if (!closed) {
        return invalid_argument(fmt::format("{} line {}: a quote is not closed", path, first));
      }
    }
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string rest = trimmed(std::string_view(text).substr(at, end - at));
    if (!field.empty() && !rest.empty()) {
      return invalid_argument(
          fmt::format("{} line {}: '{}' follows the quoted prompt; expected one field per record",
                      path, line, rest.substr(0, 40)));
    }
    if (field.empty() && rest.find(',') != std::string::npos) {
      return invalid_argument(fmt::format(
          "{} line {}: a comma outside quotes; expected one field per record", path, line));
    }
    const std::string prompt = field.empty() ? rest : trimmed(field);
    if (!prompt.empty()) prompts.push_back({category, prompt});
    at = end + 1;
    ++line;
  }
  return {};
}

Status read_file(const fs::path& path, Prompts& prompts) {
  LOOPLM_ASSIGN_OR_RETURN(std::string text, read_text_file(path.string()));
  if (text.starts_with("\xef\xbb\xbf")) text.erase(0, 3);  // a byte order mark
  const std::string category = path.stem().string();
  const std::string kind = path.extension().string();
  if (kind == ".csv") return read_csv(text, path.string(), category, prompts);
  if (kind == ".txt") {
    return for_lines(text, [&](const std::string& line, int) -> Status {
      if (!line.empty()) prompts.push_back({category, line});
      return {};
    });
  }
  if (kind == ".jsonl") {
    return for_lines(text, [&](const std::string& line, int number) -> Status {
      if (line.empty()) return {};
      const std::string where = fmt::format("{} line {}", path.string(), number);
      LOOPLM_ASSIGN_OR_RETURN(const Json json, parse_json(line, where));
      if (!json.is_object() || !json.contains("prompt")) {
        return invalid_argument(where + R"(: expected {"prompt": ..., "category": ...})");
      }
      const Result<std::string> prompt = json_string(json, "prompt", "");
      if (!prompt.ok()) return prompt.status().with_context(where);
      const Result<std::string> named = json_string(json, "category", category);
      if (!named.ok()) return named.status().with_context(where);
      const std::string clean = trimmed(prompt.value());
      if (clean.empty()) return invalid_argument(where + ": the prompt is empty");
      prompts.push_back({named.value(), clean});
      return {};
    });
  }
  return invalid_argument(
      fmt::format("'{}': expected a folder, or a .txt, .csv or .jsonl file", path.string()));
}

}  // namespace

Result<Prompts> read_prompts(const std::string& path, int64_t per_category) {
  Prompts all;
  if (is_directory(path)) {
    std::vector<fs::path> files;
    std::error_code error;
    for (const fs::directory_entry& entry : fs::directory_iterator(path, error)) {
      const std::string kind = entry.path().extension().string();
      if (kind == ".txt" || kind == ".csv" || kind == ".jsonl") files.push_back(entry.path());
    }
    if (error) return io_error(fmt::format("cannot list '{}': {}", path, error.message()));
    std::sort(files.begin(), files.end(), [](const fs::path& a, const fs::path& b) {
      return natural_less(a.filename().string(), b.filename().string());
    });
    for (const fs::path& file : files) LOOPLM_RETURN_IF_ERROR(read_file(file, all));
  } else {
    LOOPLM_RETURN_IF_ERROR(read_file(path, all));
  }
  std::map<std::string, int64_t> seen;
  Prompts kept;
  for (CategorisedPrompt& p : all) {
    if (per_category == 0 || seen[p.category]++ < per_category) kept.push_back(std::move(p));
  }
  if (kept.empty()) return invalid_argument(fmt::format("'{}' has no prompts", path));
  return kept;
}

}  // namespace looplm
