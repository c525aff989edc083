// Contracts that the engine stands on: a row's result does not depend on the company it is computed
// in.
#include <array>
#include <cmath>

#include <gtest/gtest.h>

#include "base/cpu.h"
#include "base/rng.h"
#include "kernels/attention.h"
#include "kernels/kernels.h"

namespace looplm {
namespace {

std::vector<float> random_values(size_t count, uint64_t seed) {
  Rng rng(seed);
  std::vector<float> values(count);
  for (float& x : values) x = rng.normal();
  return values;
}

PackedMatrix packed_weight(const std::vector<float>& w, int64_t out, int64_t in, DType dtype,
                           Device& device) {
  PackedMatrix packed(in, out, dtype);
  const std::array<MatrixSource, 1> source = {{{w.data(), DType::kF32, out, in, in}}};
  pack_rows(source, packed, device);
  return packed;
}

std::vector<float> product(const std::vector<float>& x, int64_t first, int64_t rows, int64_t in,
                           const PackedMatrix& w, Device& device) {
  std::vector<float> y(static_cast<size_t>(rows * w.columns()));
  MatmulParams p;
  p.a = x.data() + first * in;
  p.a_row_stride = in;
  p.rows = rows;
  p.b = &w;
  p.c = y.data();
  p.c_row_stride = w.columns();
  matmul(p, device);
  return y;
}

// `before` and the product of all rows of x.
std::vector<float> added_product(std::vector<float> before, const std::vector<float>& x,
                                 const PackedMatrix& w, Device& device) {
  MatmulParams p;
  p.a = x.data();
  p.a_row_stride = w.terms();
  p.rows = std::ssize(x) / w.terms();
  p.b = &w;
  p.c = before.data();
  p.c_row_stride = w.columns();
  p.accumulate = true;
  matmul(p, device);
  return before;
}

class EveryIsa : public testing::TestWithParam<Isa> {};

TEST_P(EveryIsa, LinearRowsAreTheSameAloneAndInAnyBatch) {
  Device device(3, *cpu::kernel_table(GetParam()));
  constexpr int64_t kIn = 700, kOut = 170, kRows = 300;
  const std::vector<float> x = random_values(kRows * kIn, 1);
  const std::vector<float> w = random_values(kOut * kIn, 2);
  for (DType dtype : {DType::kF32, DType::kBf16}) {
    const PackedMatrix packed = packed_weight(w, kOut, kIn, dtype, device);
    const std::vector<float> whole = product(x, 0, kRows, kIn, packed, device);
    for (int64_t batch : {1, 2, 3, 4, 5, 6, 7, 9, 12, 13, 16, 25, 100}) {
      for (int64_t first = 0; first + batch <= kRows; first += 41) {
        const std::vector<float> part = product(x, first, batch, kIn, packed, device);
        const auto begin = whole.begin() + first * kOut;
        ASSERT_TRUE(std::equal(part.begin(), part.end(), begin))
            << dtype_name(dtype) << " batch " << batch << " at row " << first;
      }
    }
  }
}

// More rows than are laid out, or handed to a thread, at a time; chunks of terms between.
TEST_P(EveryIsa, LinearRowsAreTheSameAmongThousands) {
  Device device(3, *cpu::kernel_table(GetParam()));
  constexpr int64_t kIn = 530, kOut = 33, kRows = 1100;
  const std::vector<float> x = random_values(kRows * kIn, 1);
  const std::vector<float> w = random_values(kOut * kIn, 2);
  const std::array<MatrixSource, 1> source = {{{w.data(), DType::kF32, kOut, kIn, kIn}}};
  std::array<PackedMatrix, 4> packed = {packed_weight(w, kOut, kIn, DType::kF32, device),
                                        packed_weight(w, kOut, kIn, DType::kBf16, device),
                                        PackedMatrix(kIn, kOut, Quant::kInt8),
                                        PackedMatrix(kIn, kOut, Quant::kInt4)};
  pack_rows(source, packed[2], device);
  pack_rows(source, packed[3], device);
  for (const PackedMatrix& matrix : packed) {
    const std::vector<float> whole = product(x, 0, kRows, kIn, matrix, device);
    for (int64_t first : {0, 127, 511, 512, 1023, 1024, 1099}) {
      const std::vector<float> row = product(x, first, 1, kIn, matrix, device);
      EXPECT_TRUE(std::equal(row.begin(), row.end(), whole.begin() + first * kOut))
          << "row " << first << " of format " << &matrix - packed.data();
    }
  }
}

// Processors differ in which of the two forms they take.
TEST_P(EveryIsa, ProductsByTwoPanelsAreThoseByOne) {
  const cpu::KernelTable& kernels = *cpu::kernel_table(GetParam());
  Device one(2, kernels, false), two(2, kernels, true);
  for (int64_t in : {64, 331, 1024}) {  // 1024: rows are copied, not read in place
    for (int64_t out : {31, 33, 90, 160}) {
      const std::vector<float> w = random_values(static_cast<size_t>(out * in), 1);
      std::vector<PackedMatrix> weights;
      weights.push_back(packed_weight(w, out, in, DType::kF32, one));
      const std::array<MatrixSource, 1> source = {{{w.data(), DType::kF32, out, in, in}}};
      for (Quant quant : {Quant::kInt8, Quant::kInt4}) {
        weights.emplace_back(in, out, quant);
        pack_rows(source, weights.back(), one);
      }
      for (int64_t rows : {5, 6, 7, 8, 9, 13, 61, 258}) {
        const std::vector<float> x = random_values(static_cast<size_t>(rows * in), 2);
        const std::vector<float> before = random_values(static_cast<size_t>(rows * out), 3);
        for (const PackedMatrix& b : weights) {
          SCOPED_TRACE(testing::Message() << (&b == weights.data() ? "fp32 " : "quantised ") << rows
                                          << " rows, " << in << " -> " << out);
          ASSERT_EQ(product(x, 0, rows, in, b, two), product(x, 0, rows, in, b, one));
          ASSERT_EQ(added_product(before, x, b, two), added_product(before, x, b, one));
        }
      }
    }
  }
}

// Weights' gradients: rows side by side, left where they are up to 128 columns unless 4 KiB apart.
TEST_P(EveryIsa, GradientsByTwoPanelsAreThoseByOne) {
  const cpu::KernelTable& kernels = *cpu::kernel_table(GetParam());
  Device one(2, kernels, false), two(2, kernels, true);
  constexpr int64_t kRows = 300;
  for (int64_t out : {61, 270, 1024}) {
    const std::vector<float> dy = random_values(static_cast<size_t>(kRows * out), 1);
    for (int64_t in : {33, 128, 550}) {
      const std::vector<float> x = random_values(static_cast<size_t>(kRows * in), 2);
      const auto gradient = [&](Device& device) {
        std::vector<float> sums = random_values(static_cast<size_t>(out * in), 3);
        linear_weight_gradient({.dy = dy.data(),
                                .dy_stride = out,
                                .x = x.data(),
                                .x_stride = in,
                                .rows = kRows,
                                .out = out,
                                .in = in,
                                .weight_gradient = sums.data()},
                               device);
        return sums;
      };
      ASSERT_EQ(gradient(one), gradient(two)) << in << " -> " << out;
    }
  }
}

// An odd number of panels, the last one partly used.
TEST_P(EveryIsa, QuantizedRowsAreTheSameAloneAndInAnyBatch) {
  Device device(3, *cpu::kernel_table(GetParam()));
  constexpr int64_t kIn = 700, kOut = 150, kRows = 61;
  const std::vector<float> x = random_values(kRows * kIn, 1);
  const std::vector<float> w = random_values(kOut * kIn, 2);
  const std::array<MatrixSource, 1> source = {{{w.data(), DType::kF32, kOut, kIn, kIn}}};
  for (Quant quant : {Quant::kInt8, Quant::kInt4}) {
    PackedMatrix packed(kIn, kOut, quant);
    pack_rows(source, packed, device);
    const std::vector<float> whole = product(x, 0, kRows, kIn, packed, device);
    for (int64_t batch : {1, 2, 3, 4, 5, 6, 7, 16}) {
      for (int64_t first = 0; first + batch <= kRows; first += 9) {
        const std::vector<float> part = product(x, first, batch, kIn, packed, device);
        ASSERT_TRUE(std::equal(part.begin(), part.end(), whole.begin() + first * kOut))
            << "batch " << batch << " at row " << first;
      }
    }
    // Far from the unrounded product, it would be quantised wrongly.
    std::vector<float> plain =
        product(x, 0, kRows, kIn, packed_weight(w, kOut, kIn, DType::kF32, device), device);
    double error = 0, size = 0;
    for (size_t i = 0; i < plain.size(); ++i) {
      const double d = static_cast<double>(plain[i] - whole[i]);
      error += d * d;
      size += static_cast<double>(plain[i]) * static_cast<double>(plain[i]);
    }
    EXPECT_LT(std::sqrt(error / size), quant == Quant::kInt8 ? 0.015 : 0.12);
  }
}

TEST_P(EveryIsa, QuantizedProductsAddToWhatIsThere) {
  Device device(2, *cpu::kernel_table(GetParam()));
  constexpr int64_t kIn = 330, kOut = 75;
  const std::vector<float> w = random_values(kOut * kIn, 2);
  const std::array<MatrixSource, 1> source = {{{w.data(), DType::kF32, kOut, kIn, kIn}}};
  for (Quant quant : {Quant::kInt8, Quant::kInt4}) {
    PackedMatrix packed(kIn, kOut, quant);
    pack_rows(source, packed, device);
    for (int64_t rows : {3, 8, 24}) {
      const std::vector<float> x = random_values(static_cast<size_t>(rows * kIn), 1);
      const std::vector<float> before = random_values(static_cast<size_t>(rows * kOut), 3);
      const std::vector<float> y = added_product(before, x, packed, device);
      const std::vector<float> added = product(x, 0, rows, kIn, packed, device);
      for (size_t i = 0; i < y.size(); ++i) EXPECT_EQ(y[i], before[i] + added[i]) << rows;
    }
  }
}

// The fewer the threads, the more panels a call of a kernel takes. Rows for both ways of cutting
// the work of a matrix unit.
TEST_P(EveryIsa, ManyColumnsAreTheSameOnAnyNumberOfThreads) {
  Device one(1, *cpu::kernel_table(GetParam())), many(5, *cpu::kernel_table(GetParam()));
  constexpr int64_t kIn = 300, kOut = 630, kRows = 40;
  const std::vector<float> x = random_values(kRows * kIn, 1);
  const std::vector<float> w = random_values(kOut * kIn, 2);
  const std::array<MatrixSource, 1> source = {{{w.data(), DType::kF32, kOut, kIn, kIn}}};
  std::array<PackedMatrix, 4> packed = {
      packed_weight(w, kOut, kIn, DType::kF32, one), packed_weight(w, kOut, kIn, DType::kBf16, one),
      PackedMatrix(kIn, kOut, Quant::kInt8), PackedMatrix(kIn, kOut, Quant::kInt4)};
  pack_rows(source, packed[2], one);
  pack_rows(source, packed[3], one);
  for (const PackedMatrix& matrix : packed) {
    for (int64_t rows : {int64_t{21}, kRows}) {
      EXPECT_TRUE(product(x, 0, rows, kIn, matrix, one) == product(x, 0, rows, kIn, matrix, many))
          << rows << " rows of format " << &matrix - packed.data();
    }
  }
}

// Sums that an instruction which adds in 16 bits would not hold.
TEST_P(EveryIsa, LargestSmallIntegersAddUpExactly) {
  Device device(1, *cpu::kernel_table(GetParam()));
  for (Quant quant : {Quant::kInt8, Quant::kInt4}) {
    for (int level : {0, 1, quant == Quant::kInt8 ? 255 : 15}) {
      QuantizedRow weights;
      weights.levels.assign(kQuantGroup, static_cast<uint8_t>(level));
      weights.scales = {1.0f};
      weights.minimums = {0.0f};
      PackedMatrix b(kQuantGroup, 1, quant);
      std::fill_n(b.panel(0), b.bytes(), std::byte{0});
      place_row(quant, weights, 0, b.panel(0));
      for (int64_t rows = 1; rows <= 6; ++rows) {
        std::vector<float> x(static_cast<size_t>(rows * kQuantGroup), 1.0f);
        std::fill_n(x.begin(), kQuantGroup, -1.0f);
        const std::vector<float> y = product(x, 0, rows, kQuantGroup, b, device);
        const int sum = 127 * 64 * (quant == Quant::kInt8 ? level - 128 : level);
        for (size_t r = 0; r < y.size(); ++r) {
          EXPECT_EQ(y[r], static_cast<float>(r == 0 ? -sum : sum) * (1.0f / 127.0f))
              << "level " << level << " row " << r << " of " << rows;
        }
      }
    }
  }
}

TEST(Quantized, RowsStandForTheNearestLevels) {
  const std::vector<float> w = random_values(200, 5);
  for (Quant quant : {Quant::kInt8, Quant::kInt4}) {
    QuantizedRow row, again;
    quantize_row(quant, w, row);
    std::vector<float> back(w.size());
    dequantize_row(quant, row, back);
    double error = 0, plain = 0;
    for (size_t i = 0; i < w.size(); ++i) {
      const size_t g = i / kQuantGroup;
      const double d = static_cast<double>(back[i] - w[i]);
      if (quant == Quant::kInt8) {
        EXPECT_LE(std::abs(d), 0.501 * static_cast<double>(row.scales[0]));
      } else {
        // Within the levels' range half a step, and the ends may be cut off.
        const float low = row.minimums[g], high = low + 15 * row.scales[g];
        if (w[i] > low && w[i] < high) {
          EXPECT_LE(std::abs(d), 0.501 * static_cast<double>(row.scales[g]));
        }
      }
      error += d * d;
      // Evenly spaced levels over a group's whole range: a twelfth of a step squared each.
      const auto part = std::span(w).subspan(
          g * kQuantGroup, std::min<size_t>(kQuantGroup, w.size() - g * kQuantGroup));
      const auto [least, most] = std::minmax_element(part.begin(), part.end());
      const double step = static_cast<double>(*most - *least) / 15;
      plain += step * step / 12;
    }
    if (quant == Quant::kInt4) {
      EXPECT_LT(error, plain) << "no better than plain rounding";
    }
  }
  // All equal, all zero.
  for (float value : {0.0f, -3.0f}) {
    for (Quant quant : {Quant::kInt8, Quant::kInt4}) {
      const std::vector<float> flat(70, value);
      QuantizedRow row;
      quantize_row(quant, flat, row);
      std::vector<float> back(flat.size());
      dequantize_row(quant, row, back);
      EXPECT_EQ(back, flat);
    }
  }
}

TEST_P(EveryIsa, StackedProjectionsEqualSeparateOnes) {
  Device device(2, *cpu::kernel_table(GetParam()));
  constexpr int64_t kIn = 48;
  const std::vector<float> x = random_values(5 * kIn, 1);
  const std::vector<float> a = random_values(20 * kIn, 2), b = random_values(45 * kIn, 3);
  const std::array<MatrixSource, 2> sources = {
      {{a.data(), DType::kF32, 20, kIn, kIn}, {b.data(), DType::kF32, 45, kIn, kIn}}};
  PackedMatrix both(kIn, 65, DType::kF32);
  pack_rows(sources, both, device);
  const std::vector<float> ya =
      product(x, 0, 5, kIn, packed_weight(a, 20, kIn, DType::kF32, device), device);
  const std::vector<float> yb =
      product(x, 0, 5, kIn, packed_weight(b, 45, kIn, DType::kF32, device), device);
  const std::vector<float> y = product(x, 0, 5, kIn, both, device);
  for (int64_t r = 0; r < 5; ++r) {
    for (int64_t c = 0; c < 65; ++c) {
      EXPECT_EQ(y[static_cast<size_t>(r * 65 + c)], c < 20
                                                        ? ya[static_cast<size_t>(r * 20 + c)]
                                                        : yb[static_cast<size_t>(r * 45 + c - 20)]);
    }
  }
}

// Training attention over a packed batch, prompt chunks of every size, and single queries give a
// position the same bits.
struct AttentionShape {
  int64_t heads, kv_heads, dim, rows, before;
};

void expect_same_attention(const AttentionShape& s, std::span<const int64_t> chunks, KvType stored,
                           Device& device) {
  const int64_t q_width = s.heads * s.dim, kv_width = s.kv_heads * s.dim;
  const auto all = static_cast<size_t>(s.before + s.rows);
  const std::vector<float> q = random_values(all * static_cast<size_t>(q_width), 1);
  const std::vector<float> k = random_values(all * static_cast<size_t>(kv_width), 2);
  const std::vector<float> v = random_values(all * static_cast<size_t>(kv_width), 3);

  // The sequence as the second document of a batch. q, k and v share a stride in the packed form.
  const int64_t stride = q_width + 2 * kv_width;
  std::vector<float> qkv(all * static_cast<size_t>(stride));
  for (int64_t r = 0; r < s.before + s.rows; ++r) {
    std::copy_n(q.begin() + r * q_width, q_width, qkv.begin() + r * stride);
    std::copy_n(k.begin() + r * kv_width, kv_width, qkv.begin() + r * stride + q_width);
    std::copy_n(v.begin() + r * kv_width, kv_width, qkv.begin() + r * stride + q_width + kv_width);
  }
  const std::array<int64_t, 3> starts = {0, s.before, s.before + s.rows};
  std::vector<float> out(all * static_cast<size_t>(q_width));
  const float scale = 1 / std::sqrt(static_cast<float>(s.dim));
  attention_forward({qkv.data(), qkv.data() + q_width, qkv.data() + q_width + kv_width, stride,
                     s.heads, s.kv_heads, s.dim, scale, starts, out.data(), nullptr,
                     stored == KvType::kF32 ? DType::kF32 : DType::kBf16},
                    device);

  const KvLayout layout = {s.kv_heads, s.dim, stored};
  std::vector<Buffer<std::byte>> memory;
  std::vector<std::byte*> pages;
  for (int64_t r = 0; r < s.rows; ++r) {
    if (r % kPagePositions == 0) {
      memory.emplace_back(static_cast<size_t>(layout.page_bytes()));
      std::fill_n(memory.back().data(), memory.back().size(), std::byte{0xff});  // NaN
      pages.push_back(memory.back().data());
    }
    store_kv(layout, k.data() + (s.before + r) * kv_width, v.data() + (s.before + r) * kv_width, r,
             memory.back().data());
  }
  if (stored == KvType::kF32) {
    std::vector<float> key(static_cast<size_t>(kv_width)), value(key.size());
    load_kv(layout, pages[2], 70, key.data(), value.data());
    EXPECT_TRUE(std::equal(key.begin(), key.end(), k.begin() + (s.before + 70) * kv_width));
    EXPECT_TRUE(std::equal(value.begin(), value.end(), v.begin() + (s.before + 70) * kv_width));
  }

  for (int64_t chunk : chunks) {
    std::vector<float> cached(static_cast<size_t>(s.rows * q_width));
    for (int64_t at = 0; at < s.rows; at += chunk) {
      const std::array<CachedQueries, 1> queries = {
          {{at, std::min(chunk, s.rows - at), at, pages.data()}}};
      cached_attention(
          {layout, q.data() + s.before * q_width, q_width, s.heads, scale, queries, cached.data()},
          device);
    }
    EXPECT_TRUE(std::equal(cached.begin(), cached.end(), out.begin() + s.before * q_width))
        << "chunk " << chunk;
  }
}

// Elsewhere a cache in bf16 is widened, which is more exact than operands of bf16.
std::vector<KvType> attention_types(Device& device) {
  if (device.kernels().segment_bf16 == nullptr) return {KvType::kF32};
  return {KvType::kF32, KvType::kBf16};
}

TEST_P(EveryIsa, AttentionIsTheSamePackedChunkedAndCached) {
  Device device(2, *cpu::kernel_table(GetParam()));
  const std::array<int64_t, 8> chunks = {1, 2, 5, 31, 32, 33, 64, 140};
  for (KvType stored : attention_types(device)) {
    expect_same_attention({4, 2, 48, 140, 37}, chunks, stored, device);
  }
}

// Over several segments, which are shared by threads or not, and cut by chunks or not.
TEST_P(EveryIsa, LongAttentionIsTheSamePackedChunkedAndCached) {
  const std::array<int64_t, 4> chunks = {1, 77, 1024, 2200};
  for (int threads : {1, 3}) {
    Device device(threads, *cpu::kernel_table(GetParam()));
    for (KvType stored : attention_types(device)) {
      expect_same_attention({2, 1, 8, 2200, 50}, chunks, stored, device);
    }
  }
}

// Forward and back.
TEST_P(EveryIsa, AttentionOfADocumentIsTheSameAloneAndInABatch) {
  Device device(3, *cpu::kernel_table(GetParam()));
  constexpr int64_t kHeads = 2, kDim = 40, kQ = kHeads * kDim, kStride = kQ + 2 * kDim;
  const std::array<int64_t, 4> starts = {0, 37, 213, 245};
  const auto rows = static_cast<size_t>(starts.back());
  const std::vector<float> qkv = random_values(rows * kStride, 1),
                           dout = random_values(rows * kQ, 2);
  struct Results {
    std::vector<float> out, log_sum, gradient;
  };
  for (DType operands : {DType::kF32, DType::kBf16}) {
    // Of the rows from `first` on.
    const auto attend = [&](int64_t first, std::span<const int64_t> documents) {
      const auto count = static_cast<size_t>(documents.back());
      Results r = {std::vector<float>(count * kQ), std::vector<float>(count * kHeads),
                   std::vector<float>(count * kStride)};
      const float* const q = qkv.data() + first * kStride;
      const AttentionParams p = {q,    q + kQ,    q + kQ + kDim, kStride,          kHeads,  1, kDim,
                                 0.3f, documents, r.out.data(),  r.log_sum.data(), operands};
      attention_forward(p, device);
      float* const dq = r.gradient.data();
      attention_backward({p, dout.data() + first * kQ, dq, dq + kQ, dq + kQ + kDim, kStride},
                         device);
      return r;
    };
    const Results all = attend(0, starts);
    for (size_t d = 0; d + 1 < starts.size(); ++d) {
      const std::array<int64_t, 2> one = {0, starts[d + 1] - starts[d]};
      const Results alone = attend(starts[d], one);
      const auto same = [&](const std::vector<float>& a, const std::vector<float>& b,
                            int64_t width) {
        return std::equal(a.begin(), a.end(), b.begin() + starts[d] * width);
      };
      EXPECT_TRUE(same(alone.out, all.out, kQ) && same(alone.log_sum, all.log_sum, kHeads) &&
                  same(alone.gradient, all.gradient, kStride))
          << dtype_word(operands) << ", document " << d;
    }
  }
}

// A long sequence among many short ones, which each have their thread.
TEST_P(EveryIsa, AttentionIsTheSameAloneAndInCompany) {
  Device device(2, *cpu::kernel_table(GetParam()));
  constexpr int64_t kRows = 60, kLong = 3000, kShort = 40, kHeads = 2, kDim = 8;
  const KvLayout layout = {1, kDim};
  const std::vector<float> q = random_values(kRows * kHeads * kDim, 1);
  const std::vector<float> kv = random_values(kLong * 2 * kDim, 2);
  const int64_t count = pages_for(kLong);
  Buffer<std::byte> memory(static_cast<size_t>(count * layout.page_bytes()));
  std::vector<std::byte*> pages;
  for (int64_t i = 0; i < count; ++i) pages.push_back(memory.data() + i * layout.page_bytes());
  for (int64_t r = 0; r < kLong; ++r) {
    store_kv(layout, kv.data() + r * 2 * kDim, kv.data() + r * 2 * kDim + kDim, r,
             pages[static_cast<size_t>(r / kPagePositions)]);
  }
  std::vector<CachedQueries> together;
  for (int64_t r = 0; r < kRows; ++r) {
    together.push_back({r, 1, r % 20 == 7 ? kLong - 1 - r : kShort + r, pages.data()});
  }
  std::vector<float> out(q.size()), alone(q.size());
  cached_attention({layout, q.data(), kHeads * kDim, kHeads, 0.3f, together, out.data()}, device);
  for (const CachedQueries& one : together) {
    cached_attention({layout, q.data(), kHeads * kDim, kHeads, 0.3f, {&one, 1}, alone.data()},
                     device);
  }
  EXPECT_EQ(out, alone);
}

// The cached form in every type of keys and values: prompts in chunks, single queries, grouped
// heads.
TEST_P(EveryIsa, CachedAttentionIsTheSameInAnyChunks) {
  constexpr int64_t kRows = 1100, kHeads = 6, kKvHeads = 2, kDim = 40;
  const std::vector<float> q = random_values(kRows * kHeads * kDim, 1);
  const std::vector<float> kv = random_values(kRows * kKvHeads * kDim * 2, 2);
  Device device(2, *cpu::kernel_table(GetParam()));
  for (KvType type : kKvTypes) {
    const KvLayout layout = {kKvHeads, kDim, type};
    const int64_t count = pages_for(kRows);
    Buffer<std::byte> memory(static_cast<size_t>(count * layout.page_bytes()));
    std::vector<std::byte*> pages;
    for (int64_t i = 0; i < count; ++i) pages.push_back(memory.data() + i * layout.page_bytes());
    const auto attend = [&](int64_t first, int64_t rows) {
      std::vector<float> out(static_cast<size_t>(rows * kHeads * kDim));
      const std::array<CachedQueries, 1> queries = {{{0, rows, first, pages.data()}}};
      cached_attention({layout, q.data() + first * kHeads * kDim, kHeads * kDim, kHeads, 0.2f,
                        queries, out.data()},
                       device);
      return out;
    };
    // Positions that are still to come have been written for the whole, and are not numbers here.
    std::fill_n(memory.data(), memory.size(), std::byte{0xff});
    std::vector<std::vector<float>> parts;
    constexpr std::array<int64_t, 5> kChunks = {1, 32, 5, 991, 71};
    int64_t written = 0;
    for (int64_t chunk : kChunks) {
      for (int64_t r = written; r < written + chunk; ++r) {
        const float* row = kv.data() + r * kKvHeads * kDim * 2;
        store_kv(layout, row, row + kKvHeads * kDim, r,
                 pages[static_cast<size_t>(r / kPagePositions)]);
      }
      parts.push_back(attend(written, chunk));
      written += chunk;
    }
    ASSERT_EQ(written, kRows);
    const std::vector<float> whole = attend(0, kRows);
    auto at = whole.begin();
    for (size_t i = 0; i < parts.size(); ++i) {
      EXPECT_TRUE(std::equal(parts[i].begin(), parts[i].end(), at))
          << kv_type_name(type) << " chunk " << i;
      at += static_cast<int64_t>(parts[i].size());
    }
    for (float x : whole) ASSERT_TRUE(std::isfinite(x));
  }
}

std::string isa_parameter_name(const testing::TestParamInfo<Isa>& info) {
  return isa_name(info.param);
}
INSTANTIATE_TEST_SUITE_P(Isa, EveryIsa, testing::ValuesIn(available_isas()), isa_parameter_name);

// Against the formula, however the table came to its length.
TEST(RotaryTable, ValuesDoNotDependOnHowItGrew) {
  constexpr int64_t kDim = 6;
  Device device(3, *cpu::kernel_table(Isa::kPortable));
  RotaryTable steps(kDim, 10000), once(kDim, 10000);
  std::vector<const float*> early;
  for (int64_t positions : {1, 200, 256, 257, 1000, 900, 1300}) {
    steps.grow(positions, device);
    EXPECT_GE(steps.positions(), positions);
    early.push_back(steps.cosine(0));
  }
  EXPECT_EQ(early.front(), early.back());  // what was there has stayed
  once.grow(1300, device);
  for (int64_t p = 0; p < 1300; ++p) {
    for (int64_t i = 0; i < kDim / 2; ++i) {
      const double exponent = static_cast<double>(2 * i) / kDim;
      const float angle =
          static_cast<float>(p) * static_cast<float>(1 / std::pow(10000.0, exponent));
      EXPECT_EQ(once.cosine(p)[i], static_cast<float>(std::cos(static_cast<double>(angle))));
      EXPECT_EQ(once.sine(p)[i], static_cast<float>(std::sin(static_cast<double>(angle))));
      EXPECT_EQ(steps.cosine(p)[i], once.cosine(p)[i]);
      EXPECT_EQ(steps.sine(p)[i], once.sine(p)[i]);
    }
  }
}

// Not needed by any contract between machines, but what the fixed order gives for free where the
// processor fuses multiply and add: in fp32 and bf16 without instructions of their own, and in
// small integers with any.
TEST(Linear, SetsAgreeBitForBit) {
  const std::vector<Isa>& isas = available_isas();
  if (isas.size() < 2) GTEST_SKIP() << "needs AVX2";
  Device avx2(2, *cpu::kernel_table(Isa::kAvx2));
  const std::vector<float> x = random_values(30 * 600, 1);
  const std::vector<float> w = random_values(130 * 600, 2);
  const std::array<MatrixSource, 1> source = {{{w.data(), DType::kF32, 130, 600, 600}}};
  for (Isa isa : isas) {
    if (isa <= Isa::kAvx2) continue;
    Device other(2, *cpu::kernel_table(isa));
    for (DType dtype : {DType::kF32, DType::kBf16}) {
      if (dtype == DType::kBf16 && isa != Isa::kAvx512) continue;
      const PackedMatrix packed = packed_weight(w, 130, 600, dtype, avx2);
      EXPECT_EQ(product(x, 0, 30, 600, packed, avx2), product(x, 0, 30, 600, packed, other))
          << isa_name(isa);
    }
    for (Quant quant : {Quant::kInt8, Quant::kInt4}) {
      PackedMatrix packed(600, 130, quant);
      pack_rows(source, packed, avx2);
      EXPECT_EQ(product(x, 0, 30, 600, packed, avx2), product(x, 0, 30, 600, packed, other))
          << isa_name(isa);
    }
  }
}

TEST(Linear, NoRowsIsFine) {
  Device device(2, *cpu::kernel_table(Isa::kPortable));
  const std::vector<float> w = random_values(64, 2);
  const PackedMatrix packed = packed_weight(w, 8, 8, DType::kF32, device);
  EXPECT_TRUE(product({}, 0, 0, 8, packed, device).empty());
}

}  // namespace
}  // namespace looplm
