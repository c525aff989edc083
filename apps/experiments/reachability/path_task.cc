#include "experiments/reachability/path_task.h"

#include <algorithm>
#include <numeric>

#include <fmt/format.h>

#include "base/check.h"
#include "base/rng.h"
#include "base/shuffle.h"
#include "eval/held_out.h"

namespace looplm {
namespace {

constexpr int kMost = 1000;
constexpr int kMostNodes = 400;  // 160,000 edges to name

PathSplit split_of(const std::vector<std::pair<int, int>>& edges) {
  std::vector<uint64_t> nodes;
  for (const auto& [from, to] : edges) {
    for (int node : {from, to}) nodes.push_back(static_cast<uint64_t>(node));
  }
  return is_held_out(fnv1a(nodes)) ? PathSplit::kHeldOut : PathSplit::kTrain;
}

PathDocument draw(const PathOptions& o, int length, Rng& rng) {
  const auto below = [&](int n) { return static_cast<int>(rng.below(static_cast<uint32_t>(n))); };
  std::vector<int> names(static_cast<size_t>(o.nodes()));
  std::iota(names.begin(), names.end(), 0);
  shuffle(names, rng);
  const auto node = [&](int path, int place) {
    return names[static_cast<size_t>(path * (length + 1) + place)];
  };
  PathDocument document;
  for (int path = 0; path < o.paths; ++path) {
    for (int place = 0; place < length; ++place) {
      document.edges.emplace_back(node(path, place), node(path, place + 1));
    }
    document.edges.emplace_back(node(path, length), node(path, length));
  }
  shuffle(document.edges, rng);
  const int farthest = o.farthest > 0 ? std::min(o.farthest, length) : length;
  for (int i = 0; i < o.queries; ++i) {
    const int path = below(o.paths);
    const int distance = o.distance > 0 ? std::min(o.distance, length) : 1 + below(farthest);
    document.queries.push_back({node(path, length - distance), node(path, length), distance});
  }
  return document;
}

Status check_range(const char* what, int value, int least, int most) {
  if (value >= least && value <= most) return {};
  return invalid_argument(fmt::format("{} is {}; expected {} to {}", what, value, least, most));
}

}  // namespace

Status check(const PathOptions& o) {
  LOOPLM_RETURN_IF_ERROR(check_range("paths", o.paths, 2, kMost));
  LOOPLM_RETURN_IF_ERROR(check_range("length", o.length, 1, kMost));
  LOOPLM_RETURN_IF_ERROR(check_range("distance", o.distance, 0, o.length));
  LOOPLM_RETURN_IF_ERROR(check_range("farthest", o.farthest, 0, o.length));
  LOOPLM_RETURN_IF_ERROR(check_range("nodes", o.nodes(), 4, kMostNodes));
  if (o.documents_per_length < 0) {
    return invalid_argument(
        fmt::format("documents_per_length is {}; expected 0 or more", o.documents_per_length));
  }
  return check_range("queries", o.queries, 1, kMost);
}

std::vector<int32_t> PathDocument::ids(const PathOptions& options) const {
  std::vector<int32_t> ids = {options.bos()};
  for (const auto& [from, to] : edges) ids.push_back(options.edge(from, to));
  for (const PathQuery& q : queries) ids.insert(ids.end(), {q.from, q.end});
  return ids;
}

PathDocument path_document(const PathOptions& options, uint64_t index) {
  LOOPLM_CHECK(check(options).ok());
  Rng rng(options.seed, index);
  const int length = options.length_at(index);
  PathDocument document = draw(options, length, rng);
  while (split_of(document.edges) != options.split) document = draw(options, length, rng);
  return document;
}

uint64_t PathStream::hash() const {
  const PathOptions& o = options_;
  return fnv1a(std::vector<int64_t>{o.paths, o.length, o.distance, o.farthest, o.queries,
                                    static_cast<int64_t>(o.split), o.documents_per_length,
                                    static_cast<int64_t>(o.seed)});
}

void PathStream::document(uint64_t index, std::vector<int32_t>& ids,
                          std::vector<bool>& learnt) const {
  const PathDocument drawn = path_document(options_, index);
  ids = drawn.ids(options_);
  learnt.assign(ids.size(), false);
  for (int q = 0; q < options_.queries; ++q) learnt[path_answer_place(drawn, q)] = true;
}

size_t path_answer_place(const PathDocument& document, int query) {
  return 1 + document.edges.size() + 2 * static_cast<size_t>(query) + 1;
}

}  // namespace looplm
