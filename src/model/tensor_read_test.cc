#include "model/tensor_read.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/bf16.h"
#include "support/status_matchers.h"

namespace looplm {
namespace {

constexpr DType kDtypes[] = {DType::kF32, DType::kBf16, DType::kF16};

// Exact for numbers that half precision holds as normal ones.
uint16_t half_bits(float value) {
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  if (std::isnan(value)) return 0x7e00;
  if (std::isinf(value)) return sign | 0x7c00;
  if (value == 0) return sign;
  int exponent = 0;
  const float fraction = std::frexp(std::abs(value), &exponent);  // in [1/2, 1)
  return static_cast<uint16_t>(sign | ((exponent + 14) << 10) |
                               static_cast<int>((2 * fraction - 1) * 1024));
}

// A tensor of small whole numbers, which every dtype holds exactly, at any byte offset.
class StoredTensor {
 public:
  StoredTensor(DType dtype, int64_t count, size_t offset)
      : dtype_(dtype), count_(count), offset_(offset), bytes_(offset + 4 * count) {
    for (int64_t i = 0; i < count; ++i) set(i, static_cast<float>(i % 2048));
  }

  void set(int64_t index, float value) {
    std::byte* place = bytes_.data() + offset_ + index * static_cast<int64_t>(dtype_size(dtype_));
    if (dtype_ == DType::kF32) std::memcpy(place, &value, 4);
    if (dtype_ == DType::kBf16) {
      const Bf16 rounded = to_bf16(value);
      std::memcpy(place, &rounded, 2);
    }
    if (dtype_ == DType::kF16) {
      const uint16_t half = half_bits(value);
      std::memcpy(place, &half, 2);
    }
  }
  TensorView view() const { return {dtype_, {count_}, bytes_.data() + offset_}; }

 private:
  DType dtype_;
  int64_t count_;
  size_t offset_;
  std::vector<std::byte> bytes_;
};

TEST(TensorRead, ConvertsEveryDtypeAtEveryAlignment) {
  for (const DType dtype : kDtypes) {
    for (const size_t offset : {0, 1, 2, 3}) {
      const StoredTensor tensor(dtype, 100, offset);
      std::vector<float> all(100);
      read_as_float(tensor.view(), all);
      for (size_t i = 0; i < all.size(); ++i) EXPECT_EQ(all[i], static_cast<float>(i));
      std::vector<float> part(7);
      read_as_float(tensor.view(), 50, part);
      EXPECT_THAT(part, ::testing::ElementsAre(50, 51, 52, 53, 54, 55, 56));
    }
  }
}

TEST(TensorRead, FindsTheFirstValueThatIsNotFinite) {
  const float inf = std::numeric_limits<float>::infinity();
  const int64_t count = 10000;  // several blocks and a tail
  for (const DType dtype : kDtypes) {
    for (const int64_t index : {int64_t{0}, int64_t{4095}, int64_t{4096}, count - 1}) {
      for (const float bad : {inf, -inf, std::nanf("")}) {
        for (const size_t offset : {0, 1}) {
          StoredTensor tensor(dtype, count, offset);
          EXPECT_EQ(find_not_finite(tensor.view(), 0, count), -1);
          EXPECT_OK(check_finite("w", tensor.view()));
          tensor.set(count - 1, bad);
          tensor.set(index, bad);
          EXPECT_EQ(find_not_finite(tensor.view(), 0, count), index);
          EXPECT_EQ(find_not_finite(tensor.view(), 0, index), -1);
          EXPECT_EQ(find_not_finite(tensor.view(), index, count - index), index);
        }
      }
    }
  }
}

TEST(TensorRead, TheLargestFiniteValuesPass) {
  StoredTensor f32(DType::kF32, 1, 0);
  f32.set(0, std::numeric_limits<float>::max());
  EXPECT_OK(check_finite("w", f32.view()));
  StoredTensor bf16(DType::kBf16, 1, 0);
  bf16.set(0, 3.3895e38f);
  EXPECT_OK(check_finite("w", bf16.view()));
  StoredTensor f16(DType::kF16, 1, 0);
  f16.set(0, -65504.0f);
  EXPECT_OK(check_finite("w", f16.view()));
}

TEST(TensorRead, TheErrorNamesTensorIndexAndValue) {
  StoredTensor tensor(DType::kBf16, 9, 0);
  tensor.set(5, -std::numeric_limits<float>::infinity());
  EXPECT_ERROR_SAYS(check_finite("model.norm.weight", tensor.view()), "'model.norm.weight'", "-inf",
                    "index 5 of 9");
}

}  // namespace
}  // namespace looplm
