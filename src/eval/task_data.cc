#include "eval/task_data.h"

#include <algorithm>
#include <filesystem>

#include <fmt/format.h>
#include <glob.h>

#include "text/lines.h"
#include "text/unpacked_file.h"

namespace looplm {
namespace {

std::vector<std::string> matches(const std::string& pattern) {
  glob_t found = {};
  std::vector<std::string> files;
  if (glob(pattern.c_str(), 0, nullptr, &found) == 0) {
    files.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  }
  globfree(&found);
  return files;
}

Result<bool> passes(const Task& task, const Json& fields, const std::string& where) {
  for (const TaskFilter& filter : task.where) {
    const Json* value = find_field(fields, filter.field);
    if (value == nullptr) {
      return invalid_argument(
          fmt::format("{}: there is no field '{}', which 'where' of {} asks for", where,
                      filter.field, task.file));
    }
    LOOPLM_ASSIGN_OR_RETURN(const std::string text, field_text(*value, filter.field));
    if (std::find(filter.is.begin(), filter.is.end(), text) == filter.is.end()) return false;
  }
  return true;
}

Status add(const Task& task, Json fields, const std::string& file, std::string where,
           std::vector<TaskRecord>& records) {
  if (!fields.is_object()) {
    return invalid_argument(
        fmt::format("{}: holds {}; expected an object", where, fields.type_name()));
  }
  if (!fields.contains("file")) {
    fields["file"] = std::filesystem::path(unpacked_name(file)).stem().string();
  }
  LOOPLM_ASSIGN_OR_RETURN(const bool wanted, passes(task, fields, where));
  if (wanted) records.push_back({std::move(fields), std::move(where)});
  return {};
}

// A JSON list of records, or a record in each line.
class RecordReader {
 public:
  RecordReader(const Task& task, const std::string& path, std::vector<TaskRecord>& records)
      : task_(task), path_(path), records_(records) {}

  Status read() {
    const WholePart whole = [](std::string_view text) {
      return is_list(without_byte_order_mark(text)) ? 0 : whole_lines(text);
    };
    return read_text_parts(path_, whole, [this](std::string_view part) -> Result<bool> {
      if (number_ == 0) part = without_byte_order_mark(part);
      const bool list = number_ == 0 && is_list(part);
      LOOPLM_RETURN_IF_ERROR(list ? add_list(part) : add_lines(part));
      return true;
    });
  }

 private:
  static bool is_list(std::string_view text) {
    const size_t begin = text.find_first_not_of(" \t\r\n");
    return begin != std::string_view::npos && text[begin] == '[';
  }

  Status add_list(std::string_view text) {
    LOOPLM_ASSIGN_OR_RETURN(const Json list, parse_json(text, path_));
    for (size_t i = 0; i < list.size(); ++i) {
      LOOPLM_RETURN_IF_ERROR(
          add(task_, list[i], path_, fmt::format("{}, element {}", path_, i + 1), records_));
    }
    return {};
  }

  Status add_lines(std::string_view rest) {
    while (!rest.empty()) {
      ++number_;
      const std::string_view line = take_line(rest);
      if (line.find_first_not_of(" \t") == std::string_view::npos) continue;
      const std::string where = fmt::format("{}:{}", path_, number_);
      LOOPLM_ASSIGN_OR_RETURN(Json fields, parse_json(line, where));
      LOOPLM_RETURN_IF_ERROR(add(task_, std::move(fields), path_, where, records_));
    }
    return {};
  }

  const Task& task_;
  const std::string& path_;
  std::vector<TaskRecord>& records_;
  int64_t number_ = 0;  // of the line
};

}  // namespace

Result<std::vector<std::string>> find_data(const Task& task, const std::string& pattern,
                                           const DataFolder& folder) {
  const std::filesystem::path beside = std::filesystem::path(task.file).parent_path();
  std::vector<std::string> places;
  if (!folder.directory.empty()) places.push_back(folder.directory);
  places.push_back(beside.empty() ? "." : beside.string());
  for (const std::string& place : places) {
    // An absolute pattern stays as it is.
    std::vector<std::string> files = matches((std::filesystem::path(place) / pattern).string());
    if (!files.empty()) return files;
  }
  std::string message =
      fmt::format("{}: there is no file '{}' in '{}'", task.file, pattern, places[0]);
  if (places.size() > 1) message += fmt::format(" nor in '{}'", places[1]);
  if (folder.directory.empty()) message += "; --data-dir names the folder of the data";
  if (!task.source.empty()) message += ". Data: " + task.source;
  return not_found(message);
}

Result<std::vector<TaskRecord>> read_records(const Task& task,
                                             const std::vector<std::string>& patterns,
                                             const DataFolder& folder) {
  std::vector<TaskRecord> records;
  for (const std::string& pattern : patterns) {
    LOOPLM_ASSIGN_OR_RETURN(const std::vector<std::string> files, find_data(task, pattern, folder));
    for (const std::string& file : files) {
      LOOPLM_RETURN_IF_ERROR(RecordReader(task, file, records).read());
    }
  }
  return records;
}

}  // namespace looplm
