#include "model/gguf.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/gguf_reader.h"
#include "model/gguf_test_file.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"

namespace looplm {
namespace {

constexpr uint32_t kF32 = static_cast<uint32_t>(GgmlType::kF32);

// In memory of exactly its size, for AddressSanitizer.
Result<GgufHeader> parse(const std::string& file) {
  const std::vector<char> exact(file.begin(), file.end());
  Result<GgufHeader> header = parse_gguf(std::as_bytes(std::span(exact)), "x.gguf");
  if (header.ok()) header->metadata.clear();  // points into `exact`
  return header;
}

std::string floats(size_t count) { return std::string(count * 4, '\1'); }

// One value of every type and two tensors.
GgufTestFile sample() {
  GgufTestFile file;
  file.add_raw("u8", GgufType::kUint8, "\xff");
  file.add_raw("i8", GgufType::kInt8, "\xff");
  file.add_raw("u16", GgufType::kUint16, "\xff\xff");
  file.add_raw("i16", GgufType::kInt16, "\xff\xff");
  file.add("u32", 7u);
  file.add_raw("i32", GgufType::kInt32, "\xfe\xff\xff\xff");
  file.add("f32", 1.5f);
  file.add_flag("yes", true);
  file.add_text("text", "gänse");
  file.add_raw("u64", GgufType::kUint64, "\xff\xff\xff\xff\xff\xff\xff\xff");
  file.add_raw("i64", GgufType::kInt64, "\xff\xff\xff\xff\xff\xff\xff\xff");
  file.add_raw("f64", GgufType::kFloat64, std::string_view("\0\0\0\0\0\0\xf8\x3f", 8));
  std::string list;
  append_number(list, static_cast<uint32_t>(GgufType::kString));
  append_number<uint64_t>(list, 2);
  append_string(list, "a");
  append_string(list, "");
  file.add_raw("words", GgufType::kArray, list);
  file.add_tensor({"a", {3, 2}, kF32, floats(6)});
  file.add_tensor({"b", {5}, kF32, floats(5)});
  return file;
}

TEST(Gguf, ReadsEveryTypeOfValue) {
  const TempDir directory;
  for (const uint32_t version : {2u, 3u}) {
    const std::string path = directory.file("x.gguf");
    ASSERT_OK(write_text_file(path, sample().bytes(version)));
    const Result<GgufFile> file = GgufFile::open(path);
    ASSERT_OK(file);
    const GgufMetadata& m = file.value().metadata();
    EXPECT_EQ(gguf_int(m, "u8", {}, 0, 999).value(), 255);
    EXPECT_EQ(gguf_int(m, "i8", {}, -9, 9).value(), -1);
    EXPECT_EQ(gguf_int(m, "u16", {}, 0, 99999).value(), 65535);
    EXPECT_EQ(gguf_int(m, "i16", {}, -9, 9).value(), -1);
    EXPECT_EQ(gguf_int(m, "u32", {}, 0, 9).value(), 7);
    EXPECT_EQ(gguf_int(m, "i32", {}, -9, 9).value(), -2);
    EXPECT_EQ(gguf_int(m, "i64", {}, -9, 9).value(), -1);
    EXPECT_EQ(gguf_number(m, "f32", {}, 0, 9).value(), 1.5);
    EXPECT_EQ(gguf_number(m, "f64", {}, 0, 9).value(), 1.5);
    EXPECT_EQ(gguf_number(m, "u32", {}, 0, 9).value(), 7.0);
    EXPECT_TRUE(gguf_bool(m, "yes", false).value());
    EXPECT_EQ(gguf_string(m, "text", {}).value(), "gänse");
    EXPECT_EQ(std::get<GgufArray>(m.at("words")).count, 2u);
    EXPECT_EQ(gguf_int(m, "absent", 3, 0, 9).value(), 3);
    EXPECT_ERROR_SAYS(gguf_int(m, "absent", {}, 0, 9), "'absent' is missing", "0 to 9");
    EXPECT_ERROR_SAYS(gguf_int(m, "u64", {}, 0, 9), "'u64' is 18446744073709551615", "0 to 9");
    EXPECT_ERROR_SAYS(gguf_int(m, "words", {}, 0, 9), "'words' is a list of 2");
    EXPECT_ERROR_SAYS(gguf_string(m, "u32", {}), "'u32' is 7; expected a string");

    const GgufTensor* a = file.value().find("a");
    ASSERT_NE(a, nullptr);
    EXPECT_EQ(a->shape, (Shape{2, 3}));
    EXPECT_EQ(a->bytes, 24u);
    EXPECT_EQ(file.value().find("b")->begin % 32, 0u);
    EXPECT_EQ(file.value().find("c"), nullptr);
  }
}

TEST(Gguf, RefusesTruncationAtEveryLength) {
  const std::string whole = sample().bytes();
  ASSERT_OK(parse(whole));
  const size_t padding = 12;  // behind b's 20 bytes
  for (size_t length = 0; length < whole.size(); ++length) {
    const Result<GgufHeader> header = parse(whole.substr(0, length));
    if (length >= whole.size() - padding) {
      EXPECT_OK(header);
    } else {
      EXPECT_ERROR_SAYS(header, "x.gguf: ");
    }
  }
  EXPECT_ERROR_SAYS(parse(whole + std::string(20, '\0')), "32 bytes after the last tensor's data");
}

// The file with eight bytes at `place` replaced.
std::string with_u64(std::string file, size_t place, uint64_t value) {
  std::memcpy(file.data() + place, &value, sizeof(value));
  return file;
}

TEST(GgufReader, StopsAtTheLastByte) {
  const std::string four = "abcd";
  for (const uint64_t count : {uint64_t{5}, uint64_t{6}, UINT64_MAX}) {
    GgufReader reader(std::as_bytes(std::span(four)));
    EXPECT_ERROR_SAYS(reader.bytes(count), "at byte 0, but only 4 follow");
    EXPECT_OK(reader.bytes(4));
    EXPECT_EQ(reader.left(), 0u);
    EXPECT_ERROR_SAYS(reader.bytes(1), "at byte 4, but only 0 follow");
    EXPECT_OK(reader.bytes(0));
  }
}

TEST(Gguf, RefusesHostileCountsBeforeUsingThem) {
  const std::string file = sample().bytes();
  const uint64_t huge[] = {UINT64_MAX, UINT64_MAX / 2, uint64_t{1} << 32, 1000};
  for (const uint64_t count : huge) {
    EXPECT_ERROR_SAYS(parse(with_u64(file, 8, count)), "x.gguf: ", "tensors, but only");
    EXPECT_ERROR_SAYS(parse(with_u64(file, 16, count)), "x.gguf: ", "keys, but only");
    EXPECT_ERROR_SAYS(parse(with_u64(file, 24, count)), "x.gguf: key 0 of 13", "cut short");
    const size_t list = file.find("words") + 5 + 4 + 4;
    EXPECT_ERROR_SAYS(parse(with_u64(file, list, count)), "key 'words'", "a list of");
    const size_t rank = file.find("\1\0\0\0\0\0\0\0a", file.find("words") + 40, 9) + 9;
    EXPECT_FALSE(parse(with_u64(file, rank + 4, count)).ok());
  }
}

TEST(Gguf, RefusesWhatIsNoGguf) {
  const std::string file = sample().bytes();
  EXPECT_ERROR_SAYS(parse("PK" + file), "does not begin with 'GGUF'");
  EXPECT_ERROR_SAYS(parse(sample().bytes(1)), "version is 1; expected 2 or 3");
  EXPECT_ERROR_SAYS(parse(sample().bytes(4)), "version is 4");
  EXPECT_ERROR_SAYS(parse(sample().bytes(3u << 24)), "big-endian");
  EXPECT_ERROR_SAYS(GgufFile::open("/nowhere.gguf"), "/nowhere.gguf");
}

TEST(Gguf, RefusesBadMetadata) {
  GgufTestFile twice = sample();
  twice.add("u32", 8u);
  EXPECT_ERROR_SAYS(parse(twice.bytes()), "key 'u32' is given twice");
  GgufTestFile flag = sample();
  flag.add_raw("flag", GgufType::kBool, "\2");
  EXPECT_ERROR_SAYS(parse(flag.bytes()), "key 'flag'", "a bool is 2");
  GgufTestFile type = sample();
  type.add_raw("new", static_cast<GgufType>(13), "....");
  EXPECT_ERROR_SAYS(parse(type.bytes()), "key 'new'", "value type is 13");
  GgufTestFile control = sample();
  control.add("a\nb", 1u);
  EXPECT_ERROR_SAYS(parse(control.bytes()), "key 13 of 14", "control characters");
  for (const uint32_t alignment : {0u, 1u, 24u, 1u << 30}) {
    GgufTestFile file = sample();
    file.add("general.alignment", alignment);
    EXPECT_ERROR_SAYS(parse(file.bytes()), "'general.alignment' is");
  }
  std::string nested;
  append_number(nested, static_cast<uint32_t>(GgufType::kArray));
  append_number<uint64_t>(nested, 1);
  GgufTestFile lists = sample();
  lists.add_raw("lists", GgufType::kArray, nested);
  EXPECT_ERROR_SAYS(parse(lists.bytes()), "key 'lists'", "a list of lists");
}

TEST(Gguf, RefusesBadTensors) {
  const auto with = [](GgufTestTensor tensor) {
    GgufTestFile file = sample();
    file.add_tensor(std::move(tensor));
    return parse(file.bytes());
  };
  EXPECT_OK(with({"c", {}, kF32, floats(1)}));
  EXPECT_ERROR_SAYS(with({"a", {1}, kF32, floats(1)}), "tensor 'a' is listed twice");
  EXPECT_ERROR_SAYS(with({"", {1}, kF32, floats(1)}), "tensor 2 of 3");
  EXPECT_ERROR_SAYS(with({"c", {1, 1, 1, 1, 1}, kF32, floats(1)}), "5 dimensions");
  EXPECT_ERROR_SAYS(with({"c", {0}, kF32, ""}), "dimension 0 is 0");
  EXPECT_ERROR_SAYS(with({"c", {-4}, kF32, ""}), "dimension 0 is -4");
  EXPECT_ERROR_SAYS(with({"c", {1 << 30, 1 << 30, 1 << 30}, kF32, ""}), "2^63");
  EXPECT_ERROR_SAYS(with({"c", {int64_t{1} << 62}, kF32, ""}), "2^64");
  EXPECT_ERROR_SAYS(with({"c", {256}, 19, ""}), "tensor 'c'", "is IQ1_S; looplm reads", "Q4_K");
  EXPECT_ERROR_SAYS(with({"c", {256}, 777, ""}), "is type 777");
  EXPECT_ERROR_SAYS(with({"c", {48, 2}, 8, ""}), "48 elements are Q8_0", "multiple of 32");
  EXPECT_ERROR_SAYS(with({"c", {9}, kF32, floats(8)}), "reach beyond");
  EXPECT_ERROR_SAYS(with({"c", {8}, kF32, floats(16)}), "32 bytes after the last");
}

TEST(Gguf, RefusesDataThatOverlapsHasHolesOrIsNotAligned) {
  const std::string file = sample().bytes();
  // b's offset, the last field before the data.
  const size_t data = file.size() - 64;
  const size_t offset = file.rfind(std::string("\x20\0\0\0\0\0\0\0", 8), data);
  ASSERT_NE(offset, std::string::npos);
  EXPECT_OK(parse(with_u64(file, offset, 32)));
  EXPECT_ERROR_SAYS(parse(with_u64(file, offset, 0)), "tensor 'b'", "they overlap");
  EXPECT_ERROR_SAYS(parse(with_u64(file, offset, 36)), "offset 36; expected a multiple of 32");
  EXPECT_ERROR_SAYS(parse(with_u64(file, offset, 64)), "tensor 'b'", "reach beyond");
  EXPECT_ERROR_SAYS(parse(with_u64(file, offset, UINT64_MAX - 31)), "tensor 'b'", "reach beyond");
  EXPECT_ERROR_SAYS(parse(with_u64(file + std::string(32, 'x'), offset, 64)), "there is a hole");
}

}  // namespace
}  // namespace looplm
