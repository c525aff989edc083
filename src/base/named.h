// Values that have a name in files and options: one table per type says both directions.
#ifndef LOOPLM_BASE_NAMED_H_
#define LOOPLM_BASE_NAMED_H_

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "looplm/status.h"

namespace looplm {

template <typename T>
struct Named {
  T value;
  const char* name;
};

template <typename T, size_t kCount>
using NameTable = std::array<Named<T>, kCount>;

// "?" for a value that the table lacks.
template <typename T, size_t kCount>
constexpr const char* name_of(const NameTable<T, kCount>& table, T value) {
  for (const Named<T>& entry : table) {
    if (entry.value == value) return entry.name;
  }
  return "?";
}

// An unknown name is an error that lists the table's.
template <typename T, size_t kCount>
Result<T> value_named(const NameTable<T, kCount>& table, std::string_view name) {
  std::string known;
  for (const Named<T>& entry : table) {
    if (name == entry.name) return entry.value;
    if (!known.empty()) known += ", ";
    known += entry.name;
  }
  return invalid_argument(fmt::format("'{}'; expected one of {}", name, known));
}

}  // namespace looplm

#endif  // LOOPLM_BASE_NAMED_H_
