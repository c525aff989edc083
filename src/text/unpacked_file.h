// Files of text as they are, or packed: NAME.gz by gzip, NAME.zst by Zstandard.
#ifndef LOOPLM_TEXT_UNPACKED_FILE_H_
#define LOOPLM_TEXT_UNPACKED_FILE_H_

#include <string>
#include <string_view>

#include "looplm/status.h"

#include "base/file.h"

namespace looplm {

class UnpackedFile {
 public:
  // Maps the file, or unpacks all of it in memory. An error where it is damaged or cut off, and for
  // .parquet, which nothing in Debian 12 reads.
  static Result<UnpackedFile> open(const std::string& path);

  std::string_view text() const { return packed_ ? unpacked_ : file_.text(); }

 private:
  MappedFile file_;
  bool packed_ = false;
  std::string unpacked_;
};

// What the name says about the text: "a.jsonl" for "a.jsonl.gz".
std::string_view unpacked_name(std::string_view path);

}  // namespace looplm

#endif  // LOOPLM_TEXT_UNPACKED_FILE_H_
