#include "grammar/schema_unevaluated.h"

#include <algorithm>
#include <initializer_list>

#include "grammar/schema_scalars.h"

namespace looplm {

Result<OrderedJson> without_unevaluated(const OrderedJson& schema, const std::string& place) {
  OrderedJson rest = schema;
  rest.erase("unevaluatedProperties");
  rest.erase("unevaluatedItems");
  const auto has = [&rest](std::initializer_list<const char*> keys) {
    return std::ranges::any_of(keys, [&rest](const char* key) { return rest.contains(key); });
  };
  // What an "if" or a "not" evaluates depends on whether it holds.
  const bool doubtful = has({"not", "if", "dependentSchemas", "dependentRequired", "dependencies"});
  const bool alone = !doubtful && !has({"$ref", "allOf", "anyOf", "oneOf"});
  if (schema.contains("unevaluatedProperties") && schema["unevaluatedProperties"] != true) {
    const OrderedJson& others = schema["unevaluatedProperties"];
    if (alone) {
      if (!rest.contains("additionalProperties")) rest["additionalProperties"] = others;
    } else if (others == false && !doubtful) {
      rest[kClosed] = true;
    } else {
      return unsupported(place +
                         ".unevaluatedProperties is only supported as false, and not "
                         "beside conditions and not");
    }
  }
  if (schema.contains("unevaluatedItems") && schema["unevaluatedItems"] != true) {
    if (!alone || has({"contains"}) || (rest.contains("items") && rest["items"].is_array())) {
      return unsupported(place + ".unevaluatedItems is not supported beside other schemas");
    }
    if (!rest.contains("items")) rest["items"] = schema["unevaluatedItems"];
  }
  return rest;
}

}  // namespace looplm
