// The server's description of itself: OpenAPI 3.1.
#ifndef LOOPLM_SERVE_OPENAPI_H_
#define LOOPLM_SERVE_OPENAPI_H_

#include <cstdint>

#include "base/json.h"

namespace looplm {

// `vocabulary` bounds token ids; 0 while no model is there. `tuned`: the model has measured depths
// to choose from.
//
// Formats that are not JSON Schema's: "gbnf" is a grammar, "token-id" a token's id as a text, and
// "speculation" is "loop:1", "q:0.3" or "margin:0.5". Besides what the description forbids, a
// request is refused whose prompt does not fit, whose JSON Schema is not obeyed, or whose loop
// settings exclude each other.
OrderedJson openapi_json(int64_t vocabulary, bool tuned);

}  // namespace looplm

#endif  // LOOPLM_SERVE_OPENAPI_H_
