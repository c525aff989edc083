// The tables of filters and tests.
#ifndef LOOPLM_CHAT_JINJA_FILTERS_H_
#define LOOPLM_CHAT_JINJA_FILTERS_H_

#include <string_view>
#include <unordered_map>

#include "chat/jinja/interpreter.h"

namespace looplm::jinja {

using FilterFunction = Value (*)(Interpreter&, const Value& value, const Arguments&);

bool is_filter(std::string_view name);
bool is_test(std::string_view name);

// Those that take lists apart and put them together.
std::unordered_map<std::string_view, FilterFunction> sequence_filters();

}  // namespace looplm::jinja

#endif  // LOOPLM_CHAT_JINJA_FILTERS_H_
