#include "model/gguf_convert.h"

#include <algorithm>
#include <cstring>

#include "base/bf16.h"

namespace looplm {
namespace {

// The row of the file that is row `row` of the model. In a head of size D the file has row i of
// the first half at 2i and row i of the second half at 2i + 1.
int64_t stored_row(const GgufConversion& conversion, int64_t row) {
  const int64_t size = conversion.head_dim;
  if (size == 0) return row;
  const int64_t in_head = row % size;
  const int64_t half = size / 2;
  return row - in_head + in_head % half * 2 + in_head / half;
}

void convert_rows(const GgufConversion& c, const std::byte* data, int64_t first, int64_t last) {
  const GgmlBlock block = ggml_block(c.from->type);
  const int64_t stored_bytes = c.columns / block.elements * block.bytes;
  const bool plain = plain_dtype(c.from->type).has_value();
  const auto columns = static_cast<size_t>(c.columns);
  std::vector<float> floats(c.dtype == DType::kBf16 && !plain ? columns : 0);
  for (int64_t row = first; row < last; ++row) {
    const std::byte* from = data + stored_row(c, row) * stored_bytes;
    std::byte* to = c.to + row * c.columns * static_cast<int64_t>(dtype_size(c.dtype));
    if (plain) {
      std::memcpy(to, from, static_cast<size_t>(stored_bytes));
    } else if (floats.empty()) {
      read_ggml_blocks(c.from->type, from, {reinterpret_cast<float*>(to), columns});
    } else {
      read_ggml_blocks(c.from->type, from, floats);
      std::transform(floats.begin(), floats.end(), reinterpret_cast<Bf16*>(to), to_bf16);
    }
  }
}

struct RowRange {
  size_t conversion;
  int64_t first;
  int64_t last;
};

}  // namespace

void convert_gguf_tensors(const GgufFile& file, const std::vector<GgufConversion>& conversions,
                          ThreadPool* pool) {
  constexpr int64_t kElements = int64_t{1} << 18;
  std::vector<RowRange> ranges;
  for (size_t i = 0; i < conversions.size(); ++i) {
    const GgufConversion& c = conversions[i];
    const int64_t step = std::max<int64_t>(1, kElements / c.columns);
    for (int64_t first = 0; first < c.rows; first += step) {
      ranges.push_back({i, first, std::min(c.rows, first + step)});
    }
  }
  const auto run = [&](int64_t index, int /*thread*/) {
    const RowRange& range = ranges[static_cast<size_t>(index)];
    const GgufConversion& c = conversions[range.conversion];
    convert_rows(c, file.data(*c.from), range.first, range.last);
  };
  const auto count = static_cast<int64_t>(ranges.size());
  if (pool != nullptr) return pool->parallel_for(count, run);
  for (int64_t i = 0; i < count; ++i) run(i, 0);
}

}  // namespace looplm
