// Checksums by which the hub names files: SHA-256, or git's SHA-1 of a blob.
#ifndef LOOPLM_HUB_FILE_HASH_H_
#define LOOPLM_HUB_FILE_HASH_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace looplm {

class FileHash {
 public:
  // The kind is that of the expected checksum: 64 digits are SHA-256, others git's. A git blob's
  // checksum covers its size.
  FileHash(std::string_view expected, uint64_t size);
  FileHash(FileHash&&) noexcept;
  FileHash& operator=(FileHash&&) noexcept;
  ~FileHash();

  void add(std::string_view bytes);
  std::string hex();  // of what was added; ends it

 private:
  struct Digest;
  std::unique_ptr<Digest> digest_;
};

}  // namespace looplm

#endif  // LOOPLM_HUB_FILE_HASH_H_
