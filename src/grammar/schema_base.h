// References inside a schema whose parts have addresses of their own.
#ifndef LOOPLM_GRAMMAR_SCHEMA_BASE_H_
#define LOOPLM_GRAMMAR_SCHEMA_BASE_H_

#include "base/json.h"

namespace looplm {

// An "$id" below the root changes what the references under it start from (JSON Schema 2020-12,
// 8.2.1). Returns the schema with those references written as pointers from the root,
// "#/$defs/name". What leads out of the schema stays as it is, and so does a schema without such
// an "$id".
OrderedJson with_references_from_root(const OrderedJson& schema);

}  // namespace looplm

#endif  // LOOPLM_GRAMMAR_SCHEMA_BASE_H_
