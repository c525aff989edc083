#include "text/unpacked_file.h"

#include <algorithm>

#include <gtest/gtest.h>
#include <zlib.h>
#include <zstd.h>

#include "base/file.h"
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
  // The text of a file, read in parts of whole lines.
  Result<std::string> read(const std::string& name, const std::string& bytes) {
    EXPECT_OK(write_text_file(dir_.file(name), bytes));
    std::string text;
    parts_ = 0;
    longest_ = 0;
    LOOPLM_RETURN_IF_ERROR(
        read_text_parts(dir_.file(name), whole_lines, [&](std::string_view part) -> Result<bool> {
          EXPECT_TRUE(text.empty() || text.ends_with('\n'));
          text += part;
          ++parts_;
          longest_ = std::max(longest_, part.size());
          return parts_ < most_parts_;
        }));
    return text;
  }
  const TempDir dir_;
  int parts_ = 0;
  int most_parts_ = 1000;
  size_t longest_ = 0;
};

TEST_F(UnpackedFileTest, AreUnpackedWhateverTheirSizeAndParts) {
  const std::string zeros(5 << 20, '\0');  // packed, shorter than a piece; unpacked, several
  std::string mixed;
  for (uint32_t i = 0, x = 1; i < 3 << 20; ++i, x = x * 1664525 + 1013904223) {
    mixed += static_cast<char>(x >> 24);
  }
  for (const std::string& text :
       {std::string("a\nb\n"), std::string(), zeros, mixed, std::string(1 << 20, 'x')}) {
    EXPECT_TRUE(read("x.txt", text).value() == text) << text.size();
    EXPECT_TRUE(read("x.gz", gzipped(text)).value() == text) << text.size();
    EXPECT_TRUE(read("x.zst", zstandard(text)).value() == text) << text.size();
    EXPECT_TRUE(read("x.txt", gzipped(text)).value() == text) << "without the name";
    EXPECT_TRUE(read("x.txt", zstandard(text)).value() == text) << "without the name";
    EXPECT_TRUE(read("x.gz", gzipped(text) + gzipped("end")).value() == text + "end");
    EXPECT_TRUE(read("x.zst", zstandard(text) + zstandard("end")).value() == text + "end");
  }
  EXPECT_EQ(unpacked_name("d.gz/a.jsonl.zst"), "d.gz/a.jsonl");
  EXPECT_EQ(unpacked_name("d.gz/a.jsonl"), "d.gz/a.jsonl");
}

TEST_F(UnpackedFileTest, DamagedOnesAreErrors) {
  const std::string text(100000, 'a');
  for (const auto& [name, good] :
       {std::pair{"x.gz", gzipped(text)}, {"x.zst", zstandard(text + "b")}}) {
    for (size_t cut = 0; cut < good.size(); cut += 5) {
      EXPECT_ERROR_SAYS(read(name, good.substr(0, cut)), name, "damaged or cut off");
    }
    EXPECT_ERROR_SAYS(read(name, "plain text\n"), name, "damaged or cut off");
    EXPECT_ERROR_SAYS(read(name, good + "x"), name, "damaged or cut off");
  }
  EXPECT_ERROR_SAYS(read("x.parquet", "PAR1"), "x.parquet' is Parquet", "read_parquet");
  const VisitPart ignore = [](std::string_view) { return Result<bool>(true); };
  EXPECT_ERROR_SAYS(read_text_parts(dir_.file("none.gz"), whole_lines, ignore), "none.gz");
}

// Some megabytes of packed text may stand for more than fits in memory.
TEST_F(UnpackedFileTest, APartIsHeldAtATime) {
  std::string lines;
  for (int i = 0; i < 1 << 20; ++i) lines += "some words\n";
  for (const auto& [name, packed] :
       {std::pair{"x.gz", gzipped(lines)}, {"x.zst", zstandard(lines)}}) {
    EXPECT_TRUE(read(name, packed).value() == lines);
    EXPECT_GT(parts_, 4);
    EXPECT_LT(longest_, lines.size() / 4);
    most_parts_ = 2;
    EXPECT_LT(read(name, packed).value().size(), lines.size());
    EXPECT_EQ(parts_, 2);
    most_parts_ = 1000;
  }
  const std::string endless(size_t{300} << 20, 'a');
  EXPECT_ERROR_SAYS(read("x.zst", zstandard(endless)), "x.zst", "268435456 bytes");
  EXPECT_EQ(parts_, 0);
}

TEST_F(UnpackedFileTest, WhatAVisitorSaysStandsAlone) {
  EXPECT_OK(write_text_file(dir_.file("x.gz"), gzipped("a\n")));
  const VisitPart refuse = [](std::string_view) -> Result<bool> { return invalid_argument("no"); };
  EXPECT_EQ(read_text_parts(dir_.file("x.gz"), whole_lines, refuse).message(), "no");
}

}  // namespace
}  // namespace looplm
