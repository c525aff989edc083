#include "base/memory.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <optional>
#include <sstream>
#include <string_view>

#include <fmt/format.h>

namespace looplm {
namespace {

std::optional<uint64_t> leading_number(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() ? std::optional<uint64_t>(value) : std::nullopt;
}

// "MemTotal:       24627908 kB"
Result<uint64_t> meminfo_bytes(std::string_view meminfo, std::string_view name) {
  const size_t at = meminfo.find(name);
  const auto kilobytes = at == std::string_view::npos
                             ? std::nullopt
                             : leading_number(meminfo.substr(at + name.size()));
  if (!kilobytes.has_value()) {
    return not_found(fmt::format("/proc/meminfo has no '{}' with a number", name));
  }
  return *kilobytes * 1024;
}

// Empty where it cannot be read.
std::string system_file(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

// "0::/user.slice\n" to "/user.slice".
std::string control_group() {
  const std::string text = system_file("/proc/self/cgroup");
  const size_t at = text.find("0::");
  if (at == std::string::npos) return "";
  return text.substr(at + 3, text.find('\n', at) - at - 3);
}

}  // namespace

Result<MachineMemory> machine_memory_of(const std::string& meminfo, const std::string& limit,
                                        const std::string& used) {
  MachineMemory memory;
  LOOPLM_ASSIGN_OR_RETURN(memory.total, meminfo_bytes(meminfo, "MemTotal:"));
  LOOPLM_ASSIGN_OR_RETURN(memory.free, meminfo_bytes(meminfo, "MemAvailable:"));
  const Result<uint64_t> swap = meminfo_bytes(meminfo, "SwapTotal:");
  if (swap.ok()) memory.swap = swap.value();
  const std::optional<uint64_t> most = leading_number(limit);
  if (!most.has_value() || *most >= memory.total) return memory;
  memory.total = *most;
  memory.swap = 0;
  const uint64_t left = *most - std::min(*most, leading_number(used).value_or(0));
  memory.free = std::min(memory.free, left);
  return memory;
}

Result<MachineMemory> machine_memory() {
  const std::string group = "/sys/fs/cgroup" + control_group();
  return machine_memory_of(system_file("/proc/meminfo"), system_file(group + "/memory.max"),
                           system_file(group + "/memory.current"));
}

}  // namespace looplm
