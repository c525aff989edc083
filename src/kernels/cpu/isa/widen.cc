// Stored keys and values to fp32, a tile at a time.
#include "kernels/cpu/isa/isa_kernels.h"
#include "kernels/cpu/isa/vec.h"

namespace looplm::cpu::LOOPLM_ISA_NAMESPACE {
namespace {

typedef uint16_t V16 __attribute__((vector_size(kVectorBytes / 2)));
typedef uint32_t V32 __attribute__((vector_size(kVectorBytes)));
typedef int8_t V8 __attribute__((vector_size(kVectorBytes / 4)));

void widen_bf16(const uint16_t* x, int64_t n, float* y) {
  for (int64_t i = 0; i < n; i += kLanes) {
    V16 narrow;
    memcpy(&narrow, x + i, sizeof(narrow));
    const V32 wide = __builtin_convertvector(narrow, V32) << 16;
    memcpy(y + i, &wide, sizeof(wide));
  }
}

LOOPLM_INLINE V widen_int8(const int8_t* x) {
  V8 narrow;
  memcpy(&narrow, x, sizeof(narrow));
  return __builtin_convertvector(__builtin_convertvector(narrow, VI), V);
}

void widen_int8_columns(const int8_t* x, int64_t rows, const float* scales, float* y) {
  for (int64_t r = 0; r < rows; ++r, x += kPanel, y += kPanel) {
    for (int64_t c = 0; c < kPanel; c += kLanes) store(y + c, widen_int8(x + c) * load(scales + c));
  }
}

void widen_int8_rows(const int8_t* x, int64_t rows, const float* scales, float* y) {
  for (int64_t r = 0; r < rows; ++r, x += kPanel, y += kPanel) {
    const V scale = set1(scales[r]);
    for (int64_t c = 0; c < kPanel; c += kLanes) store(y + c, widen_int8(x + c) * scale);
  }
}

}  // namespace

void add_widen_kernels(KernelTable& table) {
  table.widen_bf16 = widen_bf16;
  table.widen_int8_columns = widen_int8_columns;
  table.widen_int8_rows = widen_int8_rows;
}

}  // namespace looplm::cpu::LOOPLM_ISA_NAMESPACE
