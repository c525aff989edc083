// Reachability for a model that must learn it: a context graph as edges in the prompt, and queries.
//
//   bos  7>2  11>5  2>9  ...  7 9  11 4  ...
//
// An edge is one token: written as two, the first thing to learn would be that the second belongs
// to the first. The graph is a few directed paths of equal length, whose ends have an edge to
// themselves (as the theorem's nodes must); names of nodes are drawn anew for each document, and
// edges come in a random order. A query is a node, and its answer the only end of a path that can
// be reached from it. Distances to the end are drawn uniformly. Every node has one edge out, and
// all but the first and the last of a path one edge in, so nothing but following the edges tells
// one end from the others.
#ifndef LOOPLM_EXPERIMENTS_REACHABILITY_PATH_TASK_H_
#define LOOPLM_EXPERIMENTS_REACHABILITY_PATH_TASK_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "looplm/status.h"
#include "looplm/train.h"

namespace looplm {

// A sixteenth of all graphs (with names and order of edges), chosen by a hash, is held out.
enum class PathSplit { kTrain, kHeldOut };

struct PathOptions {
  int paths = 2;
  int length = 8;    // edges of each path, without that of its end
  int distance = 0;  // from the end, of all queries (in shorter paths, their length); 0: drawn
  int farthest = 0;  // of the distances drawn; 0: the length of the paths
  int queries = 8;   // per document
  // If positive, training begins with short paths: this many documents have paths of one edge, the
  // next ones of two, and so on to `length`. Names are drawn from all nodes().
  int64_t documents_per_length = 0;
  PathSplit split = PathSplit::kTrain;
  uint64_t seed = 1;

  int nodes() const { return paths * (length + 1); }  // as many edges: one out of each
  // Ids: nodes are 0 .. nodes - 1.
  int32_t edge(int from, int to) const { return nodes() + from * nodes() + to; }
  int32_t bos() const { return nodes() + nodes() * nodes(); }
  int32_t vocab_size() const { return bos() + 1; }
  int length_at(uint64_t index) const {
    if (documents_per_length == 0) return length;
    const uint64_t grown = index / static_cast<uint64_t>(documents_per_length);
    return grown + 1 < static_cast<uint64_t>(length) ? static_cast<int>(grown) + 1 : length;
  }
  size_t longest_document() const { return static_cast<size_t>(1 + nodes() + 2 * queries); }
  bool operator==(const PathOptions&) const = default;
};

Status check(const PathOptions& options);

struct PathQuery {
  int from = 0;
  int end = 0;  // that can be reached from it
  int distance = 0;
};

struct PathDocument {
  std::vector<std::pair<int, int>> edges;  // in the order in which they are written
  std::vector<PathQuery> queries;

  std::vector<int32_t> ids(const PathOptions& options) const;
};

// The document with this index: a pure function of the options and the index.
PathDocument path_document(const PathOptions& options, uint64_t index);

// Place of a query's answer among a document's ids.
size_t path_answer_place(const PathDocument& document, int query);

// Documents whose answers are learnt.
class PathStream : public DocumentStream {
 public:
  explicit PathStream(const PathOptions& options) : options_(options) {}
  int64_t vocab_size() const override { return options_.vocab_size(); }
  uint64_t hash() const override;
  void document(uint64_t index, std::vector<int32_t>& ids,
                std::vector<bool>& learnt) const override;

 private:
  PathOptions options_;
};

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_REACHABILITY_PATH_TASK_H_
