// Models in one GGUF file or in several.
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/file.h"
#include "model/gguf.h"
#include "model/gguf_test_file.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"

namespace looplm {
namespace {

void add_u16(GgufTestFile& file, const char* key, uint16_t value) {
  std::string raw;
  append_number(raw, value);
  file.add_raw(key, GgufType::kUint16, raw);
}

void add_i32(GgufTestFile& file, const char* key, int32_t value) {
  std::string raw;
  append_number(raw, value);
  file.add_raw(key, GgufType::kInt32, raw);
}

// The three keys, where they are given.
struct SplitKeys {
  int number = -1;
  int count = -1;
  int tensors = -1;
};

class GgufSplit : public ::testing::Test {
 protected:
  // A part with F32 tensors of these names, each four times the letter's number.
  void write(const std::string& name, const SplitKeys& keys, const std::string& tensors) {
    GgufTestFile file;
    if (name.find("00001-of") != std::string::npos) file.add("first", 1u);
    if (keys.number >= 0) add_u16(file, "split.no", static_cast<uint16_t>(keys.number));
    if (keys.count >= 0) add_u16(file, "split.count", static_cast<uint16_t>(keys.count));
    if (keys.tensors >= 0) add_i32(file, "split.tensors.count", keys.tensors);
    for (const char letter : tensors) {
      const std::vector<float> values(4, static_cast<float>(letter));
      file.add_tensor({std::string(1, letter), {4}, 0, encode_ggml(GgmlType::kF32, values)});
    }
    ASSERT_OK(write_text_file(directory_.file(name), file.bytes()));
  }
  Result<GgufFile> open(const std::string& name = "m-00001-of-00003.gguf") {
    return GgufFile::open(directory_.file(name));
  }
  void write_three() {
    write("m-00001-of-00003.gguf", {0, 3, 4}, "ab");
    write("m-00002-of-00003.gguf", {1, 3, 4}, "c");
    write("m-00003-of-00003.gguf", {2, 3, 4}, "d");
  }

  TempDir directory_;
};

TEST_F(GgufSplit, PartsAreReadAsOneFile) {
  write_three();
  Result<GgufFile> file = open();
  ASSERT_OK(file);
  EXPECT_EQ(file->paths().size(), 3u);
  EXPECT_EQ(file->path(), directory_.file("m-00001-of-00003.gguf"));
  EXPECT_EQ(gguf_int(file->metadata(), "first", {}, 0, 9).value(), 1);
  ASSERT_EQ(file->tensors().size(), 4u);
  for (const char letter : std::string("abcd")) {
    const GgufTensor* tensor = file->find(std::string(1, letter));
    ASSERT_NE(tensor, nullptr) << letter;
    std::vector<float> values(4);
    read_ggml_blocks(tensor->type, file->data(*tensor), values);
    EXPECT_EQ(values, std::vector<float>(4, static_cast<float>(letter)));
  }
  EXPECT_EQ(file->find("e"), nullptr);
}

TEST_F(GgufSplit, OnePartNeedsNoNumbers) {
  write("whole.gguf", {}, "a");
  EXPECT_OK(open("whole.gguf"));
  write("whole.gguf", {0, 1, 1}, "a");
  EXPECT_OK(open("whole.gguf"));
  write("whole.gguf", {-1, 0, -1}, "a");
  EXPECT_OK(open("whole.gguf"));
  write("whole.gguf", {0, 1, 2}, "a");
  EXPECT_ERROR_SAYS(open("whole.gguf"), "whole.gguf", "'split.tensors.count' is 2", "hold 1");
  write("whole.gguf", {1, 1, 1}, "a");
  EXPECT_ERROR_SAYS(open("whole.gguf"), "whole.gguf", "'split.no' is 1; expected 0");
}

TEST_F(GgufSplit, EveryPartMustBeThere) {
  write_three();
  ASSERT_EQ(::unlink(directory_.file("m-00003-of-00003.gguf").c_str()), 0);
  EXPECT_ERROR_SAYS(open(), "part 3 of 3", "m-00003-of-00003.gguf", "No such file");
  // A count beyond the parts that anybody has.
  write("m-00001-of-65535.gguf", {0, 65535, 4}, "ab");
  EXPECT_ERROR_SAYS(open("m-00001-of-65535.gguf"), "part 2 of 65535", "m-00002-of-65535.gguf");
  ASSERT_OK(write_text_file(directory_.file("m-00002-of-00003.gguf"), "GGUF"));
  EXPECT_ERROR_SAYS(open(), "part 2 of 3", "m-00002-of-00003.gguf", "cut short");
}

TEST_F(GgufSplit, OnlyTheFirstPartIsAModel) {
  write_three();
  EXPECT_ERROR_SAYS(open("m-00002-of-00003.gguf"), "one of 3 parts", "NAME-00001-of-00003.gguf");
  write("renamed.gguf", {0, 3, 4}, "ab");
  EXPECT_ERROR_SAYS(open("renamed.gguf"), "one of 3 parts", "NAME-00001-of-00003.gguf");
}

TEST_F(GgufSplit, KeysMustFitThePlace) {
  const auto second = [&](const SplitKeys& keys, const std::string& tensors) {
    write_three();
    write("m-00002-of-00003.gguf", keys, tensors);
    return open();
  };
  EXPECT_OK(second({1, 3, 4}, "c"));
  EXPECT_OK(second({1, 3, -1}, "c"));
  EXPECT_ERROR_SAYS(second({2, 3, 4}, "c"), "m-00002-of-00003.gguf",
                    "'split.no' is 2; expected 1 in part 2 of 3");
  EXPECT_ERROR_SAYS(second({-1, 3, 4}, "c"), "m-00002-of-00003.gguf", "'split.no' is missing");
  EXPECT_ERROR_SAYS(second({1, 4, 4}, "c"), "'split.count' is 4; expected 3");
  EXPECT_ERROR_SAYS(second({1, -1, 4}, "c"), "'split.count' is 1; expected 3");
  EXPECT_ERROR_SAYS(second({1, 3, 4}, "a"), "tensor 'a' is in '", "m-00001-of-00003.gguf' and in '",
                    "m-00002-of-00003.gguf'");
  EXPECT_ERROR_SAYS(second({1, 3, 4}, "ce"), "'split.tensors.count' is 4", "hold 5");
  EXPECT_ERROR_SAYS(second({1, 3, 9}, "c"), "m-00002-of-00003.gguf", "'split.tensors.count' is 9");
  write_three();
  write("m-00001-of-00003.gguf", {0, 2, 4}, "ab");
  EXPECT_ERROR_SAYS(open(), "one of 2 parts", "NAME-00001-of-00002.gguf");
}

}  // namespace
}  // namespace looplm
