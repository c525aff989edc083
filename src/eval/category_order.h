// The order of categories that readers expect where gains do not order them.
#ifndef LOOPLM_EVAL_CATEGORY_ORDER_H_
#define LOOPLM_EVAL_CATEGORY_ORDER_H_

#include <algorithm>
#include <charconv>
#include <string>
#include <tuple>
#include <vector>

#include "eval/outcomes.h"

namespace looplm {

// Numbers first, by their value; then other names.
inline std::vector<OutcomeCategory> in_order_of_names(std::vector<OutcomeCategory> categories) {
  const auto key = [](const std::string& name) {
    double number = 0;
    const char* const end = name.data() + name.size();
    const auto [stop, error] = std::from_chars(name.data(), end, number);
    const bool is_number = error == std::errc() && stop == end;
    return std::tuple(!is_number, is_number ? number : 0, name);
  };
  std::sort(categories.begin(), categories.end(),
            [&](const auto& a, const auto& b) { return key(a.name) < key(b.name); });
  return categories;
}

}  // namespace looplm

#endif  // LOOPLM_EVAL_CATEGORY_ORDER_H_
