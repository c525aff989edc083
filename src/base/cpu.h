// What the processor offers, and which set of kernels to use on it.
#ifndef LOOPLM_BASE_CPU_H_
#define LOOPLM_BASE_CPU_H_

#include <string>
#include <vector>

#include "looplm/status.h"

#include "base/isa.h"

namespace looplm {

const char* isa_name(Isa isa);

// The sets this processor (and operating system) can run, weakest first; never empty.
const std::vector<Isa>& available_isas();

// The set named by the environment variable LOOPLM_ISA (portable, avx2, avx512, avx512_bf16), or
// the strongest available. An unknown name, or one this processor lacks, is an error.
Result<Isa> choose_isa();

// The number of threads to use: `requested` if positive, else LOOPLM_THREADS, else the processors
// this process may run on. Range 1..1024; anything else is an error.
Result<int> choose_thread_count(int requested);

// "Intel(R) Xeon(R) Processor @ 2.80GHz", for reports; "unknown processor" where the system does
// not tell.
std::string processor_name();

}  // namespace looplm

#endif  // LOOPLM_BASE_CPU_H_
