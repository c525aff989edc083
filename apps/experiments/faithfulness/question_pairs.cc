#include "experiments/faithfulness/question_pairs.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/file.h"
#include "experiments/core/delimited.h"

namespace looplm {
Result<std::vector<QuestionPair>> parse_question_pairs(std::string_view text, int64_t limit,
                                                       const std::string& what) {
  DelimitedReader reader(text, '\t');
  if (reader.ended()) return invalid_argument(what + " is empty");
  const auto header = reader.next();
  if (!header.ok()) return header.status().with_context(what + ", header");
  size_t columns[3];
  const char* const names[3] = {"question1", "question2", "is_duplicate"};
  for (size_t i = 0; i < 3; ++i) {
    const auto found = std::ranges::find(header.value(), names[i]);
    if (found == header.value().end()) {
      return invalid_argument(fmt::format(
          "{} has no column {}; expected the header of Quora Question Pairs", what, names[i]));
    }
    columns[i] = static_cast<size_t>(found - header.value().begin());
  }
  std::vector<QuestionPair> pairs;
  for (int64_t record = 1; !reader.ended() && (limit == 0 || record <= limit); ++record) {
    const std::string where = fmt::format("{}, record {}", what, record);
    auto fields = reader.next();
    if (!fields.ok()) return fields.status().with_context(where);
    if (fields->size() != header.value().size()) {
      return invalid_argument(fmt::format("{} has {} fields; the header has {}", where,
                                          fields->size(), header.value().size()));
    }
    const std::string& label = (*fields)[columns[2]];
    if (label != "0" && label != "1") {
      return invalid_argument(
          fmt::format("{}: is_duplicate is '{}'; expected 0 or 1", where, label));
    }
    pairs.push_back({(*fields)[columns[0]], (*fields)[columns[1]], label == "1"});
  }
  if (pairs.empty()) return invalid_argument(what + " holds no pairs");
  return pairs;
}

Result<std::vector<QuestionPair>> read_question_pairs(const std::string& path, int64_t limit) {
  LOOPLM_ASSIGN_OR_RETURN(const std::string text, read_text_file(path));
  return parse_question_pairs(text, limit, path);
}

}  // namespace looplm
