// Operands of products are rounded and laid out by vectors; here against doing it one by one.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include <gtest/gtest.h>

#include "base/bf16.h"
#include "base/cpu.h"
#include "base/rng.h"
#include "kernels/attention.h"
#include "kernels/kernels.h"
#include "kernels/quantized.h"
#include "kernels/ref/reference.h"

namespace looplm {
namespace {

using cpu::kPanel;
using cpu::kRowStride;

// Values of every kind that rounding treats in its own way.
std::vector<float> values_of_all_kinds(size_t count) {
  using Limits = std::numeric_limits<float>;
  const std::array<float, 10> kSpecial = {
      0.0f,
      -0.0f,
      Limits::infinity(),
      -Limits::infinity(),
      Limits::quiet_NaN(),
      std::bit_cast<float>(0xff800001u),  // a NaN whose upper half alone would be infinity
      Limits::max(),
      1e-40f,
      std::bit_cast<float>(0x807fffffu),  // rounds to the largest value below zero that is normal
      1.00390625f};                       // half way between two of bf16
  Rng rng(3);
  std::vector<float> values(count);
  for (float& x : values)
    x = rng.below(9) == 0 ? kSpecial[rng.below(kSpecial.size())] : rng.normal();
  return values;
}

class PrepareTest : public testing::TestWithParam<Isa> {
 protected:
  const cpu::KernelTable& kernels_ = *cpu::kernel_table(GetParam());
};

// The rows of a transposed matrix, beside each other, hold what they hold one after another.
TEST_P(PrepareTest, InterleavedRowsAreTheRows) {
  for (bool bf16 : {false, true}) {
    const auto plain = bf16 ? kernels_.prepare_rows_bf16 : kernels_.prepare_rows_f32;
    const auto interleaved =
        bf16 ? kernels_.prepare_interleaved_bf16 : kernels_.prepare_interleaved_f32;
    const bool halved = bf16 && kernels_.bf16_dot;
    const int64_t most = kernels_.tile_rows;
    for (auto [rows, tile_rows] : {std::array<int64_t, 2>{1, 1},
                                   {2, 2},
                                   {3, 3},
                                   {most - 1, most},
                                   {most, most},
                                   {2 * most + 1, most},
                                   {4 * most - 1, most},
                                   {10, 5},
                                   {29, 4}}) {
      for (int64_t terms : {1, 2, 3, 7, 16, 31, 255, 256}) {
        for (int64_t stride : {rows, rows + 1, rows + 40}) {
          SCOPED_TRACE(testing::Message() << (bf16 ? "bf16 " : "fp32 ") << rows << " rows, "
                                          << terms << " terms, stride " << stride);
          // Not a value more than the matrix has, so that a sanitizer sees what reads beyond it.
          const std::vector<float> source =
              values_of_all_kinds(static_cast<size_t>((terms - 1) * stride + rows));
          const auto room = static_cast<size_t>(rows * kRowStride);
          std::vector<uint32_t> one(room), other(room);
          cpu::PrepareRowsArgs args;
          args.source = source.data();
          args.row_stride = 1;
          args.term_stride = stride;
          args.rows = rows;
          args.tile_rows = tile_rows;
          args.terms = terms;
          args.out = one.data();
          plain(args);
          args.out = other.data();
          interleaved(args);
          const int64_t padded = bf16 ? (terms + 1) / 2 * 2 : terms;
          for (int64_t i = 0; i < (halved ? padded / 2 : padded); ++i) {
            for (int64_t m = 0; m < rows; ++m) {
              const int64_t first = m / tile_rows * tile_rows;
              const int64_t height = std::min(tile_rows, rows - first);
              ASSERT_EQ(other[static_cast<size_t>(first * kRowStride + i * height + m - first)],
                        one[static_cast<size_t>(m * kRowStride + i)])
                  << "slot " << i << " of row " << m;
            }
          }
        }
      }
    }
  }
}

// Two sources, so that the second may begin in the middle of a pair.
TEST_P(PrepareTest, PackedColumnsAreTheRoundedElements) {
  Device device(2, kernels_);
  for (int64_t first : {1, 2, 7, 40}) {
    for (int64_t second : {1, 3, 32}) {
      for (int64_t columns : {1, 5, 16, 31, 32, 33, 70}) {
        const int64_t terms = first + second, stride = columns + 3;
        const std::vector<float> x = values_of_all_kinds(static_cast<size_t>(terms * stride));
        const std::array<MatrixSource, 2> sources = {
            {{x.data(), DType::kF32, first, columns, stride},
             {x.data() + first * stride, DType::kF32, second, columns, stride}}};
        PackedMatrix floats(terms, columns, DType::kF32), pairs(terms, columns, DType::kBf16);
        pack_columns(sources, floats, device);
        pack_columns(sources, pairs, device);
        const int64_t padded = pairs.panel_bytes() / (kPanel * 2);
        for (int64_t c = 0; c < pairs.panels() * kPanel; ++c) {
          const auto* f = reinterpret_cast<const float*>(floats.panel(c / kPanel));
          const auto* p = reinterpret_cast<const Bf16*>(pairs.panel(c / kPanel));
          for (int64_t i = 0; i < padded; ++i) {
            const bool inside = c < columns && i < terms;
            const float value = inside ? x[static_cast<size_t>(i * stride + c)] : 0.0f;
            const int64_t slot = (i / 2 * kPanel + c % kPanel) * 2 + i % 2;
            ASSERT_EQ(std::bit_cast<uint16_t>(p[slot]), std::bit_cast<uint16_t>(to_bf16(value)))
                << terms << " terms, " << columns << " columns, term " << i << ", column " << c;
            if (i >= terms) continue;
            ASSERT_EQ(std::bit_cast<uint32_t>(f[i * kPanel + c % kPanel]),
                      std::bit_cast<uint32_t>(value))
                << terms << " terms, " << columns << " columns, term " << i << ", column " << c;
          }
        }
      }
    }
  }
}

// Two sources, stacked, of any alignment.
TEST_P(PrepareTest, PackedRowsAreTheRoundedElements) {
  Device device(2, kernels_);
  for (DType stored : {DType::kF32, DType::kBf16}) {
    const auto size = static_cast<int64_t>(dtype_size(stored));
    for (DType packed : {DType::kF32, DType::kBf16}) {
      for (auto [first, second] :
           {std::array<int64_t, 2>{1, 1}, {15, 3}, {16, 16}, {20, 12}, {32, 1}, {40, 33}}) {
        for (int64_t terms : {1, 2, 15, 16, 17, 31, 32, 33, 64, 255, 257, 530}) {
          for (int64_t shift : {0, 1, 2}) {
            SCOPED_TRACE(testing::Message()
                         << dtype_name(stored) << " to " << dtype_name(packed) << ", " << first
                         << " and " << second << " rows, " << terms << " terms, " << shift);
            const int64_t columns = first + second, stride = terms + 3;
            // Values that the stored type has, and their bytes `shift` bytes further on.
            std::vector<float> x = values_of_all_kinds(static_cast<size_t>(columns * stride));
            std::vector<std::byte> memory(x.size() * static_cast<size_t>(size) + 3);
            for (size_t i = 0; i < x.size(); ++i) {
              const Bf16 rounded = to_bf16(x[i]);
              if (stored == DType::kBf16) x[i] = to_float(rounded);
              const void* from =
                  stored == DType::kBf16 ? static_cast<const void*>(&rounded) : &x[i];
              std::memcpy(memory.data() + shift + i * static_cast<size_t>(size), from,
                          static_cast<size_t>(size));
            }
            const std::byte* data = memory.data() + shift;
            const std::array<MatrixSource, 2> sources = {
                {{data, stored, first, terms, stride},
                 {data + first * stride * size, stored, second, terms, stride}}};
            PackedMatrix matrix(terms, columns, packed);
            pack_rows(sources, matrix, device);
            const int64_t padded =
                matrix.panel_bytes() / (kPanel * static_cast<int64_t>(dtype_size(packed)));
            for (int64_t c = 0; c < matrix.panels() * kPanel; ++c) {
              const std::byte* panel = matrix.panel(c / kPanel);
              for (int64_t i = 0; i < padded; ++i) {
                const bool inside = c < columns && i < terms;
                const float value = inside ? x[static_cast<size_t>(c * stride + i)] : 0.0f;
                if (packed == DType::kF32) {
                  ASSERT_EQ(reinterpret_cast<const uint32_t*>(panel)[i * kPanel + c % kPanel],
                            std::bit_cast<uint32_t>(value))
                      << "term " << i << ", column " << c;
                } else {
                  const int64_t slot = (i / 2 * kPanel + c % kPanel) * 2 + i % 2;
                  ASSERT_EQ(reinterpret_cast<const uint16_t*>(panel)[slot],
                            std::bit_cast<uint16_t>(to_bf16(value)))
                      << "term " << i << ", column " << c;
                }
              }
            }
          }
        }
      }
    }
  }
}

// The same through whole products, on matrix units too: A with rows close together or far apart,
// and A transposed. Some of them are copied, and some are read where they are.
TEST_P(PrepareTest, ProductsHaveTheSameBitsHoweverALies) {
  Device device(3, kernels_);
  Rng rng(5);
  for (DType dtype : {DType::kF32, DType::kBf16}) {
    for (auto [rows, terms, columns] : {std::array<int64_t, 3>{1, 1, 1},
                                        {13, 31, 33},
                                        {61, 257, 40},
                                        {300, 513, 70},
                                        {61, 257, 140}}) {
      constexpr int64_t kFar = 1024;
      std::vector<float> a(static_cast<size_t>(rows * terms)), turned(a.size());
      std::vector<float> apart(static_cast<size_t>(rows * kFar));
      for (float& x : a) x = rng.normal();
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t i = 0; i < terms; ++i) {
          const float value = a[static_cast<size_t>(r * terms + i)];
          turned[static_cast<size_t>(i * rows + r)] = value;
          apart[static_cast<size_t>(r * kFar + i)] = value;
        }
      }
      std::vector<float> x(static_cast<size_t>(terms * columns));
      for (float& value : x) value = rng.normal();
      PackedMatrix b(terms, columns, dtype);
      const std::array<MatrixSource, 1> source = {
          {{x.data(), DType::kF32, terms, columns, columns}}};
      pack_columns(source, b, device);
      std::vector<float> one(static_cast<size_t>(rows * columns)), other(one.size());
      MatmulParams p;
      p.rows = rows;
      p.b = &b;
      p.c_row_stride = columns;
      p.a = a.data();
      p.a_row_stride = terms;
      p.c = one.data();
      matmul(p, device);
      p.a = apart.data();
      p.a_row_stride = kFar;
      p.c = other.data();
      matmul(p, device);
      EXPECT_EQ(one, other) << dtype_name(dtype) << " " << rows << " x " << terms << " x "
                            << columns << ", rows apart";
      p.a = turned.data();
      p.a_row_stride = 1;
      p.a_term_stride = rows;
      matmul(p, device);
      EXPECT_EQ(one, other) << dtype_name(dtype) << " " << rows << " x " << terms << " x "
                            << columns;
    }
  }
}

// Levels as files keep them, packed word by word; here against placing them one by one.
TEST_P(PrepareTest, LevelsAreLaidOutAsOneByOne) {
  Device device(3, kernels_);
  Rng rng(8);
  for (const Quant quant : {Quant::kInt8, Quant::kInt4}) {
    for (auto [first_rows, rows, terms] :
         {std::array<int64_t, 3>{1, 2, 1}, {20, 70, 130}, {64, 96, 512}, {7, 40, 64}}) {
      const int64_t groups = quant_groups(terms), half = quant == Quant::kInt4 ? 2 : 1;
      const int64_t row_bytes = groups * kQuantGroup / half;
      PackedMatrix packed(terms, rows, quant);
      std::vector<std::byte> expected(packed.bytes());
      std::vector<std::byte> levels, scales, minimums;
      const auto append = [](std::vector<std::byte>& to, const auto& value) {
        const auto bytes = std::as_bytes(std::span(&value, 1));
        to.insert(to.end(), bytes.begin(), bytes.end());
      };
      for (int64_t r = 0; r < rows; ++r) {
        std::vector<float> weights(static_cast<size_t>(terms));
        for (float& w : weights) w = rng.normal();
        QuantizedRow row;
        quantize_row(quant, weights, row);
        place_row(quant, row, r % kPanel, expected.data() + r / kPanel * packed.panel_bytes());
        for (size_t i = 0; i < row.levels.size(); i += static_cast<size_t>(half)) {
          const int next = half == 2 ? row.levels[i + 1] << 4 : 0;
          append(levels, static_cast<uint8_t>(row.levels[i] | next));
        }
        for (const float scale : row.scales) {
          if (half == 2) {
            append(scales, float_to_half(scale));
          } else {
            append(scales, scale);
          }
        }
        for (const float minimum : row.minimums) append(minimums, float_to_half(minimum));
      }
      const auto part = [&, t = terms](int64_t begin, int64_t count) {
        const int64_t scale_bytes = half == 2 ? groups * 2 : 4;
        MatrixSource source = {levels.data() + begin * row_bytes, DType::kU8, count, t, t};
        source.scales = scales.data() + begin * scale_bytes;
        source.minimums = half == 2 ? minimums.data() + begin * scale_bytes : nullptr;
        return source;
      };
      const std::array<MatrixSource, 2> sources = {part(0, first_rows),
                                                   part(first_rows, rows - first_rows)};
      pack_rows(sources, packed, device);
      const std::vector<std::byte> actual(packed.panel(0), packed.panel(0) + packed.bytes());
      EXPECT_TRUE(actual == expected) << (half == 2 ? "int4 " : "int8 ") << rows << " x " << terms;
    }
  }
}

// Groups cut short; weights that are all one, whose scale is no normal half, or is none at all.
TEST_P(PrepareTest, WeightsInFourBitsAreTheReferences) {
  Rng rng(9);
  for (const int64_t terms : {1, 63, 64, 65, 130, 64 * 21 + 7}) {
    for (const float size : {1.0f, 1e-5f, 1e-9f, 3e4f, 1e9f, 0.0f}) {
      std::vector<float> weights(static_cast<size_t>(terms));
      for (float& w : weights) w = size * rng.normal() + (rng.below(20) == 0 ? size : 0);
      weights[weights.size() / 2] = -0.0f;
      QuantizedRow row;
      quantize_row(Quant::kInt4, weights, kernels_, row);
      for (size_t at = 0; at < weights.size(); at += kQuantGroup) {
        const size_t count = std::min<size_t>(kQuantGroup, weights.size() - at);
        const ref::Int4Group expected = ref::fit_int4(std::span(weights).subspan(at, count));
        const size_t g = at / kQuantGroup;
        ASSERT_EQ(std::bit_cast<uint32_t>(row.scales[g]), std::bit_cast<uint32_t>(expected.scale));
        ASSERT_EQ(std::bit_cast<uint32_t>(row.minimums[g]),
                  std::bit_cast<uint32_t>(expected.minimum));
        for (size_t i = 0; i < kQuantGroup; ++i) {
          ASSERT_EQ(static_cast<float>(row.levels[at + i]), i < count ? expected.levels[i] : 0)
              << terms << " terms of size " << size << ", " << at + i;
        }
      }
    }
  }
}

// Rows of values as round_rows leaves them.
std::vector<Bf16> rounded_rows(const std::vector<float>& x, int64_t rows, int64_t width,
                               Device& device) {
  std::vector<Bf16> out(static_cast<size_t>(rows * rounded_stride(width)));
  round_rows({x.data(), rows, width, out.data()}, device);
  return out;
}

void expect_rounded(const std::vector<Bf16>& actual, const std::vector<float>& x, int64_t width) {
  const int64_t stride = rounded_stride(width);
  ASSERT_EQ(actual.size() / static_cast<size_t>(stride), x.size() / static_cast<size_t>(width));
  for (int64_t r = 0; r * width < static_cast<int64_t>(x.size()); ++r) {
    for (int64_t i = 0; i < width; ++i) {
      ASSERT_EQ(actual[static_cast<size_t>(r * stride + i)].bits,
                to_bf16(x[static_cast<size_t>(r * width + i)]).bits)
          << "element " << i << " of row " << r;
    }
  }
}

bool equal_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// Products of rows that were rounded beforehand, in both directions.
TEST_P(PrepareTest, RoundedRowsHaveTheProductsOfTheirValues) {
  Device device(2, kernels_);
  for (auto [rows, terms, columns] : {std::array<int64_t, 3>{1, 1, 1},
                                      {1, 64, 33},
                                      {13, 31, 33},
                                      {61, 257, 40},
                                      {300, 512, 70},
                                      {61, 259, 161}}) {
    SCOPED_TRACE(testing::Message() << rows << " x " << terms << " x " << columns);
    const std::vector<float> x = values_of_all_kinds(static_cast<size_t>(rows * terms));
    const std::vector<float> y = values_of_all_kinds(static_cast<size_t>(rows * columns));
    const std::vector<float> w = values_of_all_kinds(static_cast<size_t>(columns * terms));
    const std::vector<Bf16> x_rounded = rounded_rows(x, rows, terms, device);
    const std::vector<Bf16> y_rounded = rounded_rows(y, rows, columns, device);
    expect_rounded(x_rounded, x, terms);
    PackedMatrix b(terms, columns, DType::kBf16);
    const std::array<MatrixSource, 1> source = {{{w.data(), DType::kF32, columns, terms, terms}}};
    pack_rows(source, b, device);
    std::vector<float> expected(y.size()), actual(y.size());
    MatmulParams p;
    p.a = x.data();
    p.a_row_stride = terms;
    p.rows = rows;
    p.b = &b;
    p.c = expected.data();
    p.c_row_stride = columns;
    for (const int threads : {1, 3}) {
      Device fresh(threads, kernels_);
      const float* scratch =
          fresh.shared_scratch(matmul_scratch_bytes(rows, terms, threads) * 4 / 5 / sizeof(float));
      matmul(p, fresh);
      EXPECT_EQ(fresh.shared_scratch(0), scratch) << "no room on " << threads << " threads";
    }
    p.a = nullptr;
    p.a_rounded = x_rounded.data();
    p.a_row_stride = rounded_stride(terms);
    p.c = actual.data();
    matmul(p, device);
    EXPECT_TRUE(equal_bits(expected, actual));

    LinearWeightGradientParams g;
    g.dy = y.data();
    g.dy_stride = columns;
    g.x = x.data();
    g.x_stride = terms;
    g.rows = rows;
    g.out = columns;
    g.in = terms;
    g.dtype = DType::kBf16;
    std::vector<float> gradient(w.size());
    g.weight_gradient = gradient.data();
    linear_weight_gradient(g, device);
    std::vector<float> of_rounded(w.size());
    g.weight_gradient = of_rounded.data();
    g.dy_rounded = y_rounded.data();
    g.dy_stride = rounded_stride(columns);
    linear_weight_gradient(g, device);
    EXPECT_TRUE(equal_bits(gradient, of_rounded));
  }
}

// Each operation's rounded result is its result, rounded.
TEST_P(PrepareTest, OperationsRoundTheirResults) {
  Device device(2, kernels_);
  constexpr int64_t kRows = 130, kWidth = 45;
  const auto random = [](int64_t count, uint64_t seed) {
    std::vector<float> values(static_cast<size_t>(count));
    Rng rng(seed);
    for (float& x : values) x = rng.normal();
    return values;
  };
  const std::vector<float> x = random(kRows * kWidth, 1), dy = random(kRows * kWidth, 2);
  const std::vector<float> weight = random(kWidth, 3), pairs = random(kRows * 2 * kWidth, 4);
  const auto room = [](int64_t width) {
    return std::vector<Bf16>(static_cast<size_t>(kRows * rounded_stride(width)));
  };
  std::vector<float> y(x.size()), scales(kRows);
  std::vector<Bf16> rounded = room(kWidth);
  rms_norm_forward({x.data(), weight.data(), 1e-6f, kRows, kWidth, y.data(), scales.data()},
                   device);
  rms_norm_forward(
      {x.data(), weight.data(), 1e-6f, kRows, kWidth, nullptr, nullptr, rounded.data()}, device);
  expect_rounded(rounded, y, kWidth);

  constexpr int64_t kSums = norm_sum_count(kRows) * kWidth;
  std::vector<float> dx(x.size()), dweight(kSums), dweight_again(kSums);
  rms_norm_backward({dy.data(), x.data(), weight.data(), scales.data(), kRows, kWidth, dx.data(),
                     false, nullptr, dweight.data()},
                    device);
  rms_norm_backward({dy.data(), x.data(), weight.data(), scales.data(), kRows, kWidth, nullptr,
                     false, rounded.data(), dweight_again.data()},
                    device);
  expect_rounded(rounded, dx, kWidth);
  EXPECT_EQ(dweight, dweight_again);

  const float* up = pairs.data() + kWidth;
  swiglu_forward({pairs.data(), up, 2 * kWidth, kRows, kWidth, y.data()}, device);
  swiglu_forward({pairs.data(), up, 2 * kWidth, kRows, kWidth, nullptr, rounded.data()}, device);
  expect_rounded(rounded, y, kWidth);

  std::vector<float> gradient(pairs.size()), activated(x.size());
  std::vector<Bf16> gradient_rounded = room(2 * kWidth), activated_rounded = room(kWidth);
  swiglu_backward({dy.data(), pairs.data(), up, 2 * kWidth, kRows, kWidth, gradient.data(),
                   gradient.data() + kWidth, 2 * kWidth, nullptr, activated.data()},
                  device);
  EXPECT_EQ(activated, y);
  swiglu_backward({dy.data(), pairs.data(), up, 2 * kWidth, kRows, kWidth, nullptr, nullptr, 0,
                   gradient_rounded.data(), nullptr, activated_rounded.data()},
                  device);
  expect_rounded(gradient_rounded, gradient, 2 * kWidth);
  expect_rounded(activated_rounded, activated, kWidth);
}

// Runs that begin and end at even and odd slots; heads of an odd number of dimensions, with a last
// panel that is not full, of whole panels.
TEST_P(PrepareTest, RowsOfAPageAreItsPositionsOneByOne) {
  constexpr int64_t kHeads = 3;
  for (KvType type : {KvType::kF32, KvType::kBf16, KvType::kInt8}) {
    for (int64_t dim : {1, 5, 32, 40, 128, 256}) {
      const KvLayout layout = {kHeads, dim, type};
      const int64_t width = 2 * kHeads * dim;
      std::vector<float> rows = values_of_all_kinds(static_cast<size_t>(kPagePositions * width));
      if (type == KvType::kInt8)
        std::replace_if(
            rows.begin(), rows.end(), [](float x) { return !(std::abs(x) < 10); }, 0.0f);
      for (auto [slot, count] :
           {std::array<int64_t, 2>{0, 32}, {0, 1}, {31, 1}, {3, 16}, {16, 7}, {9, 20}}) {
        Buffer<std::byte> together(static_cast<size_t>(layout.page_bytes()));
        std::fill_n(together.data(), together.size(), std::byte{0xa5});
        Buffer<std::byte> alone(together.size());
        std::copy_n(together.data(), together.size(), alone.data());
        std::vector<const float*> k, v;
        for (int64_t r = 0; r < count; ++r) {
          k.push_back(rows.data() + r * width);
          v.push_back(k.back() + kHeads * dim);
          store_kv(layout, k.back(), v.back(), kPagePositions + slot + r, alone.data());
        }
        store_kv_rows(layout, k, v, kPagePositions + slot, together.data(), kernels_);
        EXPECT_EQ(std::memcmp(together.data(), alone.data(), alone.size()), 0)
            << kv_type_name(type) << " head of " << dim << ", slot " << slot << ", " << count;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, PrepareTest, testing::ValuesIn(available_isas()),
                         [](const auto& isa) { return isa_name(isa.param); });

}  // namespace
}  // namespace looplm
