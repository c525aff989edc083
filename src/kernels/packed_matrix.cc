#include "kernels/packed_matrix.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "base/bf16.h"
#include "base/check.h"

namespace looplm {
namespace {

using cpu::kPanel;

// Terms of a panel: bf16 ones are padded to the steps of a matrix unit.
int64_t padded_terms(int64_t terms, DType dtype) {
  return dtype == DType::kBf16 ? (terms + cpu::kAmxTerms - 1) / cpu::kAmxTerms * cpu::kAmxTerms
                               : terms;
}

int64_t panel_bytes_of(int64_t terms, DType dtype) {
  return padded_terms(terms, dtype) * kPanel * static_cast<int64_t>(dtype_size(dtype));
}

// Element types as they lie in memory; a mapped file promises no alignment, hence memcpy.
struct F32Element {
  static constexpr size_t kBytes = 4;
  static float load(const std::byte* p) {
    float value;
    std::memcpy(&value, p, sizeof(value));
    return value;
  }
};
struct Bf16Element {
  static constexpr size_t kBytes = 2;
  static float load(const std::byte* p) {
    Bf16 value;
    std::memcpy(&value, p, sizeof(value));
    return to_float(value);
  }
};
struct F16Element {
  static constexpr size_t kBytes = 2;
  static float load(const std::byte* p) {
    uint16_t value;
    std::memcpy(&value, p, sizeof(value));
    return half_to_float(value);
  }
};

template <typename Body>
void with_element(DType dtype, Body body) {
  switch (dtype) {
    case DType::kF32:
      return body(F32Element());
    case DType::kBf16:
      return body(Bf16Element());
    case DType::kF16:
      return body(F16Element());
    case DType::kU8:
      LOOPLM_CHECK(false, "levels without their scales");
  }
}

const std::byte* row_of(const MatrixSource& source, int64_t row) {
  return static_cast<const std::byte*>(source.data) +
         row * source.row_stride * static_cast<int64_t>(dtype_size(source.dtype));
}

// out[term * kPanel + column] or its bf16 pair form, for terms [first, first + count) of one column
// whose elements lie `stride` bytes apart.
template <typename Element>
void pack_column(const std::byte* source, int64_t stride, int64_t first, int64_t count,
                 int64_t column, DType dtype, std::byte* panel) {
  if (dtype == DType::kF32) {
    float* out = reinterpret_cast<float*>(panel) + first * kPanel + column;
    for (int64_t i = 0; i < count; ++i, out += kPanel) *out = Element::load(source + i * stride);
  } else {
    Bf16* out = reinterpret_cast<Bf16*>(panel);
    for (int64_t i = 0; i < count; ++i) {
      const int64_t term = first + i;
      out[(term / 2 * kPanel + column) * 2 + term % 2] =
          to_bf16(Element::load(source + i * stride));
    }
  }
}

using RowsOfPanel = std::array<const std::byte*, kPanel>;

// Rows of a panel's own type: whole words, so pairs of bf16, move together.
void pack_words(const RowsOfPanel& rows, int64_t columns, int64_t terms, DType dtype,
                std::byte* panel, const cpu::KernelTable& kernels) {
  const bool floats = dtype == DType::kF32;
  const int64_t words = floats ? terms : terms / 2;
  std::array<const void*, kPanel> sources;
  std::copy(rows.begin(), rows.end(), sources.begin());
  uint32_t* out = reinterpret_cast<uint32_t*>(panel);
  kernels.transpose_words(sources.data(), columns, words, out);
  if (!floats && terms % 2 != 0) {
    for (int64_t c = 0; c < columns; ++c) {
      std::memcpy(out + words * kPanel + c, rows[c] + (terms - 1) * 2, 2);
    }
  }
}

// fp32 rows into a panel of bf16, some terms at a time, so that the rounded ones stay in the first
// cache.
void pack_rounded(const RowsOfPanel& rows, int64_t columns, int64_t terms, std::byte* panel,
                  const cpu::KernelTable& kernels) {
  constexpr int64_t kTerms = 256;
  std::array<std::array<uint32_t, kTerms / 2>, kPanel> pairs;
  std::array<const void*, kPanel> sources;
  for (size_t c = 0; c < pairs.size(); ++c) sources[c] = pairs[c].data();
  uint32_t* out = reinterpret_cast<uint32_t*>(panel);
  for (int64_t first = 0; first < terms; first += kTerms) {
    const int64_t count = std::min(kTerms, terms - first);
    for (int64_t c = 0; c < columns; ++c) {
      kernels.round_row_bf16(reinterpret_cast<const float*>(rows[c]) + first, count,
                             pairs[c].data());
    }
    kernels.transpose_words(sources.data(), columns, (count + 1) / 2, out + first / 2 * kPanel);
  }
}

bool aligned_for_floats(const std::byte* data) {
  return reinterpret_cast<uintptr_t>(data) % alignof(float) == 0;
}

}  // namespace

size_t PackedMatrix::packed_bytes(int64_t terms, int64_t columns, DType dtype) {
  return static_cast<size_t>((columns + kPanel - 1) / kPanel * panel_bytes_of(terms, dtype));
}

size_t PackedMatrix::packed_bytes(int64_t terms, int64_t columns, Quant quant) {
  return static_cast<size_t>((columns + kPanel - 1) / kPanel * quantized_panel_bytes(quant, terms));
}

PackedMatrix::PackedMatrix(int64_t terms, int64_t columns, DType dtype)
    : PackedMatrix(terms, columns, dtype, nullptr) {
  owned_ = Buffer<std::byte>(bytes());
  data_ = owned_.data();
}

PackedMatrix::PackedMatrix(int64_t terms, int64_t columns, DType dtype, std::byte* memory)
    : terms_(terms),
      columns_(columns),
      dtype_(dtype),
      panel_bytes_(panel_bytes_of(terms, dtype)),
      data_(memory) {
  LOOPLM_CHECK(dtype == DType::kF32 || dtype == DType::kBf16, "cannot pack to {}",
               dtype_name(dtype));
  LOOPLM_CHECK(terms > 0 && columns > 0, "packing {} x {}", terms, columns);
}

PackedMatrix::PackedMatrix(int64_t terms, int64_t columns, Quant quant)
    : terms_(terms),
      columns_(columns),
      quant_(quant),
      panel_bytes_(quantized_panel_bytes(quant, terms)) {
  LOOPLM_CHECK(terms > 0 && columns > 0, "packing {} x {}", terms, columns);
  owned_ = Buffer<std::byte>(bytes());
  data_ = owned_.data();
}

PackedMatrix::PackedMatrix(int64_t terms, int64_t columns, Quant quant, DType widened)
    : PackedMatrix(terms, columns, quant) {
  dtype_ = widened;
  widened_ = true;
}

namespace {

// A panel's rows in small integers, as files keep them.
struct LevelRows {
  std::array<const void*, kPanel> levels{};
  std::array<const std::byte*, kPanel> scales{};
  std::array<const std::byte*, kPanel> minimums{};
};

LevelRows level_rows(std::span<const MatrixSource> sources, int64_t first, int64_t count,
                     const PackedMatrix& out) {
  const int64_t groups = quant_groups(out.terms());
  const bool bytes = out.quant() == Quant::kInt8;
  const int64_t row_bytes = groups * kQuantGroup / (bytes ? 1 : 2);
  const int64_t scale_bytes = bytes ? 4 : groups * 2;
  LevelRows rows;
  size_t source = 0;
  while (first >= sources[source].rows) first -= sources[source++].rows;
  for (size_t c = 0; c < static_cast<size_t>(count); ++c) {
    const MatrixSource& s = sources[source];
    rows.levels[c] = static_cast<const std::byte*>(s.data) + first * row_bytes;
    rows.scales[c] = s.scales + first * scale_bytes;
    if (!bytes) rows.minimums[c] = s.minimums + first * scale_bytes;
    if (++first == s.rows) {
      first = 0;
      ++source;
    }
  }
  return rows;
}

void pack_int8_levels(const LevelRows& rows, int64_t columns, int64_t groups, std::byte* panel,
                      const cpu::KernelTable& kernels) {
  for (size_t c = 0; c < static_cast<size_t>(columns); ++c) {
    std::memcpy(panel + c * 4, rows.scales[c], 4);
  }
  kernels.transpose_words(rows.levels.data(), columns, groups * kQuantGroup / 4,
                          reinterpret_cast<uint32_t*>(panel + cpu::kInt8HeaderBytes));
}

// Eight levels in the order of their terms; then terms 0 and 4 in the first byte, and so on.
uint32_t in_two_halves(uint32_t levels) {
  uint32_t swapped = (levels ^ levels >> 8) & 0x0000ff00u;
  levels ^= swapped | swapped << 8;
  swapped = (levels ^ levels >> 4) & 0x00f000f0u;
  return levels ^ (swapped | swapped << 4);
}

// `scratch`: groups * 8 * kPanel words.
void pack_int4_levels(const LevelRows& rows, int64_t columns, int64_t groups, uint32_t* scratch,
                      std::byte* panel, const cpu::KernelTable& kernels) {
  constexpr int64_t kWords = kQuantGroup / 8 * kPanel;  // of a group
  kernels.transpose_words(rows.levels.data(), columns, groups * kQuantGroup / 8, scratch);
  for (int64_t g = 0; g < groups; ++g) {
    std::byte* const group = panel + g * cpu::kInt4GroupBytes;
    for (size_t c = 0; c < static_cast<size_t>(columns); ++c) {
      std::memcpy(group + c * 2, rows.scales[c] + g * 2, 2);
      std::memcpy(group + (kPanel + c) * 2, rows.minimums[c] + g * 2, 2);
    }
    const uint32_t* const from = scratch + g * kWords;
    auto* const to = reinterpret_cast<uint32_t*>(group + cpu::kInt4HeaderBytes);
    for (int64_t i = 0; i < kWords; ++i) to[i] = in_two_halves(from[i]);
  }
}

void read_floats(const std::byte* row, DType dtype, std::span<float> out) {
  with_element(dtype, [&](auto element) {
    using Element = decltype(element);
    for (size_t i = 0; i < out.size(); ++i) out[i] = Element::load(row + i * Element::kBytes);
  });
}

// Rounds the rows of a panel.
void pack_quantized(const RowsOfPanel& rows, const std::array<DType, kPanel>& dtypes,
                    int64_t columns, PackedMatrix& out, std::byte* panel,
                    const cpu::KernelTable& kernels) {
  std::vector<float> weights(static_cast<size_t>(out.terms()));
  std::vector<QuantizedRow> quantized(static_cast<size_t>(columns));
  LevelRows levels;
  for (size_t c = 0; c < quantized.size(); ++c) {
    read_floats(rows[c], dtypes[c], weights);
    quantize_row(out.quant(), weights, kernels, quantized[c]);
    if (out.quant() == Quant::kInt4) {
      place_row(out.quant(), quantized[c], static_cast<int64_t>(c), panel);
    }
    levels.levels[c] = quantized[c].levels.data();
    levels.scales[c] = reinterpret_cast<const std::byte*>(quantized[c].scales.data());
  }
  if (out.quant() == Quant::kInt8) {
    pack_int8_levels(levels, columns, quant_groups(out.terms()), panel, kernels);
  }
}

void pack_levels(std::span<const MatrixSource> sources, int64_t p, int64_t columns,
                 PackedMatrix& out, int thread, Device& device) {
  const LevelRows rows = level_rows(sources, p * kPanel, columns, out);
  const int64_t groups = quant_groups(out.terms());
  if (out.quant() == Quant::kInt8) {
    return pack_int8_levels(rows, columns, groups, out.panel(p), device.kernels());
  }
  const auto words = static_cast<size_t>(groups * kQuantGroup / 8 * kPanel);
  auto* const scratch = reinterpret_cast<uint32_t*>(device.thread_scratch(thread, words));
  if (columns < kPanel) std::fill_n(scratch, words, 0);
  pack_int4_levels(rows, columns, groups, scratch, out.panel(p), device.kernels());
}

}  // namespace

void pack_rows(std::span<const MatrixSource> sources, PackedMatrix& out, Device& device) {
  int64_t rows = 0;
  bool same_dtype = true;
  for (const MatrixSource& source : sources) {
    LOOPLM_CHECK(source.columns == out.terms(), "{} terms into {}", source.columns, out.terms());
    rows += source.rows;
    same_dtype = same_dtype && source.dtype == sources[0].dtype;
  }
  LOOPLM_CHECK(rows == out.columns(), "{} rows into {} columns", rows, out.columns());
  device.pool().parallel_for(out.panels(), [&](int64_t p, int thread) {
    std::byte* panel = out.panel(p);
    const int64_t columns = std::min(kPanel, out.columns() - p * kPanel);
    if (columns < kPanel || padded_terms(out.terms(), out.dtype()) != out.terms()) {
      std::memset(panel, 0, static_cast<size_t>(out.panel_bytes()));
    }
    if (out.quant() != Quant::kNone && sources[0].scales != nullptr) {
      return pack_levels(sources, p, columns, out, thread, device);
    }
    RowsOfPanel row_data{};
    std::array<DType, kPanel> row_dtype{};
    size_t source = 0;
    int64_t row = p * kPanel;
    while (row >= sources[source].rows) row -= sources[source++].rows;
    for (int64_t c = 0; c < columns; ++c) {
      row_data[c] = row_of(sources[source], row);
      row_dtype[c] = sources[source].dtype;
      if (++row == sources[source].rows) {
        row = 0;
        ++source;
      }
    }
    if (out.quant() != Quant::kNone) {
      return pack_quantized(row_data, row_dtype, columns, out, panel, device.kernels());
    }
    if (same_dtype && sources[0].dtype == out.dtype()) {
      return pack_words(row_data, columns, out.terms(), out.dtype(), panel, device.kernels());
    }
    if (same_dtype && sources[0].dtype == DType::kF32 &&
        std::all_of(row_data.begin(), row_data.begin() + columns, aligned_for_floats)) {
      return pack_rounded(row_data, columns, out.terms(), panel, device.kernels());
    }
    // Blocks of terms, so that the 32 source rows and the destination stay in the first cache.
    constexpr int64_t kTermsAtOnce = 64;
    for (int64_t first = 0; first < out.terms(); first += kTermsAtOnce) {
      const int64_t count = std::min(kTermsAtOnce, out.terms() - first);
      for (int64_t c = 0; c < columns; ++c) {
        with_element(row_dtype[c], [&](auto element) {
          using Element = decltype(element);
          constexpr auto kBytes = static_cast<int64_t>(Element::kBytes);
          pack_column<Element>(row_data[c] + first * kBytes, kBytes, first, count, c, out.dtype(),
                               panel);
        });
      }
    }
  });
}

namespace {

// Puts row r of a source into term `term` and its followers, or as many of them as go together.
// Returns how many.
int64_t pack_source_terms(const MatrixSource& source, int64_t r, int64_t term, int64_t first_column,
                          int64_t columns, PackedMatrix& out, std::byte* panel,
                          const cpu::KernelTable& kernels) {
  const auto at = [&](int64_t row) {
    return row_of(source, row) + first_column * static_cast<int64_t>(dtype_size(source.dtype));
  };
  const std::byte* data = at(r);
  const bool floats = source.dtype == DType::kF32;
  if (out.dtype() == DType::kF32 && floats) {
    std::memcpy(reinterpret_cast<float*>(panel) + term * kPanel, data,
                static_cast<size_t>(columns) * sizeof(float));
    return 1;
  }
  if (floats && aligned_for_floats(data) && term % 2 == 0 && r + 1 < source.rows) {
    kernels.pair_rows_bf16(reinterpret_cast<const float*>(data),
                           reinterpret_cast<const float*>(at(r + 1)), columns,
                           reinterpret_cast<uint32_t*>(panel) + term / 2 * kPanel);
    return 2;
  }
  if (source.dtype == DType::kBf16 && out.dtype() == DType::kBf16 && term % 2 == 0 &&
      r + 1 < source.rows && reinterpret_cast<uintptr_t>(data) % alignof(uint16_t) == 0) {
    kernels.pair_rounded_rows(reinterpret_cast<const uint16_t*>(data),
                              reinterpret_cast<const uint16_t*>(at(r + 1)), columns,
                              reinterpret_cast<uint32_t*>(panel) + term / 2 * kPanel);
    return 2;
  }
  with_element(source.dtype, [&](auto element) {
    using Element = decltype(element);
    constexpr auto kBytes = static_cast<int64_t>(Element::kBytes);
    if (out.dtype() == DType::kF32) {
      float* to = reinterpret_cast<float*>(panel) + term * kPanel;
      for (int64_t c = 0; c < columns; ++c) to[c] = Element::load(data + c * kBytes);
    } else {
      Bf16* to = reinterpret_cast<Bf16*>(panel) + term / 2 * kPanel * 2 + term % 2;
      for (int64_t c = 0; c < columns; ++c) to[2 * c] = to_bf16(Element::load(data + c * kBytes));
    }
  });
  return 1;
}

}  // namespace

void pack_columns(std::span<const MatrixSource> sources, PackedMatrix& out, Device& device) {
  int64_t rows = 0;
  for (const MatrixSource& source : sources) rows += source.rows;
  LOOPLM_CHECK(rows == out.terms(), "{} rows into {} terms", rows, out.terms());
  pack_terms(sources, 0, out, device);
}

void pack_terms(std::span<const MatrixSource> sources, int64_t first, PackedMatrix& out,
                Device& device) {
  int64_t last = first;
  for (const MatrixSource& source : sources) {
    LOOPLM_CHECK(source.columns == out.columns(), "{} columns into {}", source.columns,
                 out.columns());
    last += source.rows;
  }
  LOOPLM_CHECK(first % 2 == 0 && last <= out.terms(), "terms {} to {} of {}", first, last,
               out.terms());
  const int64_t end = last == out.terms() ? padded_terms(last, out.dtype()) : last;
  const int64_t term_bytes = kPanel * static_cast<int64_t>(dtype_size(out.dtype()));
  device.pool().parallel_for(out.panels(), [&](int64_t p, int) {
    std::byte* panel = out.panel(p);
    const int64_t columns = std::min(kPanel, out.columns() - p * kPanel);
    if (columns < kPanel || end != last) {
      std::memset(panel + first * term_bytes, 0, static_cast<size_t>((end - first) * term_bytes));
    }
    int64_t term = first;
    for (const MatrixSource& source : sources) {
      for (int64_t r = 0; r < source.rows;) {
        const int64_t packed =
            pack_source_terms(source, r, term, p * kPanel, columns, out, panel, device.kernels());
        r += packed;
        term += packed;
      }
    }
  });
}

}  // namespace looplm
