#include "model/gguf_encode.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "base/bf16.h"
#include "base/check.h"

namespace looplm {
namespace {

template <typename T>
void put(std::byte* out, T value) {
  std::memcpy(out, &value, sizeof(value));
}

std::byte byte_of(int value) { return static_cast<std::byte>(value); }

using Group = std::span<const float, 32>;

// A half scale, then 32 signed bytes; the scale maps the largest magnitude to 127.
void write_q8_0(const float* values, std::byte* out) {
  float largest = 0;
  for (int i = 0; i < 32; ++i) largest = std::max(largest, std::fabs(values[i]));
  const float scale = largest / 127;
  const float inverse = scale == 0 ? 0 : 1 / scale;
  put(out, float_to_half(scale));
  for (int i = 0; i < 32; ++i) {
    out[2 + i] = byte_of(static_cast<int>(std::round(values[i] * inverse)));
  }
}

// A half scale, then 16 bytes of nibbles, of which 8 means zero. The scale maps the value of the
// largest magnitude to -8, the level without a counterpart.
void write_q4_0(const float* values, std::byte* out) {
  float extreme = 0;
  for (int i = 0; i < 32; ++i) {
    if (std::fabs(values[i]) > std::fabs(extreme)) extreme = values[i];
  }
  const float scale = extreme / -8;
  const float inverse = scale == 0 ? 0 : 1 / scale;
  put(out, float_to_half(scale));
  const auto level = [&](int i) {
    return std::clamp(static_cast<int>(values[i] * inverse + 8.5f), 0, 15);
  };
  for (int i = 0; i < 16; ++i) out[2 + i] = byte_of(level(i) | level(i + 16) << 4);
}

// value = scale * level - minimum, level 0 .. 15, minimum >= 0.
struct Line {
  float scale = 0;
  float minimum = 0;
};

int level_of(float value, Line line) {
  if (line.scale <= 0) return 0;
  return std::clamp(static_cast<int>(std::lrint((value + line.minimum) / line.scale)), 0, 15);
}

float squared_error(Group values, Line line) {
  float error = 0;
  for (const float value : values) {
    const float rest =
        line.scale * static_cast<float>(level_of(value, line)) - line.minimum - value;
    error += rest * rest;
  }
  return error;
}

// The line of least squares for the levels that `line` gives the values.
Line refit(Group values, Line line) {
  float level_sum = 0, level_squares = 0, value_sum = 0, products = 0;
  for (const float value : values) {
    const auto level = static_cast<float>(level_of(value, line));
    level_sum += level;
    level_squares += level * level;
    value_sum += value;
    products += level * value;
  }
  const float determinant = 32 * level_squares - level_sum * level_sum;
  if (determinant <= 0) return line;
  const Line free = {(32 * products - level_sum * value_sum) / determinant,
                     -(level_squares * value_sum - level_sum * products) / determinant};
  if (free.minimum >= 0) return free;
  return {products / level_squares, 0};  // a minimum is stored without a sign
}

// Tries ranges a little narrower than the values' own, each refitted twice. Clipping a few values
// at the ends lets the other levels lie closer.
Line best_line(Group values) {
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  const float bottom = std::min(*low, 0.0f);
  const float top = std::max(*high, 0.0f);
  Line best = {(top - bottom) / 15, -bottom};
  if (best.scale == 0) return best;
  float least = squared_error(values, best);
  constexpr int kCuts = 6;  // of 3% of the range, at either end
  for (int below = 0; below < kCuts; ++below) {
    for (int above = 0; above < kCuts; ++above) {
      const float step = 0.03f * (top - bottom);
      const float from = std::min(bottom + static_cast<float>(below) * step, 0.0f);
      Line line = {(top - static_cast<float>(above) * step - from) / 15, -from};
      for (int round = 0; round < 3; ++round) {
        if (round > 0) line = refit(values, line);
        if (line.scale <= 0) break;
        const float error = squared_error(values, line);
        if (error < least) {
          least = error;
          best = line;
        }
      }
    }
  }
  return best;
}

// Half factors, then scales and minima of 6 bits for eight groups of 32, then nibbles: each 32
// bytes hold two groups, the first in the low halves. Scales and minima are rounded to multiples of
// their factors, so each group looks again which neighbours fit it best.
void write_q4_k(const float* values, std::byte* out) {
  constexpr size_t kGroups = 8;
  std::array<Line, kGroups> lines;
  const auto group = [&](size_t g) { return Group(values + g * 32, 32); };
  Line largest;
  for (size_t g = 0; g < kGroups; ++g) {
    lines[g] = best_line(group(g));
    largest.scale = std::max(largest.scale, lines[g].scale);
    largest.minimum = std::max(largest.minimum, lines[g].minimum);
  }
  const uint16_t factor_bits = float_to_half(largest.scale / 63);
  const uint16_t min_factor_bits = float_to_half(largest.minimum / 63);
  const float factor = half_to_float(factor_bits);
  const float min_factor = half_to_float(min_factor_bits);
  put(out, factor_bits);
  put(out + 2, min_factor_bits);

  std::array<int, kGroups> scales{}, minima{};
  const auto rounded = [](float value, float unit) {
    return unit == 0 ? 0 : std::clamp(static_cast<int>(std::lrint(value / unit)), 0, 63);
  };
  const auto line_of = [&](int scale, int minimum) {
    return Line{factor * static_cast<float>(scale), min_factor * static_cast<float>(minimum)};
  };
  for (size_t g = 0; g < kGroups; ++g) {
    const int scale = rounded(lines[g].scale, factor);
    const int minimum = rounded(lines[g].minimum, min_factor);
    float least = INFINITY;
    for (int s = std::max(scale - 1, 0); s <= std::min(scale + 1, 63); ++s) {
      for (int m = std::max(minimum - 1, 0); m <= std::min(minimum + 1, 63); ++m) {
        const float error = squared_error(group(g), line_of(s, m));
        if (error >= least) continue;
        least = error;
        scales[g] = s;
        minima[g] = m;
      }
    }
  }
  std::byte* packed = out + 4;
  for (size_t g = 0; g < 4; ++g) {
    packed[g] = byte_of(scales[g] | scales[g + 4] >> 4 << 6);
    packed[g + 4] = byte_of(minima[g] | minima[g + 4] >> 4 << 6);
    packed[g + 8] = byte_of((scales[g + 4] & 15) | (minima[g + 4] & 15) << 4);
  }
  std::byte* nibbles = out + 16;
  for (size_t pair = 0; pair < kGroups; pair += 2) {
    const Line low = line_of(scales[pair], minima[pair]);
    const Line high = line_of(scales[pair + 1], minima[pair + 1]);
    for (size_t i = 0; i < 32; ++i) {
      *nibbles++ = byte_of(level_of(group(pair)[i], low) | level_of(group(pair + 1)[i], high) << 4);
    }
  }
}

void write_floats(GgmlType type, std::span<const float> values, std::byte* out) {
  for (const float value : values) {
    switch (type) {
      case GgmlType::kF32:
        put(out, value);
        break;
      case GgmlType::kF16:
        put(out, float_to_half(value));
        break;
      default:
        put(out, to_bf16(value).bits);
    }
    out += ggml_block(type).bytes;
  }
}

}  // namespace

void write_ggml_blocks(GgmlType type, std::span<const float> values, std::byte* out) {
  if (plain_dtype(type)) return write_floats(type, values, out);
  void (*write)(const float* values, std::byte* out) = nullptr;
  if (type == GgmlType::kQ8_0) write = write_q8_0;
  if (type == GgmlType::kQ4_0) write = write_q4_0;
  if (type == GgmlType::kQ4K) write = write_q4_k;
  const GgmlBlock block = ggml_block(type);
  LOOPLM_CHECK(write != nullptr, "looplm does not write {}", block.name);
  LOOPLM_CHECK(static_cast<int64_t>(values.size()) % block.elements == 0,
               "{} elements in {} blocks", values.size(), block.name);
  for (size_t first = 0; first < values.size(); first += static_cast<size_t>(block.elements)) {
    write(values.data() + first, out);
    out += block.bytes;
  }
}

}  // namespace looplm
