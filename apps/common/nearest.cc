#include "common/nearest.h"

#include <algorithm>
#include <cctype>
#include <numeric>
#include <utility>

namespace looplm::cli {

size_t edits_between(const std::string& from, const std::string& to) {
  // Edits from a beginning of `from`, of this length, to each beginning of `to`.
  std::vector<size_t> before_last, last, row(to.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= from.size(); ++i) {
    before_last = std::exchange(last, row);
    row[0] = i;
    for (size_t j = 1; j <= to.size(); ++j) {
      const size_t replaced = last[j - 1] + (from[i - 1] == to[j - 1] ? 0 : 1);
      row[j] = std::min({replaced, row[j - 1] + 1, last[j] + 1});
      if (i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1]) {
        row[j] = std::min(row[j], before_last[j - 2] + 1);
      }
    }
  }
  return row.back();
}

size_t edits_or_beginning(const std::string& from, const std::string& to) {
  const size_t shorter = std::min(from.size(), to.size());
  if (shorter >= 3 && to.compare(0, shorter, from, 0, shorter) == 0) return 1;
  return edits_between(from, to);
}

std::string nearest(const std::string& given, const std::vector<std::string>& names,
                    size_t (*distance)(const std::string& from, const std::string& to)) {
  // Two edits make almost any word of four letters of another.
  const size_t letters =
      std::ranges::count_if(given, [](unsigned char c) { return std::isalnum(c); });
  const size_t most_edits = letters < 5 ? 1 : 2;
  const auto from_given = [&](const std::string& name) { return distance(given, name); };
  const auto best = std::ranges::min_element(names, {}, from_given);
  if (best == names.end() || letters < 3) return {};
  return from_given(*best) <= most_edits ? *best : "";
}

}  // namespace looplm::cli
