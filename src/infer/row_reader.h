// The logits of a pass's rows, as one product.
#ifndef LOOPLM_INFER_ROW_READER_H_
#define LOOPLM_INFER_ROW_READER_H_

#include <cstdint>
#include <vector>

#include "infer/lane_arena.h"
#include "infer/parts.h"
#include "infer/wavefront.h"

namespace looplm {

class RowReader {
 public:
  RowReader(Model::Parts& parts, LaneArena& arena) : parts_(parts), arena_(arena) {}

  void begin();
  // A row of a request's, whose state is copied: its slot may be given back.
  void add(const void* request, const ReadRow& row);
  // Reads out those that were added since begin(). What was read before is gone.
  void read();

  // Whether the row was read since begin(); what was read.
  bool has(const void* request, const ReadRow& row) const;
  const float* logits(const void* request, const ReadRow& row) const;  // (V)
  const LogitSummary& summary(const void* request, const ReadRow& row) const;

 private:
  struct Key {
    const void* request;
    int64_t start;
    bool operator==(const Key&) const = default;
  };
  size_t index_of(const void* request, const ReadRow& row) const;

  Model::Parts& parts_;
  LaneArena& arena_;
  std::vector<Key> rows_;
  std::vector<float> normed_;
  std::vector<int64_t> guess_loops_;  // of each row, ReadRow::guess_loop
  std::vector<float> logits_;
  std::vector<LogitSummary> summaries_;
};

}  // namespace looplm

#endif  // LOOPLM_INFER_ROW_READER_H_
