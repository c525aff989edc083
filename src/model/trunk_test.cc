// Operands that are rounded when they are made give the bits of those that products round.
#include "model/trunk.h"

#include <gtest/gtest.h>

#include "base/cpu.h"
#include "base/rng.h"

namespace looplm {
namespace {

// Odd widths, so that rounded rows have a gap.
ModelConfig small_config(NormPlacement norms) {
  ModelConfig c;
  c.vocab_size = 50;
  c.hidden_size = 35;
  c.layers = 2;
  c.heads = 3;
  c.kv_heads = 1;
  c.head_dim = 10;
  c.intermediate_size = 41;
  c.max_positions = 64;
  c.loops = 2;
  c.norm_placement = norms;
  return c;
}

struct Pass {
  std::vector<float> state;
  std::vector<float> gradients;
};

Pass run(const ModelConfig& config, MemoryPolicy policy, DType operands, Device& device,
         const std::vector<int64_t>& starts = {0, 33, 75}, DType dtype = DType::kBf16,
         int64_t backward_loops = 0) {
  const int64_t rows = starts.back();
  ParameterSet parameters(config), gradients(config);
  Rng rng(4);
  for (float& x : parameters.values()) x = 0.3f * rng.normal();
  std::fill(gradients.values().begin(), gradients.values().end(), 0.0f);
  const ModelWeights weights = ModelWeights::for_training(parameters, config, dtype, device);
  BackwardWeights backward(config, float_format(dtype));
  backward.repack(parameters.source(), device);
  Trunk trunk(config, {.rows = rows,
                       .loops = config.loops,
                       .max_document = rows,
                       .policy = policy,
                       .backward_loops = backward_loops,
                       .operands = operands});
  std::vector<int32_t> ids;
  for (int64_t r = 0; r < rows; ++r) ids.push_back(static_cast<int32_t>(rng.below(50)));
  trunk.forward(weights, ids, starts, device);
  const auto size = static_cast<size_t>(rows * config.hidden_size);
  for (int64_t t = 0; t < config.loops; ++t) {
    for (size_t i = 0; i < size; ++i) trunk.state_gradient(t)[i] = rng.normal();
  }
  trunk.backward(weights, backward, gradients, device);
  const float* last = trunk.state(config.loops - 1);
  const std::span<const float> all = gradients.values();
  return {{last, last + size}, {all.begin(), all.end()}};
}

TEST(Trunk, RoundedOperandsHaveTheSameBits) {
  for (Isa isa : available_isas()) {
    Device device(2, *cpu::kernel_table(isa));
    for (NormPlacement norms : {NormPlacement::kSandwich, NormPlacement::kPre}) {
      const ModelConfig config = small_config(norms);
      for (const auto& [policy, name] : kMemoryPolicyNames) {
        SCOPED_TRACE(testing::Message() << isa_name(isa) << " " << name);
        const Pass plain = run(config, policy, DType::kF32, device);
        const Pass rounded = run(config, policy, DType::kBf16, device);
        EXPECT_EQ(plain.state, rounded.state);
        EXPECT_EQ(plain.gradients, rounded.gradients);
      }
    }
  }
}

// A part begins at a multiple of 64 rows, where a sum of norms' gradients does, and parts are used
// only if all threads get about as many rows. Otherwise threads share the rows of each operation.
const cpu::KernelTable& fastest() { return *cpu::kernel_table(native_isas().back()); }

TEST(Trunk, DocumentsApartHaveTheSameBits) {
  const std::vector<int64_t> starts = {0, 64, 90, 130, 192, 250};
  Device one(1, fastest());    // three parts after one another
  Device two(2, fastest());    // one part, and two
  Device three(3, fastest());  // no parts
  for (NormPlacement norms : {NormPlacement::kSandwich, NormPlacement::kPre}) {
    const ModelConfig config = small_config(norms);
    for (const auto& [policy, name] : kMemoryPolicyNames) {
      for (DType operands : {DType::kF32, DType::kBf16}) {
        SCOPED_TRACE(name);
        const Pass together = run(config, policy, operands, three, starts);
        for (Device* device : {&one, &two}) {
          const Pass apart = run(config, policy, operands, *device, starts);
          EXPECT_EQ(apart.state, together.state);
          EXPECT_EQ(apart.gradients, together.gradients);
        }
      }
    }
  }
}

TEST(Trunk, ProductsAndAttentionHaveRoomInThePlannedScratch) {
  const ModelConfig config = small_config(NormPlacement::kSandwich);
  const std::vector<int64_t> starts = {0, 64, 128, 192, 256};
  const TrunkShape shape = {.rows = 256, .loops = config.loops, .max_document = 64};
  Device device(2, fastest());
  const size_t wide = Trunk::attention_scratch_bytes(config, shape, 2) / 2 * 4 / 5 / sizeof(float);
  const size_t floats = Trunk::scratch_bytes(config, shape, 2) / 2 * 4 / 5 / sizeof(float);
  const std::array<const float*, 2> room = {device.alone(0).shared_scratch(floats),
                                            device.alone(1).shared_scratch(floats)};
  const std::array<const float*, 2> attends = {device.alone(0).thread_scratch(0, wide),
                                               device.alone(1).thread_scratch(0, wide)};
  run(config, MemoryPolicy::kKeepAll, DType::kBf16, device, starts);
  for (int thread : {0, 1}) {
    EXPECT_EQ(device.alone(thread).shared_scratch(0), room[static_cast<size_t>(thread)]);
    EXPECT_EQ(device.alone(thread).thread_scratch(0, 0), attends[static_cast<size_t>(thread)]);
  }
}

// Matrices of more rows than a task of weights' gradients takes, an empty document where a part
// begins, weights in fp32, a backward pass through the last loop alone, no norms between loops.
TEST(Trunk, DocumentsApartHaveTheSameBitsInOtherShapes) {
  const std::vector<int64_t> starts = {0, 64, 64, 128};
  ModelConfig config = small_config(NormPlacement::kPre);
  config.intermediate_size = 270;
  config.norm_between_loops = false;
  Device one(1, fastest()), two(2, fastest()), three(3, fastest());
  for (DType dtype : {DType::kF32, DType::kBf16}) {
    for (int64_t backward_loops : {0, 1}) {
      const auto pass = [&](Device& device) {
        return run(config, MemoryPolicy::kKeepAll, dtype, device, starts, dtype, backward_loops);
      };
      const Pass together = pass(three);
      for (Device* device : {&one, &two}) {
        const Pass apart = pass(*device);
        EXPECT_EQ(apart.state, together.state);
        EXPECT_EQ(apart.gradients, together.gradients);
      }
    }
  }
}

}  // namespace
}  // namespace looplm
