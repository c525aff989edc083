#include "experiments/core/delimited.h"

#include <algorithm>

#include <fmt/format.h>

#include "eval/ascii.h"

namespace looplm {

Result<std::vector<std::string>> DelimitedReader::next() {
  const char ends[] = {delimiter_, '\n', '\0'};
  std::vector<std::string> fields;
  while (true) {
    std::string& field = fields.emplace_back();
    if (rest_.starts_with('"')) {
      LOOPLM_RETURN_IF_ERROR(read_quoted(field));
    } else {
      const size_t end = std::min(rest_.find_first_of(ends), rest_.size());
      field = rest_.substr(0, end);
      rest_.remove_prefix(end);
      if (field.ends_with('\r') && !rest_.starts_with(delimiter_)) field.pop_back();
    }
    const bool another = rest_.starts_with(delimiter_);
    if (!rest_.empty()) rest_.remove_prefix(1);
    if (another) continue;
    ++line_;
    return fields;
  }
}

// Leaves what ends the field in front.
Status DelimitedReader::read_quoted(std::string& field) {
  for (size_t i = 1; i < rest_.size(); ++i) {
    if (rest_[i] == '\n') ++line_;
    if (rest_[i] != '"') {
      field += rest_[i];
      continue;
    }
    if (i + 1 < rest_.size() && rest_[i + 1] == '"') {
      field += rest_[i++];
      continue;
    }
    rest_.remove_prefix(i + 1);
    while (rest_.starts_with(' ')) rest_.remove_prefix(1);
    if (rest_.starts_with("\r\n") || rest_ == "\r") rest_.remove_prefix(1);
    if (rest_.empty() || rest_[0] == delimiter_ || rest_[0] == '\n') return {};
    const std::string_view text = rest_.substr(0, std::min(rest_.find('\n'), size_t{40}));
    return invalid_argument(fmt::format("'{}' follows a closing quotation mark", stripped(text)));
  }
  return invalid_argument("a quote is not closed");
}

}  // namespace looplm
