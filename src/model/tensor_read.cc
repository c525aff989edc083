#include "model/tensor_read.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include <fmt/format.h>

#include "base/bf16.h"
#include "base/check.h"
#include "model/quantized_checkpoint.h"

namespace looplm {
namespace {

// memcpy, since the data may be unaligned; compilers turn it into one load.
template <typename Word>
Word load(const std::byte* data, int64_t index) {
  Word word;
  std::memcpy(&word, data + index * static_cast<int64_t>(sizeof(Word)), sizeof(Word));
  return word;
}

// A float of any width is not finite when all bits of its exponent are set. The inner loop has no
// exit, so that it is vectorised; a block is small enough to stay in cache for the second look.
template <typename Word>
int64_t find_full_exponent(const std::byte* data, int64_t count, Word exponent) {
  constexpr int64_t kBlock = 4096;
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    const int64_t end = std::min(count, begin + kBlock);
    Word found = 0;
    for (int64_t i = begin; i < end; ++i) {
      found |= (load<Word>(data, i) & exponent) == exponent ? Word{1} : Word{0};
    }
    if (found == 0) continue;
    for (int64_t i = begin; i < end; ++i) {
      if ((load<Word>(data, i) & exponent) == exponent) return i;
    }
  }
  return -1;
}

void read_quantized(const TensorView& view, int64_t first, std::span<float> out) {
  const int64_t terms = view.shape[1];
  std::vector<float> weights(static_cast<size_t>(terms));
  QuantizedRow row;
  for (size_t done = 0; done < out.size();) {
    const int64_t at = first + static_cast<int64_t>(done);
    read_quantized_row(view, at / terms, row);
    dequantize_row(quant_of(view), row, weights);
    const int64_t column = at % terms;
    const auto count = std::min(out.size() - done, static_cast<size_t>(terms - column));
    std::copy_n(weights.begin() + column, count, out.begin() + static_cast<ptrdiff_t>(done));
    done += count;
  }
}

// A part of one tensor, small enough to spread a large tensor over threads.
struct Chunk {
  size_t tensor;
  int64_t first;
  int64_t count;
};

std::vector<Chunk> chunks_of(const std::vector<TensorView>& tensors) {
  constexpr int64_t kElements = int64_t{1} << 22;
  std::vector<Chunk> chunks;
  for (size_t i = 0; i < tensors.size(); ++i) {
    for (int64_t first = 0; first < tensors[i].count(); first += kElements) {
      chunks.push_back({i, first, std::min(kElements, tensors[i].count() - first)});
    }
  }
  return chunks;
}

}  // namespace

void read_as_float(const TensorView& view, int64_t first, std::span<float> out) {
  const auto count = static_cast<int64_t>(out.size());
  LOOPLM_CHECK(first >= 0 && count <= view.count() - first, "elements {} to {} of {}", first,
               first + count, view.count());
  if (count == 0) return;
  if (view.scales != nullptr) return read_quantized(view, first, out);
  const std::byte* data = view.data + first * static_cast<int64_t>(dtype_size(view.dtype));
  switch (view.dtype) {
    case DType::kU8:
      for (int64_t i = 0; i < count; ++i) out[i] = static_cast<float>(load<uint8_t>(data, i));
      return;
    case DType::kF32:
      std::memcpy(out.data(), data, out.size_bytes());
      return;
    case DType::kBf16:
      for (int64_t i = 0; i < count; ++i) out[i] = to_float(load<Bf16>(data, i));
      return;
    case DType::kF16:
      for (int64_t i = 0; i < count; ++i) out[i] = half_to_float(load<uint16_t>(data, i));
      return;
  }
}

void read_as_float(const TensorView& view, std::span<float> out) {
  LOOPLM_CHECK(static_cast<int64_t>(out.size()) == view.count());
  read_as_float(view, 0, out);
}

int64_t find_not_finite(const TensorView& view, int64_t first, int64_t count) {
  LOOPLM_CHECK(first >= 0 && count <= view.count() - first);
  const std::byte* data = view.data + first * static_cast<int64_t>(dtype_size(view.dtype));
  int64_t found = -1;
  switch (view.dtype) {
    case DType::kU8:
      return -1;  // levels are finite; bind_quantized() has looked at the scales
    case DType::kF32:
      found = find_full_exponent<uint32_t>(data, count, 0x7f800000u);
      break;
    case DType::kBf16:
      found = find_full_exponent<uint16_t>(data, count, 0x7f80u);
      break;
    case DType::kF16:
      found = find_full_exponent<uint16_t>(data, count, 0x7c00u);
      break;
  }
  return found < 0 ? -1 : first + found;
}

Status check_finite(const std::string& name, const TensorView& view) {
  const int64_t index = find_not_finite(view, 0, view.count());
  if (index < 0) return {};
  float value = 0;
  read_as_float(view, index, std::span(&value, 1));
  return invalid_argument(
      fmt::format("tensor '{}' has {} at index {} of {}; expected finite "
                  "numbers",
                  name, value, index, view.count()));
}

Status check_finite(const std::vector<ParameterSpec>& specs, const std::vector<TensorView>& tensors,
                    ThreadPool& pool) {
  const std::vector<Chunk> chunks = chunks_of(tensors);
  // A slot per chunk, so that the message does not depend on which thread finds something first.
  std::vector<char> is_bad(chunks.size(), 0);
  pool.parallel_for(static_cast<int64_t>(chunks.size()), [&](int64_t i, int /*thread*/) {
    const Chunk& chunk = chunks[static_cast<size_t>(i)];
    is_bad[static_cast<size_t>(i)] =
        find_not_finite(tensors[chunk.tensor], chunk.first, chunk.count) >= 0;
  });
  const auto found = std::find(is_bad.begin(), is_bad.end(), 1);
  if (found == is_bad.end()) return {};
  const size_t tensor = chunks[static_cast<size_t>(found - is_bad.begin())].tensor;
  return check_finite(specs[tensor].name, tensors[tensor]);
}

}  // namespace looplm
