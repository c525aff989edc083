#include "text/unpacked_file.h"

#include <gtest/gtest.h>
#include <zlib.h>
#include <zstd.h>

#include "support/status_matchers.h"
#include "support/temp_dir.h"

namespace looplm {
namespace {

std::string gzipped(const std::string& text) {
  z_stream stream = {};
  EXPECT_EQ(deflateInit2(&stream, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string packed(deflateBound(&stream, text.size()), '\0');
  std::string in = text;
  stream.next_in = reinterpret_cast<Bytef*>(in.data());
  stream.avail_in = static_cast<uInt>(in.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

std::string zstandard(const std::string& text) {
  std::string packed(ZSTD_compressBound(text.size()), '\0');
  packed.resize(ZSTD_compress(packed.data(), packed.size(), text.data(), text.size(), 3));
  return packed;
}

class UnpackedFileTest : public ::testing::Test {
 protected:
  Result<UnpackedFile> open(const std::string& name, const std::string& bytes) {
    EXPECT_OK(write_text_file(dir_.file(name), bytes));
    return UnpackedFile::open(dir_.file(name));
  }
  const TempDir dir_;
};

TEST_F(UnpackedFileTest, AreUnpackedWhateverTheirSizeAndParts) {
  const std::string zeros(5 << 20, '\0');  // packed, shorter than a piece; unpacked, several
  std::string mixed;
  for (uint32_t i = 0, x = 1; i < 3 << 20; ++i, x = x * 1664525 + 1013904223) {
    mixed += static_cast<char>(x >> 24);
  }
  for (const std::string& text :
       {std::string("a\nb\n"), std::string(), zeros, mixed, std::string(1 << 20, 'x')}) {
    EXPECT_TRUE(open("x.txt", text)->text() == text) << text.size();
    EXPECT_TRUE(open("x.gz", gzipped(text))->text() == text) << text.size();
    EXPECT_TRUE(open("x.zst", zstandard(text))->text() == text) << text.size();
    EXPECT_TRUE(open("x.gz", gzipped(text) + gzipped("end"))->text() == text + "end");
    EXPECT_TRUE(open("x.zst", zstandard(text) + zstandard("end"))->text() == text + "end");
  }
  EXPECT_EQ(unpacked_name("d.gz/a.jsonl.zst"), "d.gz/a.jsonl");
  EXPECT_EQ(unpacked_name("d.gz/a.jsonl"), "d.gz/a.jsonl");
}

TEST_F(UnpackedFileTest, DamagedOnesAreErrors) {
  const std::string text(100000, 'a');
  for (const auto& [name, good] :
       {std::pair{"x.gz", gzipped(text)}, {"x.zst", zstandard(text + "b")}}) {
    for (size_t cut = 0; cut < good.size(); cut += 5) {
      EXPECT_ERROR_SAYS(open(name, good.substr(0, cut)), name, "damaged or cut off");
    }
    EXPECT_ERROR_SAYS(open(name, "plain text\n"), name, "damaged or cut off");
    EXPECT_ERROR_SAYS(open(name, good + "x"), name, "damaged or cut off");
  }
  EXPECT_ERROR_SAYS(open("x.parquet", "PAR1"), "x.parquet' is Parquet", "read_parquet");
  EXPECT_ERROR_SAYS(UnpackedFile::open(dir_.file("none.gz")), "none.gz");
}

}  // namespace
}  // namespace looplm
