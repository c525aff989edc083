// A request that has been checked, with its defaults filled in.
#ifndef LOOPLM_INFER_REQUEST_H_
#define LOOPLM_INFER_REQUEST_H_

#include <cstdint>

#include "looplm/engine.h"

namespace looplm {

// Fails on whatever generate() refuses. Returns the maximum number of loops.
Result<int64_t> check_request(const Request& request, Model& model);

}  // namespace looplm

#endif  // LOOPLM_INFER_REQUEST_H_
