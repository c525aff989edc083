#include "common/nearest.h"

#include <algorithm>
#include <numeric>

namespace looplm::cli {

size_t edits_between(const std::string& from, const std::string& to) {
  std::vector<size_t> row(to.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < from.size(); ++i) {
    size_t diagonal = row[0]++;
    for (size_t j = 0; j < to.size(); ++j) {
      const size_t replaced = diagonal + (from[i] == to[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
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
  constexpr size_t kMostEdits = 2;
  const auto from_given = [&](const std::string& name) { return distance(given, name); };
  const auto best = std::ranges::min_element(names, {}, from_given);
  if (best == names.end() || given.size() <= kMostEdits) return {};
  return from_given(*best) <= kMostEdits ? *best : "";
}

}  // namespace looplm::cli
