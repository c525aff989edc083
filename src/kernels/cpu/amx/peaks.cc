// The matrix unit's own speed, to state other speeds against.
#include "kernels/cpu/amx/amx_kernels.h"
#include "kernels/cpu/amx/tiles.h"

namespace looplm::cpu::LOOPLM_ISA_NAMESPACE {
#if !defined(LOOPLM_EMULATE_TILES)
namespace {

constexpr double kTileProducts = 6.0;  // of a round; more than a product's latency over its pace
constexpr double kElements = 16.0 * 16.0;

void zero_all(Tiles& tiles) {
  tiles.zero<0>();
  tiles.zero<1>();
  tiles.zero<2>();
  tiles.zero<3>();
  tiles.zero<4>();
  tiles.zero<5>();
  tiles.zero<6>();
  tiles.zero<7>();
}

double bf16_dots(int64_t rounds) {
  Tiles tiles;
  zero_all(tiles);
  for (int64_t r = 0; r < rounds; ++r) {
    tiles.dot_bf16<0, 6, 7>();
    tiles.dot_bf16<1, 6, 7>();
    tiles.dot_bf16<2, 6, 7>();
    tiles.dot_bf16<3, 6, 7>();
    tiles.dot_bf16<4, 6, 7>();
    tiles.dot_bf16<5, 6, 7>();
  }
  return 2.0 * kElements * kAmxTerms * kTileProducts * static_cast<double>(rounds);
}

double int8_dots(int64_t rounds) {
  Tiles tiles;
  zero_all(tiles);
  for (int64_t r = 0; r < rounds; ++r) {
    tiles.dot_int8<0, 6, 7>();
    tiles.dot_int8<1, 6, 7>();
    tiles.dot_int8<2, 6, 7>();
    tiles.dot_int8<3, 6, 7>();
    tiles.dot_int8<4, 6, 7>();
    tiles.dot_int8<5, 6, 7>();
  }
  return 2.0 * kElements * kQuantGroup * kTileProducts * static_cast<double>(rounds);
}

}  // namespace

void add_peak_loops(KernelTable& table) {
  table.bf16_dots = bf16_dots;
  table.int8_dots = int8_dots;
}
#else
// An emulation's speed is nobody's peak.
void add_peak_loops(KernelTable&) {}
#endif

}  // namespace looplm::cpu::LOOPLM_ISA_NAMESPACE
