#include "base/cpu.h"

#include <charconv>
#include <cstdlib>
#include <fstream>
#include <string_view>

#include <fmt/format.h>
#include <sched.h>

namespace looplm {
namespace {

constexpr int kMaxThreads = 1024;

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
  if (avx512 && __builtin_cpu_supports("avx512bf16")) isas.push_back(Isa::kAvx512Bf16);
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
  }
  return "unknown";
}

const std::vector<Isa>& available_isas() {
  static const std::vector<Isa> isas = detect_isas();
  return isas;
}

Result<Isa> choose_isa() {
  const std::vector<Isa>& isas = available_isas();
  const char* forced = std::getenv("LOOPLM_ISA");
  if (forced == nullptr || *forced == '\0') return isas.back();
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
