#include "base/cpu.h"

#include <charconv>
#include <cstdlib>
#include <fstream>
#include <string_view>

#include <fmt/format.h>
#include <sched.h>
#if defined(LOOPLM_X86_KERNELS)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace looplm {
namespace {

constexpr int kMaxThreads = 1024;

#if defined(LOOPLM_X86_KERNELS)
// Whether this process may use AMX tiles: the processor has them, the system keeps their state, and
// Linux (5.16 and later) grants this process the memory for it. Asking twice changes nothing.
bool acquire_tiles() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  constexpr unsigned kOsXsave = 1u << 27;  // of leaf 1, ecx
  if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & kOsXsave) == 0) return false;
  constexpr unsigned kTiles = 1u << 22 | 1u << 24 | 1u << 25;  // AMX-BF16, AMX-TILE, AMX-INT8
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (d & kTiles) != kTiles) return false;
  unsigned low = 0, high = 0;
  // Volatile: it must not move before the look at OSXSAVE, without which it traps.
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  constexpr unsigned kTileData = 18;  // also the bit after tile configuration's
  constexpr unsigned kStates = 1u << 17 | 1u << kTileData;
  if ((low & kStates) != kStates) return false;
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}
#endif

std::string processor_vendor() {
#if defined(LOOPLM_X86_KERNELS)
  unsigned most = 0, parts[3] = {};
  if (__get_cpuid(0, &most, &parts[0], &parts[2], &parts[1]) != 0) {
    return {reinterpret_cast<const char*>(parts), sizeof(parts)};
  }
#endif
  return "";
}

std::vector<Isa> detect_isas() {
  std::vector<Isa> isas = {Isa::kPortable};
#if defined(LOOPLM_X86_KERNELS)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
  if (avx2) isas.push_back(Isa::kAvx2);
  if (avx512) isas.push_back(Isa::kAvx512);
  const bool bf16 = avx512 && __builtin_cpu_supports("avx512bf16");
  if (bf16) isas.push_back(Isa::kAvx512Bf16);
  if (bf16 && acquire_tiles()) isas.push_back(Isa::kAmx);
#endif
  return isas;
}

std::string joined_names(const std::vector<Isa>& isas) {
  std::string names;
  for (Isa isa : isas) names += (names.empty() ? "" : ", ") + std::string(isa_name(isa));
  return names;
}

}  // namespace

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::kPortable:
      return "portable";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512:
      return "avx512";
    case Isa::kAvx512Bf16:
      return "avx512_bf16";
    case Isa::kAmx:
      return "amx";
  }
  return "unknown";
}

const std::vector<Isa>& native_isas() {
  static const std::vector<Isa> isas = detect_isas();
  return isas;
}

const std::vector<Isa>& available_isas() {
  static const std::vector<Isa> isas = [] {
    std::vector<Isa> all = native_isas();
    if (all.back() >= Isa::kAvx2 && all.back() < Isa::kAmx) all.push_back(Isa::kAmx);
    return all;
  }();
  return isas;
}

Isa fastest_isa(std::span<const Isa> native, std::string_view vendor) {
  if (native.back() == Isa::kAvx512Bf16 && vendor == "GenuineIntel") return Isa::kAvx512;
  return native.back();
}

bool is_intel() {
  static const bool intel = processor_vendor() == "GenuineIntel";
  return intel;
}

Result<Isa> choose_isa() {
  const std::vector<Isa>& isas = available_isas();
  const char* forced = std::getenv("LOOPLM_ISA");
  if (forced == nullptr || *forced == '\0') return fastest_isa(native_isas(), processor_vendor());
  for (Isa isa : isas) {
    if (std::string_view(forced) == isa_name(isa)) return isa;
  }
  return invalid_argument(fmt::format("LOOPLM_ISA is '{}'; this processor and build have: {}",
                                      forced, joined_names(isas)));
}

Result<int> choose_thread_count(int requested) {
  if (requested != 0) {
    if (requested < 1 || requested > kMaxThreads) {
      return invalid_argument(
          fmt::format("thread count is {}; expected 1 to {}", requested, kMaxThreads));
    }
    return requested;
  }
  const char* text = std::getenv("LOOPLM_THREADS");
  if (text != nullptr && *text != '\0') {
    const std::string_view view(text);
    int count = 0;
    const auto [end, error] = std::from_chars(view.data(), view.data() + view.size(), count);
    if (error != std::errc() || end != view.data() + view.size() || count < 1 ||
        count > kMaxThreads) {
      return invalid_argument(
          fmt::format("LOOPLM_THREADS is '{}'; expected a number from 1 to {}", text, kMaxThreads));
    }
    return count;
  }
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) return 1;
  const int count = CPU_COUNT(&allowed);
  return count < 1 ? 1 : count;
}

std::string processor_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.starts_with("model name")) {
      const size_t colon = line.find(": ");
      if (colon != std::string::npos) return line.substr(colon + 2);
    }
  }
  return "unknown processor";
}

}  // namespace looplm
