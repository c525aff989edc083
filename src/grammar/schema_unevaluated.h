// What "unevaluatedProperties" and "unevaluatedItems" of JSON schemas say, in other words.
#ifndef LOOPLM_GRAMMAR_SCHEMA_UNEVALUATED_H_
#define LOOPLM_GRAMMAR_SCHEMA_UNEVALUATED_H_

#include <string>

#include "looplm/status.h"

#include "base/json.h"

namespace looplm {

// Of a schema alone they are "additionalProperties" and "items"; beside schemas that hold too,
// kClosed (schema_scalars.h) stands for false, once all are put together. Fails with kUnsupported
// beside what may hold or not.
Result<OrderedJson> without_unevaluated(const OrderedJson& schema, const std::string& place);

}  // namespace looplm

#endif  // LOOPLM_GRAMMAR_SCHEMA_UNEVALUATED_H_
