#include "model/gguf_blocks.h"

#include <cstring>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/check.h"
#include "model/gguf.h"
#include "model/gguf_test_file.h"
#include "support/status_matchers.h"

namespace looplm {
namespace {

// Halves whose value is plain to see.
constexpr const char* kHalfOne = "\x00\x3c";      // 1
constexpr const char* kHalfQuarter = "\x00\x34";  // 0.25

std::string half(const char* bytes) { return std::string(bytes, 2); }

std::vector<float> read(GgmlType type, const std::string& blocks) {
  const GgmlBlock block = ggml_block(type);
  const auto count = static_cast<int64_t>(blocks.size()) / block.bytes;
  std::vector<float> out(static_cast<size_t>(count * block.elements));
  const std::string unaligned = "x" + blocks;
  read_ggml_blocks(type, reinterpret_cast<const std::byte*>(unaligned.data()) + 1, out);
  return out;
}

TEST(GgufBlocks, PlainFloats) {
  const std::vector<float> values = {1.5f, -2.0f, 0.25f};
  for (const GgmlType type : {GgmlType::kF32, GgmlType::kF16, GgmlType::kBf16}) {
    EXPECT_EQ(read(type, encode_ggml(type, values)), values);
  }
}

TEST(GgufBlocks, Q8KeepsSignedBytes) {
  std::string block = half(kHalfQuarter);
  for (int i = 0; i < 32; ++i) block += static_cast<char>(8 * i - 128);
  const std::vector<float> values = read(GgmlType::kQ8_0, block);
  for (int i = 0; i < 32; ++i) {
    EXPECT_EQ(values[static_cast<size_t>(i)], 0.25f * static_cast<float>(8 * i - 128));
  }
}

TEST(GgufBlocks, Q4HasTheFirstHalfInLowNibbles) {
  std::string block = half(kHalfOne);
  for (int i = 0; i < 16; ++i) block += static_cast<char>(i | (15 - i) << 4);
  const std::vector<float> values = read(GgmlType::kQ4_0, block);
  for (int i = 0; i < 16; ++i) {
    EXPECT_EQ(values[static_cast<size_t>(i)], static_cast<float>(i - 8));
    EXPECT_EQ(values[static_cast<size_t>(i) + 16], static_cast<float>(7 - i));
  }
}

TEST(GgufBlocks, Q4WithMinimum) {
  std::string block = half(kHalfOne) + half(kHalfQuarter);
  for (int i = 0; i < 16; ++i) block += static_cast<char>(i | (15 - i) << 4);
  const std::vector<float> values = read(GgmlType::kQ4_1, block);
  for (int i = 0; i < 16; ++i) {
    EXPECT_EQ(values[static_cast<size_t>(i)], static_cast<float>(i) + 0.25f);
    EXPECT_EQ(values[static_cast<size_t>(i) + 16], static_cast<float>(15 - i) + 0.25f);
  }
}

// Sets bits of a block from a list of (first bit, count, value), the layout written down once more
// and element by element.
void set_bits(std::string& block, int bit, int count, int value) {
  for (int i = 0; i < count; ++i) {
    const int at = bit + i;
    if ((value >> i & 1) != 0) block[static_cast<size_t>(at / 8)] |= static_cast<char>(1 << at % 8);
  }
}

TEST(GgufBlocks, Q4KHasEightScalesAndMinima) {
  const int scales[8] = {1, 2, 60, 63, 5, 17, 33, 63};
  const int minima[8] = {0, 63, 3, 9, 16, 48, 63, 21};
  std::string block(144, '\0');
  block.replace(0, 2, half(kHalfOne));
  block.replace(2, 2, half(kHalfQuarter));
  for (int group = 0; group < 4; ++group) {
    set_bits(block, (4 + group) * 8, 6, scales[group]);
    set_bits(block, (8 + group) * 8, 6, minima[group]);
    set_bits(block, (12 + group) * 8, 4, scales[group + 4] & 15);
    set_bits(block, (12 + group) * 8 + 4, 4, minima[group + 4] & 15);
    set_bits(block, (4 + group) * 8 + 6, 2, scales[group + 4] >> 4);
    set_bits(block, (8 + group) * 8 + 6, 2, minima[group + 4] >> 4);
  }
  const auto level = [](int element) { return (element * 7 + element / 16) % 16; };
  for (int i = 0; i < 256; ++i) {
    const int in_pair = i % 64;
    set_bits(block, (16 + i / 64 * 32 + in_pair % 32) * 8 + in_pair / 32 * 4, 4, level(i));
  }
  const std::vector<float> values = read(GgmlType::kQ4K, block);
  for (int i = 0; i < 256; ++i) {
    const float expected =
        static_cast<float>(scales[i / 32] * level(i)) - 0.25f * static_cast<float>(minima[i / 32]);
    EXPECT_EQ(values[static_cast<size_t>(i)], expected) << i;
  }
}

TEST(GgufBlocks, Q6KHasSixteenSignedScales) {
  std::string block(210, '\0');
  const auto level = [](int element) { return (element * 11 + element / 64) % 64; };
  const auto scale = [](int group) { return group * 16 - 128; };
  for (int i = 0; i < 256; ++i) {
    const int half_of = i / 128, in_half = i % 128;
    const int low_byte = half_of * 64 + in_half % 64;
    set_bits(block, low_byte * 8 + in_half / 64 * 4, 4, level(i) & 15);
    set_bits(block, (128 + half_of * 32 + in_half % 32) * 8 + in_half / 32 * 2, 2, level(i) >> 4);
  }
  for (int group = 0; group < 16; ++group) {
    block[static_cast<size_t>(192 + group)] = static_cast<char>(scale(group));
  }
  block.replace(208, 2, half(kHalfQuarter));
  const std::vector<float> values = read(GgmlType::kQ6K, block);
  for (int i = 0; i < 256; ++i) {
    EXPECT_EQ(values[static_cast<size_t>(i)],
              0.25f * static_cast<float>(scale(i / 16) * (level(i) - 32)))
        << i;
  }
}

TEST(GgufBlocks, OnlyWholeBlocks) {
  std::vector<float> out(33);
  const std::string blocks(68, '\0');
  EXPECT_THROW(
      read_ggml_blocks(GgmlType::kQ8_0, reinterpret_cast<const std::byte*>(blocks.data()), out),
      CheckError);
}

TEST(GgufBlocks, Names) {
  EXPECT_EQ(ggml_type_text(12), "Q4_K");
  EXPECT_EQ(ggml_type_text(19), "IQ1_S");
  EXPECT_EQ(ggml_type_text(99), "type 99");
  EXPECT_FALSE(ggml_type_from_code(19).has_value());
  EXPECT_EQ(ggml_types_text(),
            "F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL, "
            "IQ4_XS, MXFP4");
}

// Random blocks with the floats that llama.cpp's Python package makes of them.
TEST(GgufBlocks, AgreesWithThePublishedReader) {
  const Result<GgufFile> opened = GgufFile::open(LOOPLM_GOLDEN_DIR "/gguf/blocks.gguf");
  ASSERT_OK(opened);
  const GgufFile& file = opened.value();
  int compared = 0;
  for (const GgufTensor& tensor : file.tensors()) {
    const GgufTensor* expected = file.find(tensor.name + ".expected");
    if (expected == nullptr) continue;
    ASSERT_EQ(expected->shape, tensor.shape);
    EXPECT_EQ(tensor.name, ggml_block(tensor.type).name);
    std::vector<float> values(static_cast<size_t>(element_count(tensor.shape)));
    read_ggml_blocks(tensor.type, file.data(tensor), values);
    EXPECT_EQ(std::memcmp(values.data(), file.data(*expected), expected->bytes), 0) << tensor.name;
    ++compared;
  }
  EXPECT_EQ(compared, 16);
}

}  // namespace
}  // namespace looplm
