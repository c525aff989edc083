#include "model/gguf_dequantize.h"

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

#include "base/bf16.h"

namespace looplm {
namespace {

int byte_at(const std::byte* data, int index) { return std::to_integer<int>(data[index]); }

float signed_at(const std::byte* data, int index) {
  return static_cast<float>(static_cast<int8_t>(byte_at(data, index)));
}

template <typename Word>
Word word_at(const std::byte* data) {
  Word word;
  std::memcpy(&word, data, sizeof(word));
  return word;
}

float half_at(const std::byte* data) { return half_to_float(word_at<uint16_t>(data)); }

// The i-th of 32 four-bit numbers in 16 bytes: low nibbles are 0..15, high ones 16..31.
int nibble_at(const std::byte* pairs, int i) { return byte_at(pairs, i % 16) >> (i / 16 * 4) & 15; }

// The same with a fifth bit each, in 4 bytes.
int five_bits_at(const std::byte* pairs, const std::byte* upper, int i) {
  return nibble_at(pairs, i) | (byte_at(upper, i / 8) >> (i % 8) & 1) << 4;
}

// The levels that four bits stand for in IQ4 blocks.
constexpr std::array<float, 16> kIq4Levels = {-127, -104, -83, -65, -49, -35, -22, -10,
                                              1,    13,   25,  38,  53,  69,  89,  113};
// Twice the values of a four-bit float: a sign, two bits of exponent, one of mantissa.
constexpr std::array<float, 16> kFp4Levels = {0, 1,  2,  3,  4,  6,  8,  12,
                                              0, -1, -2, -3, -4, -6, -8, -12};

// Half of 2^(exponent - 127): kFp4Levels are twice their values. Below 2^-126 a subnormal.
float half_power(int exponent) {
  const auto bits = static_cast<uint32_t>(exponent);
  return std::bit_cast<float>(bits < 2 ? 0x00200000u << bits : (bits - 1) << 23);
}

struct ScaleAndMin {
  int scale;
  int min;
};

// The i-th of eight pairs of 6-bit numbers in 12 bytes. The first four scales and minima are the
// low 6 bits of bytes 0..3 and 4..7; the others have their low 4 bits in the nibbles of bytes
// 8..11 and their upper 2 bits in the top of the first eight bytes.
ScaleAndMin scale_and_min(const std::byte* packed, int i) {
  if (i < 4) return {byte_at(packed, i) & 63, byte_at(packed, i + 4) & 63};
  const int low = byte_at(packed, i + 4);
  return {(low & 15) | (byte_at(packed, i - 4) >> 6 << 4),
          (low >> 4) | (byte_at(packed, i) >> 6 << 4)};
}

// Two half factors and 12 bytes of scales and minima for eight groups of 32, whose levels
// `level(element)` gives.
template <typename Level>
void read_scales_and_minima(const std::byte* block, float* out, Level level) {
  const float factor = half_at(block);
  const float min_factor = half_at(block + 2);
  for (int group = 0; group < 8; ++group) {
    const ScaleAndMin packed = scale_and_min(block + 4, group);
    const float scale = factor * static_cast<float>(packed.scale);
    const float min = min_factor * static_cast<float>(packed.min);
    for (int i = group * 32; i < group * 32 + 32; ++i) {
      out[i] = scale * static_cast<float>(level(i)) - min;
    }
  }
}

// 128 bytes for 256 elements: each 32 of them hold two groups of 32, the first in the low nibbles.
int nibble_of_group(const std::byte* nibbles, int i) {
  return byte_at(nibbles, i / 64 * 32 + i % 32) >> (i / 32 % 2 * 4) & 15;
}

// 64 bytes for 256 elements: each 32 of them hold four groups of 32, two bits each.
int bit_pair_of_group(const std::byte* pairs, int i) {
  return byte_at(pairs, i / 128 * 32 + i % 32) >> (i / 32 % 4 * 2) & 3;
}

// 32 bytes for 256 elements: bit g of byte j belongs to element j of group g.
int bit_of_group(const std::byte* bits, int i) { return byte_at(bits, i % 32) >> (i / 32) & 1; }

}  // namespace

// A half scale, then 32 signed bytes.
void read_q8_0(const std::byte* block, float* out) {
  const float scale = half_at(block);
  for (int i = 0; i < 32; ++i) out[i] = signed_at(block + 2, i) * scale;
}

// A half scale, then 16 bytes of nibbles; 8 means zero.
void read_q4_0(const std::byte* block, float* out) {
  const float scale = half_at(block);
  for (int i = 0; i < 32; ++i) out[i] = static_cast<float>(nibble_at(block + 2, i) - 8) * scale;
}

// A half scale and a half minimum, then 16 bytes of nibbles.
void read_q4_1(const std::byte* block, float* out) {
  const float scale = half_at(block);
  const float min = half_at(block + 2);
  for (int i = 0; i < 32; ++i) out[i] = scale * static_cast<float>(nibble_at(block + 4, i)) + min;
}

// A half scale, 4 bytes of upper bits, 16 bytes of nibbles; 16 means zero.
void read_q5_0(const std::byte* block, float* out) {
  const float scale = half_at(block);
  for (int i = 0; i < 32; ++i) {
    out[i] = scale * static_cast<float>(five_bits_at(block + 6, block + 2, i) - 16);
  }
}

// A half scale and a half minimum, 4 bytes of upper bits, 16 bytes of nibbles.
void read_q5_1(const std::byte* block, float* out) {
  const float scale = half_at(block);
  const float min = half_at(block + 2);
  for (int i = 0; i < 32; ++i) {
    out[i] = scale * static_cast<float>(five_bits_at(block + 8, block + 4, i)) + min;
  }
}

// A half scale, then 16 bytes of nibbles that choose a level.
void read_iq4_nl(const std::byte* block, float* out) {
  const float scale = half_at(block);
  for (int i = 0; i < 32; ++i) {
    out[i] = scale * kIq4Levels[static_cast<size_t>(nibble_at(block + 2, i))];
  }
}

// The exponent of a power of two, then 16 bytes of nibbles that choose a level.
void read_mxfp4(const std::byte* block, float* out) {
  const float scale = half_power(byte_at(block, 0));
  for (int i = 0; i < 32; ++i) {
    out[i] = scale * kFp4Levels[static_cast<size_t>(nibble_at(block + 1, i))];
  }
}

// 16 bytes whose nibbles are scale and minimum of 16 elements each, 64 bytes of bit pairs, two half
// factors.
void read_q2_k(const std::byte* block, float* out) {
  const float factor = half_at(block + 80);
  const float min_factor = half_at(block + 82);
  for (int group = 0; group < 16; ++group) {
    const int packed = byte_at(block, group);
    const float scale = factor * static_cast<float>(packed & 15);
    const float min = min_factor * static_cast<float>(packed >> 4);
    for (int i = group * 16; i < group * 16 + 16; ++i) {
      out[i] = scale * static_cast<float>(bit_pair_of_group(block + 16, i)) - min;
    }
  }
}

// 32 bytes of upper bits, 64 bytes of bit pairs, 12 bytes of scales of 16 elements each, a half
// factor. A scale has its low nibble in bytes 0..7 (groups 0..7 in the low half) and its upper two
// bits in bytes 8..11; 32 means zero. An upper bit that is not set means 4 less.
void read_q3_k(const std::byte* block, float* out) {
  const std::byte* scales = block + 96;
  const float factor = half_at(block + 108);
  for (int group = 0; group < 16; ++group) {
    const int low = byte_at(scales, group % 8) >> (group / 8 * 4) & 15;
    const int high = byte_at(scales, 8 + group % 4) >> (group / 4 * 2) & 3;
    const float scale = factor * static_cast<float>((low | high << 4) - 32);
    for (int i = group * 16; i < group * 16 + 16; ++i) {
      const int less = bit_of_group(block, i) == 1 ? 0 : 4;
      out[i] = scale * static_cast<float>(bit_pair_of_group(block + 32, i) - less);
    }
  }
}

// Factors, scales and minima, then 128 bytes of nibbles.
void read_q4_k(const std::byte* block, float* out) {
  read_scales_and_minima(block, out, [&](int i) { return nibble_of_group(block + 16, i); });
}

// Factors, scales and minima, 32 bytes of upper bits, 128 bytes of nibbles.
void read_q5_k(const std::byte* block, float* out) {
  read_scales_and_minima(block, out, [&](int i) {
    return nibble_of_group(block + 48, i) | bit_of_group(block + 16, i) << 4;
  });
}

// 128 bytes of low nibbles, 64 bytes of upper bit pairs, 16 signed scales of 16 elements each, a
// half factor; 32 means zero. The nibbles of each half of 128 elements lie in 64 bytes, the first
// 64 elements in the low ones.
void read_q6_k(const std::byte* block, float* out) {
  const float factor = half_at(block + 208);
  for (int group = 0; group < 16; ++group) {
    const float scale = factor * signed_at(block + 192, group);
    for (int i = group * 16; i < group * 16 + 16; ++i) {
      const int nibble = byte_at(block, i / 128 * 64 + i % 64) >> (i / 64 % 2 * 4) & 15;
      const int level = nibble | bit_pair_of_group(block + 128, i) << 4;
      out[i] = scale * static_cast<float>(level - 32);
    }
  }
}

// A half factor, 2 bytes and 4 bytes with the upper two and lower four bits of eight scales, 32
// meaning zero, then 128 bytes: 16 of them per group of 32, in the order of nibble_at.
void read_iq4_xs(const std::byte* block, float* out) {
  const float factor = half_at(block);
  const int high = word_at<uint16_t>(block + 2);
  for (int group = 0; group < 8; ++group) {
    const int low = byte_at(block + 4, group / 2) >> (group % 2 * 4) & 15;
    const float scale = factor * static_cast<float>((low | (high >> (group * 2) & 3) << 4) - 32);
    for (int i = 0; i < 32; ++i) {
      const int nibble = nibble_at(block + 8 + group * 16, i);
      out[group * 32 + i] = scale * kIq4Levels[static_cast<size_t>(nibble)];
    }
  }
}

}  // namespace looplm
