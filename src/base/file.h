// Files: read-only memory maps, and writes that either appear whole or not at all.
#ifndef LOOPLM_BASE_FILE_H_
#define LOOPLM_BASE_FILE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "looplm/status.h"

namespace looplm {

// A read-only map of a whole file. Movable; unmaps on destruction. An empty file maps to an empty
// span.
class MappedFile {
 public:
  static Result<MappedFile> open(const std::string& path);

  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  std::string_view text() const { return {reinterpret_cast<const char*>(data_), size_}; }
  size_t size() const { return size_; }
  const std::string& path() const { return path_; }
  // Takes the pages out of this process's memory. The next read brings them back from the file.
  void release_pages() const;

 private:
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
  std::string path_;
};

// Writes a file beside PATH (see temporary.h), then fsyncs and renames it to PATH in commit().
// Without commit() nothing appears at PATH and the temporary file is removed. Errors (a full disk)
// are remembered and returned by commit(). If PATH is a symbolic link, all this happens where the
// link leads, and it stays.
class AtomicFileWriter {
 public:
  static Result<AtomicFileWriter> create(const std::string& path);

  AtomicFileWriter(AtomicFileWriter&& other) noexcept;
  AtomicFileWriter& operator=(AtomicFileWriter&&) = delete;
  ~AtomicFileWriter();

  Status write(std::span<const std::byte> bytes);
  Status write(std::string_view text);
  uint64_t bytes_written() const { return written_; }
  // The part of commit() that a full disk refuses. Of several files that belong together, all are
  // synced before the first is committed.
  Status sync();
  Status commit();

 private:
  AtomicFileWriter(std::string path, std::string temporary, int descriptor)
      : path_(std::move(path)), temporary_(std::move(temporary)), descriptor_(descriptor) {}
  void abandon();

  std::string path_;
  std::string temporary_;
  int descriptor_ = -1;
  uint64_t written_ = 0;
};

Result<std::string> read_text_file(const std::string& path);
Status write_text_file(const std::string& path, std::string_view text);

// Where the symbolic link leads, and the link that stands there, which need not exist; `path` if it
// is none. A link in /proc stays what it is: an open file.
Result<std::string> follow_links(const std::string& path);

bool file_exists(const std::string& path);
bool is_directory(const std::string& path);
// Creates the directory and its parents; existing ones are fine.
Status make_directories(const std::string& path);
// Whether the directory could be made and written to, as far as can be said without writing.
Status check_writable_directory(const std::string& path);
// Makes a rename or new name in the directory durable.
Status sync_directory(const std::string& path);

}  // namespace looplm

#endif  // LOOPLM_BASE_FILE_H_
