#include "text/unpacked_file.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <vector>

#include <fmt/format.h>
#include <zlib.h>
#include <zstd.h>

#include "base/file.h"

namespace looplm {
namespace {

constexpr std::string_view kGzip = ".gz";
constexpr std::string_view kZstandard = ".zst";
// What packed files begin with, and no text in UTF-8.
constexpr std::string_view kGzipMagic = "\x1f\x8b";
constexpr std::string_view kZstandardMagic = "\x28\xb5\x2f\xfd";
constexpr size_t kUnpackedPiece = size_t{1} << 20;

Status damaged(const char* why) {
  return invalid_argument(fmt::format("the file is damaged or cut off: {}", why));
}

// Unpacks a text from the front.
class Unpacker {
 public:
  virtual ~Unpacker() = default;
  // Appends up to kUnpackedPiece bytes; false: that was the end.
  virtual Result<bool> unpack(std::string& text) = 0;
};

// Any number of gzip's members, one behind the other.
class GzipUnpacker : public Unpacker {
 public:
  explicit GzipUnpacker(std::string_view packed) : packed_(packed), out_(kUnpackedPiece) {
    constexpr int kOnlyGzip = 16;  // added to the size of the window
    ready_ = inflateInit2(&stream_, kOnlyGzip + MAX_WBITS) == Z_OK;
  }
  ~GzipUnpacker() override { inflateEnd(&stream_); }
  GzipUnpacker(const GzipUnpacker&) = delete;
  GzipUnpacker& operator=(const GzipUnpacker&) = delete;

  Result<bool> unpack(std::string& text) override {
    if (!ready_) return resource_exhausted("no memory to unpack");
    if (stream_.avail_in == 0) {
      // Its interface takes no constant, and changes nothing.
      const size_t size = std::min(packed_.size(), size_t{std::numeric_limits<uInt>::max()});
      stream_.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(packed_.data()));
      stream_.avail_in = static_cast<uInt>(size);
      packed_.remove_prefix(size);
    }
    stream_.next_out = out_.data();
    stream_.avail_out = static_cast<uInt>(out_.size());
    const int result = inflate(&stream_, Z_NO_FLUSH);  // Z_BUF_ERROR: nothing is left to read
    text.append(reinterpret_cast<const char*>(out_.data()), out_.size() - stream_.avail_out);
    if (result == Z_OK) return true;
    if (result != Z_STREAM_END) {
      return damaged(stream_.msg != nullptr ? stream_.msg : "gzip's end is missing");
    }
    const bool more = stream_.avail_in > 0 || !packed_.empty();
    if (more && inflateReset(&stream_) != Z_OK) return damaged("gzip cannot begin again");
    return more;
  }

 private:
  std::string_view packed_;  // what the stream has not been given yet
  std::vector<Bytef> out_;
  z_stream stream_ = {};
  bool ready_ = false;
};

class ZstandardUnpacker : public Unpacker {
 public:
  explicit ZstandardUnpacker(std::string_view packed)
      : in_{packed.data(), packed.size(), 0},
        context_(ZSTD_createDCtx(), &ZSTD_freeDCtx),
        out_(kUnpackedPiece) {}

  Result<bool> unpack(std::string& text) override {
    if (context_ == nullptr) return resource_exhausted("no memory to unpack");
    ZSTD_outBuffer out = {out_.data(), out_.size(), 0};
    const size_t left = ZSTD_decompressStream(context_.get(), &out, &in_);  // 0: a frame is whole
    if (ZSTD_isError(left) != 0) return damaged(ZSTD_getErrorName(left));
    text.append(out_.data(), out.pos);
    if (in_.pos < in_.size || (left > 0 && out.pos == out.size)) return true;
    if (left > 0) return damaged("Zstandard's end is missing");
    return false;
  }

 private:
  ZSTD_inBuffer in_;
  std::unique_ptr<ZSTD_DCtx, size_t (*)(ZSTD_DCtx*)> context_;
  std::vector<char> out_;
};

Status read_packed(Unpacker& unpacker, const WholePart& whole, const VisitPart& visit) {
  std::string text;
  size_t look_at = 0;  // bytes; a part that is long is looked through seldom
  for (bool more = true, first = true; more;) {
    LOOPLM_ASSIGN_OR_RETURN(more, unpacker.unpack(text));
    if (more && text.size() < look_at) continue;
    const size_t bytes = more ? whole(text) : text.size();
    if (bytes > 0 || (!more && first)) {
      first = false;
      LOOPLM_ASSIGN_OR_RETURN(const bool wanted, visit(std::string_view(text).substr(0, bytes)));
      if (!wanted) return {};
      text.erase(0, bytes);
    } else if (text.size() > kMostUnpackedPart) {
      return invalid_argument(
          fmt::format("more than {} bytes of unpacked text without the end of a line or document; "
                      "expected shorter ones, or the file unpacked, which is then read in place",
                      kMostUnpackedPart));
    }
    look_at = std::min(2 * text.size(), kMostUnpackedPart + 1);
  }
  return {};
}

}  // namespace

std::string_view unpacked_name(std::string_view path) {
  for (const std::string_view ending : {kGzip, kZstandard}) {
    if (path.ends_with(ending)) return path.substr(0, path.size() - ending.size());
  }
  return path;
}

size_t whole_lines(std::string_view text) { return text.rfind('\n') + 1; }

Status read_text_parts(const std::string& path, const WholePart& whole, const VisitPart& visit) {
  if (path.ends_with(".parquet")) {
    return unsupported(fmt::format(
        "'{0}' is Parquet, of which Debian 12 has no reader; write it as JSON first: python3 -c "
        "\"import pandas; pandas.read_parquet('{0}').to_json('{1}.jsonl', orient='records', "
        "lines=True)\"",
        path, path.substr(0, path.rfind('.'))));
  }
  LOOPLM_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::open(path));
  const bool gzip = path.ends_with(kGzip) || file.text().starts_with(kGzipMagic);
  if (!gzip && !path.ends_with(kZstandard) && !file.text().starts_with(kZstandardMagic)) {
    return visit(file.text()).status();
  }
  // What is wrong with the packing names the file; what a visitor says does so itself.
  Status said;
  const VisitPart listen = [&](std::string_view part) {
    Result<bool> wanted = visit(part);
    said = wanted.status();
    return wanted.ok() ? wanted : Result<bool>(false);
  };
  std::unique_ptr<Unpacker> unpacker;
  if (gzip) {
    unpacker = std::make_unique<GzipUnpacker>(file.text());
  } else {
    unpacker = std::make_unique<ZstandardUnpacker>(file.text());
  }
  LOOPLM_RETURN_IF_ERROR(read_packed(*unpacker, whole, listen).with_context("'" + path + "'"));
  return said;
}

}  // namespace looplm
