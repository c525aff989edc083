// A list in one line.
#ifndef LOOPLM_EVAL_JOINED_H_
#define LOOPLM_EVAL_JOINED_H_

#include <string>
#include <string_view>

namespace looplm {

template <typename Strings>
std::string joined(const Strings& items, std::string_view separator = ", ") {
  std::string text;
  bool first = true;
  for (const auto& item : items) {
    if (!first) text += separator;
    text += item;
    first = false;
  }
  return text;
}

}  // namespace looplm

#endif  // LOOPLM_EVAL_JOINED_H_
