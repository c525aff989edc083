// Temporary siblings of what is being written: TARGET.<pid>.<n>.tmp, which a rename puts in the
// target's place. Whoever writes one holds a lock of it, so that those of a process that was killed
// can be told and removed.
#ifndef LOOPLM_BASE_TEMPORARY_H_
#define LOOPLM_BASE_TEMPORARY_H_

#include <string>
#include <string_view>

#include "looplm/status.h"

namespace looplm {

enum class TemporaryKind { kFile, kDirectory };

// A new one, empty, and its open descriptor (of a file, for writing), which holds the lock.
struct Temporary {
  std::string path;
  int descriptor = -1;
};

// First removes what earlier processes left of the same target. Other files of the folder, and
// siblings that somebody still writes, stay.
Result<Temporary> make_temporary(const std::string& target, TemporaryKind kind);

// Removes those that were left of all targets `directory`/`prefix`*.
void remove_abandoned(const std::string& directory, std::string_view prefix);

}  // namespace looplm

#endif  // LOOPLM_BASE_TEMPORARY_H_
