#include "model/normal_fill.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numbers>

#include "base/check.h"
#include "base/rng.h"

namespace looplm {
namespace {

// Philox blocks at a time: loops over arrays, which compilers vectorise.
constexpr int kBlocks = 64;

// ln(u) for normal u in (0, 1): u = m * 2^e with m in [sqrt(1/2), sqrt(2)), and a polynomial for
// ln(m), from Cephes' logf.
inline float log_of(float u) {
  const auto bits = std::bit_cast<int32_t>(u);
  const int32_t shifted = bits - 0x3f3504f3;  // sqrt(1/2)
  const auto exponent = static_cast<float>(shifted >> 23);
  const float m = std::bit_cast<float>((shifted & 0x007fffff) + 0x3f3504f3);
  const float x = m - 1.0f;
  const float z = x * x;
  float y = 7.0376836292e-2f;
  y = y * x - 1.1514610310e-1f;
  y = y * x + 1.1676998740e-1f;
  y = y * x - 1.2420140846e-1f;
  y = y * x + 1.4249322787e-1f;
  y = y * x - 1.6668057665e-1f;
  y = y * x + 2.0000714765e-1f;
  y = y * x - 2.4999993993e-1f;
  y = y * x + 3.3333331174e-1f;
  y = y * x * z + exponent * -2.12194440e-4f - 0.5f * z;
  return x + y + exponent * 0.693359375f;
}

// cos and sin of 2 pi u for u in (0, 1): a quarter turn and a rest in [-pi/4, pi/4], polynomials
// from Cephes' sinf and cosf.
inline void turn(float u, float& cosine, float& sine) {
  const float quarters = 4.0f * u;
  const auto quarter = static_cast<int32_t>(quarters + 0.5f);  // NOLINT: lround is not vectorised
  const float x = (quarters - static_cast<float>(quarter)) * (std::numbers::pi_v<float> / 2);
  const float z = x * x;
  const float s = ((-1.9515295891e-4f * z + 8.3321608736e-3f) * z - 1.6666654611e-1f) * z * x + x;
  const float c =
      ((2.443315711809948e-5f * z - 1.388731625493765e-3f) * z + 4.166664568298827e-2f) * z * z -
      0.5f * z + 1.0f;
  const bool odd = (quarter & 1) != 0;
  const float first = odd ? s : c;
  const float second = odd ? c : s;
  cosine = ((quarter + 1) & 2) != 0 ? -first : first;
  sine = (quarter & 2) != 0 ? -second : second;
}

inline void philox_round(uint32_t (&c)[4][kBlocks], uint32_t k0, uint32_t k1) {
  for (int i = 0; i < kBlocks; ++i) {
    const uint64_t p0 = uint64_t{0xD2511F53u} * c[0][i];
    const uint64_t p1 = uint64_t{0xCD9E8D57u} * c[2][i];
    const uint32_t c0 = static_cast<uint32_t>(p1 >> 32) ^ c[1][i] ^ k0;
    const uint32_t c2 = static_cast<uint32_t>(p0 >> 32) ^ c[3][i] ^ k1;
    c[0][i] = c0;
    c[1][i] = static_cast<uint32_t>(p1);
    c[2][i] = c2;
    c[3][i] = static_cast<uint32_t>(p0);
  }
}

// Numbers of kBlocks blocks from `block` on; the same words as base/rng.h's philox().
void fill_blocks(uint64_t seed, uint64_t stream, uint64_t block, float* out) {
  uint32_t c[4][kBlocks];
  for (int i = 0; i < kBlocks; ++i) {
    const uint64_t low = block + static_cast<uint64_t>(i);
    c[0][i] = static_cast<uint32_t>(low);
    c[1][i] = static_cast<uint32_t>(low >> 32);
    c[2][i] = static_cast<uint32_t>(stream);
    c[3][i] = static_cast<uint32_t>(stream >> 32);
  }
  auto k0 = static_cast<uint32_t>(seed);
  auto k1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    philox_round(c, k0, k1);
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  float numbers[4][kBlocks];
  for (int pair = 0; pair < 4; pair += 2) {
    for (int i = 0; i < kBlocks; ++i) {
      const float radius = std::sqrt(-2.0f * log_of(uniform_from_bits(c[pair][i])));
      float cosine = 0;
      float sine = 0;
      turn(uniform_from_bits(c[pair + 1][i]), cosine, sine);
      numbers[pair][i] = radius * cosine;
      numbers[pair + 1][i] = radius * sine;
    }
  }
  for (int i = 0; i < kBlocks; ++i) {
    for (int word = 0; word < 4; ++word) out[4 * i + word] = numbers[word][i];
  }
}

}  // namespace

void fill_normal(uint64_t seed, uint64_t stream, int64_t first, std::span<float> out) {
  LOOPLM_CHECK(first >= 0);
  constexpr int64_t kNumbers = 4 * kBlocks;
  float numbers[kNumbers];
  while (!out.empty()) {
    const int64_t skipped = first % 4;
    const auto block = static_cast<uint64_t>(first / 4);
    const int64_t count = std::min(kNumbers - skipped, static_cast<int64_t>(out.size()));
    if (count == kNumbers) {
      fill_blocks(seed, stream, block, out.data());
    } else {
      fill_blocks(seed, stream, block, numbers);
      std::copy_n(numbers + skipped, count, out.data());
    }
    first += count;
    out = out.subspan(static_cast<size_t>(count));
  }
}

}  // namespace looplm
