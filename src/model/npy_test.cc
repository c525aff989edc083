#include "model/npy.h"

#include <numeric>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/check.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"

namespace looplm {
namespace {

std::string written(const Shape& shape, const std::vector<float>& values) {
  const TempDir directory;
  const std::string path = directory.file("a.npy");
  Result<NpyWriter> writer = NpyWriter::create(path, shape);
  EXPECT_OK(writer);
  const size_t half = values.size() / 2;  // in two chunks
  EXPECT_OK(writer->write(std::span(values).first(half)));
  EXPECT_OK(writer->write(std::span(values).subspan(half)));
  EXPECT_FALSE(file_exists(path));
  EXPECT_OK(writer->commit());
  return read_text_file(path).value();
}

std::string golden(const char* name) {
  return read_text_file(std::string(LOOPLM_MODEL_TESTDATA "/") + name).value();
}

TEST(Npy, WritesTheBytesThatNumpyWrites) {
  std::vector<float> cube(24);
  std::iota(cube.begin(), cube.end(), 0.0f);
  EXPECT_EQ(written({2, 3, 4}, cube), golden("numpy_cube.npy"));
  EXPECT_EQ(written({2, 3}, {0, 0.25, 0.5, 0.75, 1, 1.25}), golden("numpy_matrix.npy"));
  EXPECT_EQ(written({3}, {0.5, -1, 2}), golden("numpy_vector.npy"));
  EXPECT_EQ(written({}, {3}), golden("numpy_scalar.npy"));
  // Its header ends on a boundary of 64 bytes before padding.
  Shape thirteen_ones(13, 1);
  thirteen_ones.push_back(100);
  EXPECT_EQ(written(thirteen_ones, std::vector<float>(100, 1.0f)), golden("numpy_boundary.npy"));
}

TEST(Npy, WrongCountsAreDefects) {
  const TempDir directory;
  Result<NpyWriter> writer = NpyWriter::create(directory.file("a.npy"), {2});
  ASSERT_OK(writer);
  EXPECT_THROW((void)writer->commit(), CheckError);
  EXPECT_THROW((void)writer->write(std::vector<float>(3)), CheckError);
}

}  // namespace
}  // namespace looplm
