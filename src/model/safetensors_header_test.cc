#include "model/safetensors_header.h"

#include <cstring>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/safetensors_index.h"
#include "support/status_matchers.h"

namespace looplm {
namespace {

// A file from its header's JSON and a number of data bytes.
std::string file_of(const std::string& json, size_t data_bytes) {
  const uint64_t length = json.size();
  std::string file(8, '\0');
  std::memcpy(file.data(), &length, 8);
  return file + json + std::string(data_bytes, '\1');
}

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

Result<SafetensorsHeader> parse(const std::string& file) {
  return parse_safetensors_header(bytes_of(file), "w.safetensors");
}

std::string tensor(const char* dtype, const char* shape, const char* offsets) {
  return fmt::format(R"({{"dtype":"{}","shape":{},"data_offsets":{}}})", dtype, shape, offsets);
}

TEST(SafetensorsHeader, ReadsWhatTheFormatAllows) {
  // Out of order in the JSON, an empty tensor between others, foreign dtypes, padding, no tensors.
  const std::string json =
      "{\"b\":" + tensor("BF16", "[2,2]", "[4,12]") + ",\"e\":" + tensor("F32", "[0,3]", "[4,4]") +
      ",\"a\":" + tensor("F32", "[]", "[0,4]") + ",\"q\":" + tensor("F4", "[2]", "[12,13]") +
      ",\"x\":" + tensor("NEW9", "[5]", "[13,14]") + R"(,"__metadata__":{"format":"pt"}}   )";
  const std::string file = file_of(json, 14);
  const Result<SafetensorsHeader> header = parse(file);
  ASSERT_OK(header);
  std::string order;
  for (const StoredTensor& t : header.value().tensors) order += t.name;
  EXPECT_EQ(order, "aebqx");
  EXPECT_EQ(header.value().tensors[2].shape, (Shape{2, 2}));
  EXPECT_EQ(header.value().data_begin, 8 + json.size());
  EXPECT_EQ(header.value().metadata.at("format"), "pt");
  EXPECT_OK(parse(file_of("{}", 0)));
}

// As the reference library (0.8) reads them.
TEST(SafetensorsHeader, NullMetadataAreNone) {
  const std::string f32 = "\"a\":" + tensor("F32", "[2]", "[0,8]");
  for (const char* metadata : {"null", "{}"}) {
    const Result<SafetensorsHeader> header =
        parse(file_of(fmt::format("{{\"__metadata__\":{},{}}}", metadata, f32), 8));
    ASSERT_OK(header);
    EXPECT_TRUE(header.value().metadata.empty());
    EXPECT_EQ(header.value().tensors.size(), 1u);
  }
}

struct HostileHeader {
  std::string json;
  size_t data_bytes;
  std::vector<const char*> says;
};

TEST(SafetensorsHeader, RefusesEveryLie) {
  const std::string f32 = tensor("F32", "[2]", "[0,8]");
  const HostileHeader cases[] = {
      {"", 0, {"does not begin with '{'"}},
      {" {}", 0, {"does not begin with '{'"}},
      {"[]", 0, {"does not begin with '{'"}},
      {"{\"a\":", 0, {"header", "not valid JSON"}},
      {"{} {}", 0, {"not valid JSON"}},
      {"{\"a\xff\":1}", 0, {"not valid JSON"}},
      {"{\"a\":" + f32 + ",\"a\":" + f32 + "}", 8, {"'a' is given twice"}},
      {"{\"a\":1}", 0, {"tensor 'a'", "it is 1; expected an object"}},
      {R"({"a":{"dtype":"F32","shape":[1]}})", 4, {"tensor 'a'", "'data_offsets'"}},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"zip":1}})", 4, {"expected an obj"}},
      {R"({"a":{"dtype":32,"shape":[1],"data_offsets":[0,4]}})",
       4,
       {"'dtype' is 32; expected a name"}},
      {R"({"":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4, {"name is \"\""}},
      {R"({"a\u001b[2J":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4, {"control char"}},
      {"{\"a\":" + tensor("F32", "2", "[0,8]") + "}", 8, {"'shape' is 2; expected a list"}},
      {"{\"a\":" + tensor("F32", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,2]", "[0,8]") + "}",
       8,
       {"expected a list of at most 16"}},
      {"{\"a\":" + tensor("F32", "[-2]", "[0,8]") + "}", 8, {"'shape' is [-2]; expected"}},
      {"{\"a\":" + tensor("F32", "[2.0]", "[0,8]") + "}", 8, {"'shape' is [2.0]; expected"}},
      {"{\"a\":" + tensor("F32", "[9223372036854775808]", "[0,8]") + "}", 8, {"to 2^63 - 1"}},
      {"{\"a\":" + tensor("F32", "[4294967296,4294967296]", "[0,8]") + "}", 8, {"2^63 - 1 elem"}},
      // The product is 0, but multiplying in order overflows before it gets there.
      {"{\"a\":" + tensor("F32", "[4294967296,4294967296,0]", "[0,0]") + "}", 0, {"2^63 - 1 el"}},
      // 2^62 elements of 4 bytes wrap to 0 bytes in 64 bits.
      {"{\"a\":" + tensor("F32", "[4611686018427387904]", "[0,0]") + "}", 0, {"do not fit F32"}},
      {"{\"a\":" + tensor("F32", "[2]", "[8,0]") + "}", 8, {"[8, 0]", "begin <= end <= 8"}},
      {"{\"a\":" + tensor("F32", "[2]", "[0,16]") + "}", 8, {"[0, 16]", "begin <= end <= 8"}},
      {"{\"a\":" + tensor("F32", "[2]", "[-8,0]") + "}", 8, {"is [-8,0]; expected a pair"}},
      {"{\"a\":" + tensor("F32", "[2]", "[0,8,9]") + "}", 8, {"is [0,8,9]; expected a pair"}},
      {"{\"a\":" + tensor("F32", "[2]", "[18446744073709551612,4]") + "}", 8, {"expected a pair"}},
      {"{\"a\":" + tensor("F32", "[3]", "[0,8]") + "}", 8, {"8 bytes of data do not fit F32 [3]"}},
      {"{\"a\":" + tensor("BF16", "[2]", "[0,8]") + "}", 8, {"do not fit BF16 [2]"}},
      {"{\"a\":" + tensor("F4", "[3]", "[0,1]") + "}", 1, {"do not fit F4 [3]"}},
      {"{\"a\":" + f32 + ",\"b\":" + tensor("F32", "[2]", "[4,12]") + "}", 12, {"'b'", "overlap"}},
      {"{\"a\":" + f32 + ",\"b\":" + tensor("F32", "[2]", "[0,8]") + "}", 8, {"overlap"}},
      {"{\"a\":" + f32 + ",\"b\":" + tensor("F32", "[0]", "[4,4]") + "}", 8, {"'b'", "overlap"}},
      {"{\"a\":" + f32 + ",\"b\":" + tensor("F32", "[1]", "[12,16]") + "}", 16, {"'b'", "a hole"}},
      {"{\"a\":" + tensor("F32", "[1]", "[4,8]") + "}", 8, {"'a'", "a hole"}},
      {"{\"a\":" + f32 + "}", 9, {"1 bytes after the last tensor"}},
      {"{\"a\":" + f32 + "}", 7, {"[0, 8]", "<= 7"}},
      {"{}", 1, {"1 bytes after"}},
      {R"({"__metadata__":{"step":3}})", 0, {"'__metadata__.step' is 3; expected a string"}},
      {R"({"__metadata__":{"step":null}})", 0, {"'__metadata__.step' is null"}},
      {R"({"__metadata__":["pt"]})", 0, {"'__metadata__' is [\"pt\"]; expected an object"}},
  };
  for (const HostileHeader& hostile : cases) {
    SCOPED_TRACE(hostile.json);
    const Result<SafetensorsHeader> header = parse(file_of(hostile.json, hostile.data_bytes));
    EXPECT_ERROR_SAYS(header, "w.safetensors: ");
    for (const char* part : hostile.says) EXPECT_ERROR_SAYS(header, part);
  }
}

TEST(SafetensorsHeader, RefusesImpossibleLengths) {
  const std::string good = file_of("{}", 0);
  for (size_t size = 0; size < 8; ++size) {
    EXPECT_ERROR_SAYS(parse(good.substr(0, size)), "too few for a safetensors file");
  }
  EXPECT_ERROR_SAYS(parse(good.substr(0, 9)), "header length 2, but only 1 bytes", "cut short");
  std::string huge = good;
  huge[7] = '\x7f';
  EXPECT_ERROR_SAYS(parse(huge), "9151314442816847874", "is this a safetensors file");
  std::string wrapping(16, '\xff');  // 8 + length overflows to less than the file size
  wrapping[0] = '\xf8';
  EXPECT_ERROR_SAYS(parse(wrapping), "18446744073709551608");
}

TEST(SafetensorsHeader, ViewsAreCheckedWhenAskedFor) {
  const std::string json = "{\"a\":" + tensor("BF16", "[1]", "[0,2]") +
                           ",\"b\":" + tensor("F32", "[1]", "[2,6]") +
                           ",\"c\":" + tensor("I64", "[1]", "[6,14]") + "}";
  const std::string file = file_of(json + std::string((8 - json.size() % 8) % 8, ' '), 14);
  const Result<SafetensorsHeader> header = parse(file);
  ASSERT_OK(header);
  const auto view = [&](size_t i) {
    return stored_tensor_view(header.value(), header.value().tensors[i], bytes_of(file), "w");
  };
  ASSERT_OK(view(0));
  EXPECT_EQ(view(0).value().dtype, DType::kBf16);
  EXPECT_EQ(view(0).value().data, bytes_of(file).data() + header.value().data_begin);
  EXPECT_ERROR_SAYS(view(1), "w: tensor 'b' begins at byte", "multiple of its element size 4");
  EXPECT_ERROR_SAYS(view(2), "w: tensor 'c' has dtype I64", "F32, BF16 and F16");
}

TEST(SafetensorsHeader, WrittenTextReadsBack) {
  const std::vector<TensorDeclaration> tensors = {
      {"z", DType::kF32, {2, 3}}, {"scalar", DType::kF32, {}}, {"a", DType::kBf16, {5}}};
  const std::string text = safetensors_header_text(tensors, {{"format", "pt"}});
  EXPECT_EQ(text.size() % 8, 0);
  const Result<SafetensorsHeader> header = parse(text + std::string(24 + 4 + 10, '\0'));
  ASSERT_OK(header);
  ASSERT_EQ(header.value().tensors.size(), 3);
  for (size_t i = 0; i < tensors.size(); ++i) {
    EXPECT_EQ(header.value().tensors[i].name, tensors[i].name);
    EXPECT_EQ(header.value().tensors[i].dtype, dtype_name(tensors[i].dtype));
    EXPECT_EQ(header.value().tensors[i].shape, tensors[i].shape);
  }
  EXPECT_EQ(header.value().metadata, (SafetensorsMetadata{{"format", "pt"}}));
}

TEST(SafetensorsIndex, ReadsItsOwnTextAndRefusesPaths) {
  const WeightMap map = {{"a", shard_file_name(0, 2)}, {"b", shard_file_name(1, 2)}};
  EXPECT_EQ(map.at("b"), "model-00002-of-00002.safetensors");
  EXPECT_EQ(parse_safetensors_index(safetensors_index_text(map, 12), "i").value(), map);
  for (const char* file :
       {R"("../a.safetensors")", R"("/etc/a.safetensors")", R"("a\\b.safetensors")", R"("..")",
        R"(".safetensors")", R"("a\u0000.safetensors")", R"("model.bin")", R"("")", "7", "null"}) {
    SCOPED_TRACE(file);
    EXPECT_ERROR_SAYS(
        parse_safetensors_index(fmt::format(R"({{"weight_map":{{"a":{}}}}})", file), "index.json"),
        "index.json", "'weight_map' names the file", "expected a plain name");
  }
  for (const char* text : {"[]", "{}", R"({"weight_map":[]})"}) {
    EXPECT_ERROR_SAYS(parse_safetensors_index(text, "index.json"), "index.json", "'weight_map'");
  }
  EXPECT_ERROR_SAYS(parse_safetensors_index(R"({"weight_map":{"a":"x","a":"x"}})", "i"), "twice");
}

}  // namespace
}  // namespace looplm
