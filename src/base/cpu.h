// What the processor offers, and which set of kernels to use on it.
#ifndef LOOPLM_BASE_CPU_H_
#define LOOPLM_BASE_CPU_H_

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "looplm/status.h"

#include "base/isa.h"

namespace looplm {

const char* isa_name(Isa isa);

// The sets that run here, weakest first; never empty. kAmx is emulated, slowly, where the processor
// has AVX2 but no tiles.
const std::vector<Isa>& available_isas();
// Those of them that the processor and the operating system offer.
const std::vector<Isa>& native_isas();

// The fastest of `native` (as native_isas() lists them) on a processor of that vendor, by a fixed
// rule: sets differ in their last bits, so no timing may choose. Intel's AVX512_BF16 dot products
// are slower than fp32 multiply-adds (half their rate on Sapphire Rapids), so an Intel processor
// without tiles widens bf16.
Isa fastest_isa(std::span<const Isa> native, std::string_view vendor);

// Whether Intel made the processor.
bool is_intel();

// The set named by the environment variable LOOPLM_ISA (portable, avx2, avx512, avx512_bf16, amx),
// or the fastest. An unknown name, or one that does not run here, is an error.
Result<Isa> choose_isa();

// The number of threads to use: `requested` if positive, else LOOPLM_THREADS, else the processors
// this process may run on. Range 1..1024; anything else is an error.
Result<int> choose_thread_count(int requested);

// "Intel(R) Xeon(R) Processor @ 2.80GHz", for reports; "unknown processor" where the system does
// not tell.
std::string processor_name();

}  // namespace looplm

#endif  // LOOPLM_BASE_CPU_H_
