// References inside a schema whose parts have addresses of their own.
#ifndef LOOPLM_GRAMMAR_SCHEMA_BASE_H_
#define LOOPLM_GRAMMAR_SCHEMA_BASE_H_

#include <string>

#include "looplm/status.h"

#include "base/json.h"

namespace looplm {

// An "$id" below the root changes what the references under it start from (JSON Schema 2020-12,
// 8.2.1). Returns the schema with those references written as pointers from the root,
// "#/$defs/name". What leads out of the schema stays as it is, and so does a schema without such
// an "$id". Fails with kUnsupported where an "$id" or "$anchor" that may matter has a pointer of
// more than 1,000 bytes. `name` is the schema's in errors.
Result<OrderedJson> with_references_from_root(const OrderedJson& schema, const std::string& name);

// What stands behind '#' in a "$ref": a pointer, or the name of an $anchor. kUnsupported where it
// leads out of the schema `root`; `place` names the reference in errors.
Result<std::string> reference_path(const OrderedJson& root, const OrderedJson& value,
                                   const std::string& place);
// Where that leads; kNotFound where it leads nowhere.
Result<const OrderedJson*> find_reference(const OrderedJson& root, const std::string& path,
                                          const std::string& place);

}  // namespace looplm

#endif  // LOOPLM_GRAMMAR_SCHEMA_BASE_H_
