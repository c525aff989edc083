#include "text/unpacked_file.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <vector>

#include <fmt/format.h>
#include <zlib.h>
#include <zstd.h>

namespace looplm {
namespace {

constexpr std::string_view kGzip = ".gz";
constexpr std::string_view kZstandard = ".zst";
constexpr size_t kUnpackedPiece = size_t{1} << 20;

Status damaged(const char* why) {
  return invalid_argument(fmt::format("the file is damaged or cut off: {}", why));
}

// Any number of gzip's members, one behind the other.
Status unpack_gzip(std::string_view packed, std::string& text) {
  z_stream stream = {};
  constexpr int kOnlyGzip = 16;  // added to the size of the window
  if (inflateInit2(&stream, kOnlyGzip + MAX_WBITS) != Z_OK) {
    return resource_exhausted("no memory to unpack");
  }
  const std::unique_ptr<z_stream, int (*)(z_stream*)> end(&stream, &inflateEnd);
  std::vector<Bytef> out(kUnpackedPiece);
  int result = Z_OK;
  while (result == Z_OK) {
    if (stream.avail_in == 0) {
      // Its interface takes no constant, and changes nothing.
      const size_t size = std::min(packed.size(), size_t{std::numeric_limits<uInt>::max()});
      stream.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(packed.data()));
      stream.avail_in = static_cast<uInt>(size);
      packed.remove_prefix(size);
    }
    stream.next_out = out.data();
    stream.avail_out = static_cast<uInt>(out.size());
    result = inflate(&stream, Z_NO_FLUSH);  // Z_BUF_ERROR where there is nothing left to read
    text.append(reinterpret_cast<const char*>(out.data()), out.size() - stream.avail_out);
    const bool more = stream.avail_in > 0 || !packed.empty();
    if (result == Z_STREAM_END && more) result = inflateReset(&stream);
  }
  if (result == Z_STREAM_END) return {};
  return damaged(stream.msg != nullptr ? stream.msg : "gzip's end is missing");
}

Status unpack_zstandard(std::string_view packed, std::string& text) {
  const std::unique_ptr<ZSTD_DCtx, size_t (*)(ZSTD_DCtx*)> context(ZSTD_createDCtx(),
                                                                   &ZSTD_freeDCtx);
  if (context == nullptr) return resource_exhausted("no memory to unpack");
  std::vector<char> piece(kUnpackedPiece);
  ZSTD_inBuffer in = {packed.data(), packed.size(), 0};
  size_t left = 1;  // 0: a frame is whole
  for (;;) {
    ZSTD_outBuffer out = {piece.data(), piece.size(), 0};
    left = ZSTD_decompressStream(context.get(), &out, &in);
    if (ZSTD_isError(left) != 0) return damaged(ZSTD_getErrorName(left));
    text.append(piece.data(), out.pos);
    if (in.pos == in.size && (left == 0 || out.pos < out.size)) break;
  }
  return left == 0 ? Status() : damaged("Zstandard's end is missing");
}

}  // namespace

std::string_view unpacked_name(std::string_view path) {
  for (const std::string_view ending : {kGzip, kZstandard}) {
    if (path.ends_with(ending)) return path.substr(0, path.size() - ending.size());
  }
  return path;
}

Result<UnpackedFile> UnpackedFile::open(const std::string& path) {
  if (path.ends_with(".parquet")) {
    return unsupported(fmt::format(
        "'{0}' is Parquet, of which Debian 12 has no reader; write it as JSON first: python3 -c "
        "\"import pandas; pandas.read_parquet('{0}').to_json('{1}.jsonl', orient='records', "
        "lines=True)\"",
        path, path.substr(0, path.rfind('.'))));
  }
  UnpackedFile file;
  LOOPLM_ASSIGN_OR_RETURN(file.file_, MappedFile::open(path));
  file.packed_ = unpacked_name(path) != path;
  if (!file.packed_) return file;
  const std::string_view packed = file.file_.text();
  const Status status = path.ends_with(kGzip) ? unpack_gzip(packed, file.unpacked_)
                                              : unpack_zstandard(packed, file.unpacked_);
  if (!status.ok()) return status.with_context("'" + path + "'");
  return file;
}

}  // namespace looplm
