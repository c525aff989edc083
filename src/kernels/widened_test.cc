// Products with widened integers are those with the floats that the integers stand for, bit for
// bit.
#include <array>

#include <gtest/gtest.h>

#include "base/cpu.h"
#include "base/rng.h"
#include "kernels/kernels.h"

namespace looplm {
namespace {

struct Size {
  int64_t rows, in, out;
};

class WidenedTest : public testing::TestWithParam<std::tuple<Quant, DType, Size>> {};

std::vector<float> noise(int64_t count, uint64_t seed) {
  std::vector<float> values(static_cast<size_t>(count));
  Rng rng(seed);
  for (float& value : values) value = rng.normal();
  return values;
}

MatmulParams product(const std::vector<float>& a, int64_t rows, const PackedMatrix& b,
                     int64_t columns, std::vector<float>& c) {
  MatmulParams p;
  p.a = a.data();
  p.a_row_stride = static_cast<int64_t>(a.size()) / rows;
  p.rows = rows;
  p.b = &b;
  c.assign(static_cast<size_t>(rows * columns), 0.5f);
  p.c = c.data();
  p.c_row_stride = columns;
  p.accumulate = true;
  return p;
}

TEST_P(WidenedTest, ProductsBothWaysAreThoseOfFloats) {
  // By name: clang 14 captures no structured bindings.
  const auto& quant = std::get<0>(GetParam());
  const auto& dtype = std::get<1>(GetParam());
  const auto& size = std::get<2>(GetParam());
#ifdef LOOPLM_SANITIZED
  if (size.in > 1000) GTEST_SKIP() << "ten seconds under a sanitizer";
#endif
  const std::unique_ptr<Device> device = std::move(Device::create(2).value());
  const std::vector<float> weights = noise(size.in * size.out, 1);
  std::vector<float> stand_for(weights.size());
  QuantizedRow row;
  for (size_t at = 0; at < weights.size(); at += static_cast<size_t>(size.in)) {
    const auto in = static_cast<size_t>(size.in);
    quantize_row(quant, {weights.data() + at, in}, row);
    dequantize_row(quant, row, {stand_for.data() + at, in});
  }
  const auto source = [&](const std::vector<float>& of) {
    return std::array<MatrixSource, 1>{{{of.data(), DType::kF32, size.out, size.in, size.in}}};
  };
  PackedMatrix widened(size.in, size.out, quant, dtype), forward(size.in, size.out, dtype),
      backward(size.out, size.in, dtype);
  pack_rows(source(weights), widened, *device);
  pack_rows(source(stand_for), forward, *device);
  pack_columns(source(stand_for), backward, *device);

  std::vector<float> actual, expected;
  const std::vector<float> x = noise(size.rows * size.in, 2), dy = noise(size.rows * size.out, 3);
  matmul(product(x, size.rows, forward, size.out, expected), *device);
  matmul(product(x, size.rows, widened, size.out, actual), *device);
  EXPECT_EQ(actual, expected);
  matmul(product(dy, size.rows, backward, size.in, expected), *device);
  MatmulParams turned = product(dy, size.rows, widened, size.in, actual);
  turned.transposed = true;
  matmul(turned, *device);
  EXPECT_EQ(actual, expected);
}

// The last takes several groups of panels both ways.
INSTANTIATE_TEST_SUITE_P(Sizes, WidenedTest,
                         testing::Combine(testing::Values(Quant::kInt8, Quant::kInt4),
                                          testing::Values(DType::kF32, DType::kBf16),
                                          testing::Values(Size{1, 64, 32}, Size{5, 77, 45},
                                                          Size{40, 128, 200},
                                                          Size{2, 20000, 450})));

}  // namespace
}  // namespace looplm
