#include "model/safetensors.h"

#include <cstring>
#include <filesystem>
#include <numeric>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/bf16.h"
#include "base/check.h"
#include "model/safetensors_writer.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"

namespace looplm {
namespace {

std::span<const std::byte> bytes_of(const std::vector<float>& values) {
  return std::as_bytes(std::span(values));
}

std::vector<float> floats(const TensorView& view) {
  std::vector<float> values(static_cast<size_t>(view.count()));
  std::memcpy(values.data(), view.data, view.bytes());
  return values;
}

std::vector<float> counting(size_t count) {
  std::vector<float> values(count);
  std::iota(values.begin(), values.end(), 0.0f);
  return values;
}

TEST(Safetensors, ReadsAFileThatPythonWrote) {
  const Result<Safetensors> file = Safetensors::open(LOOPLM_MODEL_TESTDATA "/python.safetensors");
  ASSERT_OK(file);
  EXPECT_EQ(file.value().names(),
            (std::vector<std::string>{"bf16", "empty", "f16", "f32", "i64", "scalar"}));
  EXPECT_EQ(file.value().metadata().at("note"), "gänse");
  EXPECT_EQ(floats(file.value().find("f32").value()),
            (std::vector<float>{1.5f, -2.25f, 3.0f, 0.0f, -0.0f, 1e-30f}));
  EXPECT_EQ(file.value().find("f32").value().shape, (Shape{2, 3}));
  EXPECT_EQ(floats(file.value().find("scalar").value()), (std::vector<float>{42.0f}));
  EXPECT_EQ(file.value().find("empty").value().count(), 0);

  const TensorView bf16 = file.value().find("bf16").value();
  ASSERT_EQ(bf16.dtype, DType::kBf16);
  Bf16 second;
  std::memcpy(&second, bf16.data + 2, 2);
  EXPECT_EQ(to_float(second), -3.140625f);
  EXPECT_EQ(file.value().find("f16").value().dtype, DType::kF16);
  EXPECT_ERROR_SAYS(file.value().find("i64"), "python.safetensors", "'i64'", "I64");
  EXPECT_ERROR_SAYS(file.value().find("f64"), "no tensor 'f64'", "python.safetensors");
}

// As writers before 2023 did; Python's library reads such files.
TEST(Safetensors, ReadsAFileWhoseHeaderIsNotPadded) {
  for (size_t spaces = 0; spaces < 4; ++spaces) {
    const TempDir directory;
    std::string file = R"({"h":{"dtype":"F16","shape":[1],"data_offsets":[0,2]},)"
                       R"("a":{"dtype":"F32","shape":[2],"data_offsets":[2,10]}})";
    file += std::string(spaces, ' ');
    const uint64_t length = file.size();
    file.insert(0, reinterpret_cast<const char*>(&length), sizeof(length));
    const std::vector<float> values = {1.5f, -2};
    file += "hh";
    file.append(reinterpret_cast<const char*>(values.data()), 8);
    ASSERT_OK(write_text_file(directory.file("old.safetensors"), file));
    const Result<Safetensors> opened = Safetensors::open(directory.file("old.safetensors"));
    ASSERT_OK(opened);
    const TensorView view = opened.value().find("a").value();
    EXPECT_EQ(floats(view), values);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(view.data) % sizeof(float), 0);
    EXPECT_EQ(opened.value().find("h").value().dtype, DType::kF16);
  }
}

TEST(Safetensors, SaysWhatADirectoryLacks) {
  const TempDir directory;
  EXPECT_ERROR_SAYS(Safetensors::open(directory.path()), directory.path().c_str(),
                    "neither model.safetensors nor model.safetensors.index.json");
  EXPECT_ERROR_SAYS(Safetensors::open(directory.file("x.safetensors")), "x.safetensors", "No such");
}

TEST(SafetensorsWriter, StreamsInChunksThatCrossTensors) {
  const TempDir directory;
  const std::string path = directory.file("w.safetensors");
  Result<SafetensorsWriter> writer = SafetensorsWriter::create(
      path, {{"b", DType::kF32, {2, 3}}, {"a", DType::kF32, {4}}}, {{"format", "pt"}});
  ASSERT_OK(writer);
  const std::vector<float> values = counting(10);
  ASSERT_OK(writer->write(bytes_of(values).first(13)));
  ASSERT_OK(writer->write(bytes_of(values).subspan(13)));
  EXPECT_FALSE(file_exists(path));
  ASSERT_OK(writer->commit());

  const Result<Safetensors> file = Safetensors::open(path);
  ASSERT_OK(file);
  EXPECT_EQ(floats(file.value().find("b").value()), (std::vector<float>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(floats(file.value().find("a").value()), (std::vector<float>{6, 7, 8, 9}));
}

TEST(SafetensorsWriter, WrongByteCountsAreDefects) {
  const TempDir directory;
  Result<SafetensorsWriter> writer =
      SafetensorsWriter::create(directory.file("w.safetensors"), {{"a", DType::kF32, {2}}});
  ASSERT_OK(writer);
  EXPECT_THROW((void)writer->commit(), CheckError);
  EXPECT_THROW((void)writer->write(bytes_of(counting(3))), CheckError);
  EXPECT_THROW((void)safetensors_header_text({{"a", DType::kF32, {}}, {"a", DType::kF32, {}}}, {}),
               CheckError);
  EXPECT_THROW((void)safetensors_header_text({{"a", DType::kBf16, {}}, {"b", DType::kF32, {}}}, {}),
               CheckError);
}

class ShardedFiles : public ::testing::Test {
 protected:
  // a: 4 floats, b: 10 (more than a shard), c: 2, d: 6; at most 32 bytes a shard.
  void SetUp() override {
    Result<WeightFilesWriter> writer = WeightFilesWriter::create(directory_.path(),
                                                                 {{"a", DType::kF32, {4}},
                                                                  {"b", DType::kF32, {5, 2}},
                                                                  {"c", DType::kF32, {2}},
                                                                  {"d", DType::kF32, {6}}},
                                                                 32);
    ASSERT_OK(writer);
    const std::vector<float> values = counting(22);
    ASSERT_OK(writer->write(bytes_of(values).first(50)));
    EXPECT_FALSE(file_exists(directory_.file(kWeightsIndexFile)));
    ASSERT_OK(writer->write(bytes_of(values).subspan(50)));
    ASSERT_OK(writer->commit());
  }

  void replace_in_index(const std::string& from, const std::string& to) {
    const std::string path = directory_.file(kWeightsIndexFile);
    std::string text = read_text_file(path).value();
    const size_t place = text.find(from);
    ASSERT_NE(place, std::string::npos) << text;
    text.replace(place, from.size(), to);
    ASSERT_OK(write_text_file(path, text));
  }

  TempDir directory_;
};

TEST_F(ShardedFiles, RoundTrip) {
  const Result<Safetensors> files = Safetensors::open(directory_.path());
  ASSERT_OK(files);
  EXPECT_THAT(files.value().files(),
              ::testing::ElementsAre(directory_.file("model-00001-of-00003.safetensors"),
                                     directory_.file("model-00002-of-00003.safetensors"),
                                     directory_.file("model-00003-of-00003.safetensors")));
  std::vector<float> all;
  for (const std::string& name : files.value().names()) {
    for (const float value : floats(files.value().find(name).value())) all.push_back(value);
  }
  EXPECT_EQ(all, counting(22));
}

TEST_F(ShardedFiles, AnIndexThatDisagreesIsRefused) {
  replace_in_index("\"c\": \"model-00003", "\"c\": \"model-00001");
  EXPECT_ERROR_SAYS(Safetensors::open(directory_.path()), "index.json", "'c' is not in",
                    "model-00001-of-00003.safetensors");
}

TEST_F(ShardedFiles, ATensorThatNoShardHoldsIsRefused) {
  replace_in_index("\"weight_map\": {",
                   R"("weight_map": {"e": "model-00001-of-00003.safetensors",)");
  EXPECT_ERROR_SAYS(Safetensors::open(directory_.path()), "index.json", "'e' is not in");
}

TEST_F(ShardedFiles, AnUnlistedTensorIsRefused) {
  replace_in_index("\"c\": \"model-00003-of-00003.safetensors\",", "");
  EXPECT_ERROR_SAYS(Safetensors::open(directory_.path()), "index.json", "'c' in", "not listed");
}

TEST_F(ShardedFiles, ATensorInTwoShardsIsRefused) {
  std::filesystem::copy_file(directory_.file("model-00001-of-00003.safetensors"),
                             directory_.file("extra.safetensors"));
  replace_in_index("\"weight_map\": {", R"("weight_map": {"e": "extra.safetensors",)");
  EXPECT_ERROR_SAYS(Safetensors::open(directory_.path()), "index.json", "tensor 'a' is in",
                    "extra.safetensors", "model-00001-of-00003.safetensors");
}

TEST_F(ShardedFiles, AMissingShardIsNamed) {
  std::filesystem::remove(directory_.file("model-00002-of-00003.safetensors"));
  EXPECT_ERROR_SAYS(Safetensors::open(directory_.path()), "model-00002-of-00003.safetensors");
}

}  // namespace
}  // namespace looplm
