// A file that comes in pieces, perhaps over several runs of the program: BLOB.incomplete, until it
// is whole and its checksum right.
#ifndef LOOPLM_HUB_PARTIAL_FILE_H_
#define LOOPLM_HUB_PARTIAL_FILE_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "looplm/status.h"

#include "hub/file_hash.h"
#include "hub/hub_client.h"

namespace looplm {

class PartialFile {
 public:
  // Continues what an earlier run left, and reads that for the checksum. `file` must outlive this.
  static Result<PartialFile> open(const std::string& blob, const HubFile& file);
  static std::string path_of(const std::string& blob) { return blob + ".incomplete"; }

  PartialFile(PartialFile&& other) noexcept;
  PartialFile& operator=(PartialFile&&) = delete;
  ~PartialFile();

  uint64_t size() const { return size_; }
  bool whole() const { return size_ == file_->size; }

  // Fails with kResourceExhausted on a full disk; what was written stays.
  Status append(std::string_view bytes);
  Status start_over();
  // Checks the file and renames it to its final name. Removes it if the checksum is wrong.
  Status finish();

 private:
  PartialFile(std::string blob, const HubFile& file, int descriptor)
      : blob_(std::move(blob)),
        file_(&file),
        descriptor_(descriptor),
        hash_(file.etag, file.size) {}
  Status read_existing();
  Status failed(const char* step) const;

  std::string blob_;
  const HubFile* file_;
  int descriptor_;
  uint64_t size_ = 0;
  FileHash hash_;
};

}  // namespace looplm

#endif  // LOOPLM_HUB_PARTIAL_FILE_H_
