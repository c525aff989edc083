// Which name someone meant who mistyped it.
#ifndef LOOPLM_COMMON_NEAREST_H_
#define LOOPLM_COMMON_NEAREST_H_

#include <cstddef>
#include <string>
#include <vector>

namespace looplm::cli {

// How many letters one has to insert, delete or replace; two neighbours that change places count
// once.
size_t edits_between(const std::string& from, const std::string& to);
// The same; 1 where the shorter one begins the other.
size_t edits_or_beginning(const std::string& from, const std::string& to);

// The name that is at most two edits from `given`, one if that has fewer than five letters; empty:
// none is.
std::string nearest(const std::string& given, const std::vector<std::string>& names,
                    size_t (*distance)(const std::string& from,
                                       const std::string& to) = edits_or_beginning);

}  // namespace looplm::cli

#endif  // LOOPLM_COMMON_NEAREST_H_
