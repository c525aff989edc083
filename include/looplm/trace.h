// Looking inside: what every loop says about every token of a text.
#ifndef LOOPLM_TRACE_H_
#define LOOPLM_TRACE_H_

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "looplm/model.h"
#include "looplm/read_out.h"
#include "looplm/status.h"

namespace looplm {

struct TraceOptions {
  int64_t loops = 0;  // loops to run; 0: as many as the config says
  int64_t top = 5;    // most likely next tokens to list; 0: none
  int64_t prompt_chunk = 256;
  // Called for every (loop, token), both from 0. The loops of one token come in order; a chunk's
  // tokens come loop by loop. May be empty.
  std::function<Status(int64_t loop, int64_t token, std::span<const float> logits)> on_logits;
};

struct Trace {
  int64_t loops = 0;
  std::vector<int32_t> ids;
  std::vector<LoopReading> cells;  // (loops, tokens)

  const LoopReading& at(int64_t loop, int64_t token) const {
    return cells[static_cast<size_t>(loop) * ids.size() + static_cast<size_t>(token)];
  }
};

Result<Trace> trace(Model& model, std::span<const int32_t> ids, const TraceOptions& options);

}  // namespace looplm

#endif  // LOOPLM_TRACE_H_
