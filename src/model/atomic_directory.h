// A directory of files that appears whole or not at all, as AtomicFileWriter does for one file.
#ifndef LOOPLM_MODEL_ATOMIC_DIRECTORY_H_
#define LOOPLM_MODEL_ATOMIC_DIRECTORY_H_

#include <functional>
#include <string>

#include "looplm/status.h"

#include "base/temporary.h"

namespace looplm {

// Files are written into path(), a temporary sibling of the target; commit() puts it in the
// target's place. Without commit() the target is untouched and the temporary directory is removed;
// what a crash left is removed by the next create() for the same target (see temporary.h).
//
// Whoever looks at the target sees the old directory or the new one, each complete: the two are
// exchanged in one step (renameat2 with RENAME_EXCHANGE), or, on file systems that lack it, with a
// moment at which there is none. A program that opens several files by name meanwhile may get some
// from either; open_checkpoint notices that and starts again.
//
// An existing target is replaced, and so deleted, only if every entry in it is a regular file whose
// name `may_replace` accepts; otherwise create() and commit() are errors. This keeps a wrong output
// path from destroying foreign files.
class AtomicDirectory {
 public:
  using NameRule = std::function<bool(const std::string& name)>;

  static Result<AtomicDirectory> create(const std::string& target, NameRule may_replace);
  // Whether create() would refuse what is there. To ask before long work.
  static Status check(const std::string& target, const NameRule& may_replace);

  AtomicDirectory(AtomicDirectory&& other) noexcept;
  AtomicDirectory& operator=(AtomicDirectory&&) = delete;
  ~AtomicDirectory();

  const std::string& path() const { return temporary_.path; }
  Status commit();

 private:
  AtomicDirectory(std::string target, Temporary temporary, NameRule may_replace)
      : target_(std::move(target)),
        temporary_(std::move(temporary)),
        may_replace_(std::move(may_replace)) {}

  std::string target_;
  Temporary temporary_;  // without a descriptor once it is committed or moved from
  NameRule may_replace_;
};

}  // namespace looplm

#endif  // LOOPLM_MODEL_ATOMIC_DIRECTORY_H_
