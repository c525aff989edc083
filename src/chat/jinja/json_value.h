// JSON as a template's values.
#ifndef LOOPLM_CHAT_JINJA_JSON_VALUE_H_
#define LOOPLM_CHAT_JINJA_JSON_VALUE_H_

#include "base/json.h"
#include "chat/jinja/value.h"

namespace looplm::jinja {

// Strings, keys included, get the marks. Numbers are int or float, as Python's json reads them.
Value from_json(const OrderedJson& json, Marks marks);

}  // namespace looplm::jinja

#endif  // LOOPLM_CHAT_JINJA_JSON_VALUE_H_
