#include "cli/info_memory.h"

#include <algorithm>
#include <array>
#include <string>

#include <fmt/format.h>

#include "base/memory.h"
#include "infer/weight_format.h"
#include "model/memory_report.h"
#include "model/parameters.h"
#include "tensor/memory_plan.h"

namespace looplm::cli {
namespace {

constexpr std::array<WeightType, 4> kWeightTypes = {WeightType::kF32, WeightType::kBf16,
                                                    WeightType::kInt8, WeightType::kInt4};

const char* weight_type_name(WeightType type) {
  constexpr std::array<const char*, 5> kNames = {"auto", "f32", "bf16", "int8", "int4"};
  return kNames[static_cast<size_t>(type)];
}

uint64_t held_bytes(const Checkpoint& checkpoint, WeightType type) {
  const MatrixFormat format = weight_format(type, checkpoint.specs, checkpoint.tensors);
  // The embedding is the first parameter; a GGUF file's blocks become what is asked for.
  DType embedding = checkpoint.tensors.front().dtype;
  const bool blocks = checkpoint.stored_types.front() != dtype_name(embedding);
  if (blocks && type == WeightType::kF32) embedding = DType::kF32;
  return ModelWeights::bytes(checkpoint.config, format, embedding);
}

KvNeed need_of(const ModelConfig& config, KvPolicy policy, KvType type, int64_t context) {
  return kv_need(
      config,
      {.prompt_tokens = context / 2, .context_tokens = context, .type = type, .policy = policy});
}

uint64_t kv_bytes_per_token(const ModelConfig& config, KvType type) {
  return static_cast<uint64_t>(config.loops) * kv_bytes_per_token_per_plane(config, type);
}

KvRoom room_of(const Checkpoint& checkpoint, const MachineMemory& memory, WeightType weights,
               KvType type, int64_t context) {
  const uint64_t held = held_bytes(checkpoint, weights);
  const uint64_t left = memory.usable() - std::min(memory.usable(), held);
  return kv_room(checkpoint.config, type, left, context);
}

std::string room_text(const KvRoom& room) {
  if (room.context == 0) return "does not fit";
  return fmt::format("{} ({})", room.context, room.streams);
}

void print_room(const Checkpoint& checkpoint, const MachineMemory& memory, int64_t context) {
  const ModelConfig& config = checkpoint.config;
  fmt::print("this machine: {} of memory, {} of it free now\n", bytes_text(memory.total),
             bytes_text(memory.free));
  fmt::print(
      "  What fits into 90% of its memory: the longest context of one stream, and in\n"
      "  brackets how many streams of {} tokens (--context). The planes of all loops\n"
      "  are kept.\n",
      context);
  fmt::print("  {:<18}", "weights");
  for (const KvType type : kKvTypes)
    fmt::print(" {:>19}", fmt::format("kv {}", kv_type_name(type)));
  fmt::print("\n  {:<18}", "");
  for (const KvType type : kKvTypes) {
    fmt::print(" {:>19}", fmt::format("{}/token", bytes_text(kv_bytes_per_token(config, type))));
  }
  fmt::print("\n");
  for (const WeightType weights : kWeightTypes) {
    fmt::print("  {:<5} {:>12}", weight_type_name(weights),
               bytes_text(held_bytes(checkpoint, weights)));
    for (const KvType type : kKvTypes) {
      fmt::print(" {:>19}", room_text(room_of(checkpoint, memory, weights, type, context)));
    }
    fmt::print("\n");
  }
}

}  // namespace

void print_memory(const Checkpoint& checkpoint, int64_t context) {
  const ModelConfig& config = checkpoint.config;
  fmt::print("keys and values of one stream of {} tokens, half of them prompt\n", context);
  fmt::print("  {:<18}", "policy (--kv)");
  for (const KvType type : kKvTypes) fmt::print(" {:>19}", kv_type_name(type));
  fmt::print("\n");
  for (const KvPolicy policy : kKvPolicies) {
    fmt::print("  {:<18}", kv_policy_name(policy));
    for (const KvType type : kKvTypes) {
      fmt::print(" {:>19}", bytes_text(need_of(config, policy, type, context).peak_bytes()));
    }
    fmt::print("\n");
  }
  const Result<MachineMemory> memory = machine_memory();
  if (memory.ok()) print_room(checkpoint, memory.value(), context);
}

void add_memory(const Checkpoint& checkpoint, int64_t context, OrderedJson& json) {
  const ModelConfig& c = checkpoint.config;
  for (const WeightType weights : kWeightTypes) {
    json["weight_bytes"][weight_type_name(weights)] = held_bytes(checkpoint, weights);
  }
  json["context"] = context;
  for (const KvPolicy policy : kKvPolicies) {
    for (const KvType type : kKvTypes) {
      const KvNeed need = need_of(c, policy, type, context);
      json["kv_bytes"][kv_policy_name(policy)][kv_type_name(type)] = {
          {"prefill", need.prefill_bytes},
          {"decode", need.decode_bytes},
          {"peak", need.peak_bytes()}};
    }
  }
  for (const KvType type : kKvTypes) {
    json["kv_bytes_per_token"][kv_type_name(type)] = kv_bytes_per_token(c, type);
  }
  const Result<MachineMemory> memory = machine_memory();
  if (!memory.ok()) return;
  OrderedJson& machine = json["machine"];
  machine["memory_bytes"] = memory.value().total;
  machine["free_bytes"] = memory.value().free;
  machine["usable_bytes"] = memory.value().usable();
  for (const WeightType weights : kWeightTypes) {
    for (const KvType type : kKvTypes) {
      const KvRoom room = room_of(checkpoint, memory.value(), weights, type, context);
      machine["fits"][weight_type_name(weights)][kv_type_name(type)] = {{"context", room.context},
                                                                        {"streams", room.streams}};
    }
  }
}

}  // namespace looplm::cli
