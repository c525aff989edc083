// Temporary files and directories beside their target: TARGET.<pid>.<n>.tmp, which a rename puts in
// the target's place. The writer holds a lock, so that what a killed process left can be recognised
// and removed.
#ifndef LOOPLM_BASE_TEMPORARY_H_
#define LOOPLM_BASE_TEMPORARY_H_

#include <string>
#include <string_view>

#include "looplm/status.h"

namespace looplm {

enum class TemporaryKind { kFile, kDirectory };

// A new, empty one. Its open descriptor (for writing, if it is a file) holds the lock.
struct Temporary {
  std::string path;
  int descriptor = -1;
};

// First removes what earlier processes left for the same target. Keeps other files, and temporaries
// that somebody is still writing.
Result<Temporary> make_temporary(const std::string& target, TemporaryKind kind);

// Removes what was left for all targets `directory`/`prefix`*.
void remove_abandoned(const std::string& directory, std::string_view prefix);

}  // namespace looplm

#endif  // LOOPLM_BASE_TEMPORARY_H_
