// Instruction sets that kernels are compiled for. Separate from cpu.h, so that code compiled for
// one set need include nothing else.
#ifndef LOOPLM_BASE_ISA_H_
#define LOOPLM_BASE_ISA_H_

namespace looplm {

// Weakest first.
enum class Isa {
  kPortable,    // what every x86-64 (or other) processor has
  kAvx2,        // AVX2, FMA, F16C
  kAvx512,      // AVX-512 F, BW, DQ, VL, VNNI
  kAvx512Bf16,  // the same with AVX512_BF16 dot products
  kAmx,         // AVX-512 as above, and AMX tiles for products of bf16 and of small integers
};

}  // namespace looplm

#endif  // LOOPLM_BASE_ISA_H_
