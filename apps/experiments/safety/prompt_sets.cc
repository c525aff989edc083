#include "experiments/safety/prompt_sets.h"

#include <algorithm>
#include <filesystem>
#include <map>

#include <fmt/format.h>

#include "base/file.h"
#include "base/json.h"
#include "eval/ascii.h"
#include "experiments/core/delimited.h"
#include "text/lines.h"

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

Status read_csv(std::string_view text, const std::string& path, const std::string& category,
                Prompts& prompts) {
  DelimitedReader reader(text, ',');
  while (!reader.ended()) {
    const std::string where = fmt::format("{} line {}", path, reader.line());
    Result<std::vector<std::string>> fields = reader.next();
    if (!fields.ok()) return fields.status().with_context(where);
    if (fields->size() > 1) {
      return invalid_argument(where + ": a comma outside quotes; expected one field per record");
    }
    const std::string_view prompt = stripped(fields->front());
    if (!prompt.empty()) prompts.push_back({category, std::string(prompt)});
  }
  return {};
}

Status read_json_line(std::string_view line, const std::string& where, const std::string& category,
                      Prompts& prompts) {
  LOOPLM_ASSIGN_OR_RETURN(const Json json, parse_json(line, where));
  if (!json.is_object() || !json.contains("prompt")) {
    return invalid_argument(where + R"(: expected {"prompt": ..., "category": ...})");
  }
  const Result<std::string> prompt = json_string(json, "prompt", "");
  if (!prompt.ok()) return prompt.status().with_context(where);
  const Result<std::string> named = json_string(json, "category", category);
  if (!named.ok()) return named.status().with_context(where);
  const std::string_view clean = stripped(prompt.value());
  if (clean.empty()) return invalid_argument(where + ": the prompt is empty");
  prompts.push_back({named.value(), std::string(clean)});
  return {};
}

Status read_file(const fs::path& path, Prompts& prompts) {
  LOOPLM_ASSIGN_OR_RETURN(const std::string text, read_text_file(path.string()));
  std::string_view rest = without_byte_order_mark(text);
  const std::string category = path.stem().string();
  const std::string kind = path.extension().string();
  if (kind == ".csv") return read_csv(rest, path.string(), category, prompts);
  if (kind != ".txt" && kind != ".jsonl") {
    return invalid_argument(
        fmt::format("'{}': expected a folder, or a .txt, .csv or .jsonl file", path.string()));
  }
  for (int number = 1; !rest.empty(); ++number) {
    const std::string_view line = stripped(take_line(rest));
    if (line.empty()) continue;
    if (kind == ".txt") {
      prompts.push_back({category, std::string(line)});
    } else {
      LOOPLM_RETURN_IF_ERROR(read_json_line(line, fmt::format("{} line {}", path.string(), number),
                                            category, prompts));
    }
  }
  return {};
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
