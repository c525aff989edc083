// One sequence being read and extended: its cache, and the loops of its positions run in turn.
#ifndef LOOPLM_INFER_SEQUENCE_H_
#define LOOPLM_INFER_SEQUENCE_H_

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "infer/position.h"

namespace looplm {

class Sequence {
 public:
  // Runs at most `loops` loops per position.
  Sequence(PassRunner& runner, PagePool& pages, int64_t loops, KvPolicy policy);

  // What a loop of a chunk of prompt positions produced: normed (count, E) and gate logits (count)
  // for positions from `first`; loop from 0. For tracing and reading out.
  struct ChunkLoop {
    int64_t first;
    int64_t count;
    int64_t loop;
    const float* normed;
    std::span<const Lane> lanes;
  };
  using ChunkObserver = std::function<Status(const ChunkLoop&)>;

  // Runs all loops of the next prompt.size() positions, `chunk` positions per pass. `observe` and
  // `hook` may be empty.
  Status read_prompt(std::span<const int32_t> prompt, int64_t chunk, const ChunkObserver& observe,
                     BlockHook* hook = nullptr);

  // Forgets every position from `length` on.
  void rewind(int64_t length);

  // Runs the loops of the next position, which holds `token`, until the reader has decided (and,
  // under the full policy, all of them).
  void extend(int32_t token, PositionReader& reader);

  int64_t length() const { return length_; }
  const SequenceCache& cache() const { return cache_; }

 private:
  PassRunner& runner_;
  KvPolicy policy_;
  int64_t loops_;
  SequenceCache cache_;
  PositionKv position_kv_;
  int64_t length_ = 0;
  LaneArena arena_;
  std::vector<Lane> lanes_;
};

}  // namespace looplm

#endif  // LOOPLM_INFER_SEQUENCE_H_
