#include "model/memory_report.h"

#include <gtest/gtest.h>

namespace looplm {
namespace {

ModelConfig ouro() { return model_preset("ouro-1.4b").value(); }

TEST(MemoryReport, AgreesWithThePublishedNumbers) {
  EXPECT_EQ(kv_bytes_per_token_per_plane(ouro(), DType::kBf16), 196608);
  EXPECT_EQ(kv_bytes_per_token_per_plane(ouro(), DType::kF32), 2 * 196608);
  EXPECT_EQ(weight_bytes(ouro(), DType::kBf16), 2869305346);
  EXPECT_EQ(weight_bytes(model_preset("ouro-2.6b").value(), DType::kBf16), 5335949314);
  const MemoryRequest one_token{.prompt_tokens = 1, .context_tokens = 1};
  EXPECT_EQ(kv_need(ouro(), one_token).decode_bytes, 768 * 1024);
  EXPECT_EQ(kv_need(model_preset("ouro-2.6b").value(), one_token).decode_bytes, 1536 * 1024);
}

TEST(MemoryReport, SharedPlanesSaveWhileDecodingOnly) {
  const uint64_t plane = 196608;
  for (const KvPolicy policy : kKvPolicies) {
    MemoryRequest request{.prompt_tokens = 100, .context_tokens = 1000, .kv_policy = policy};
    const bool shared =
        policy == KvPolicy::kLast || policy == KvPolicy::kMean || policy == KvPolicy::kFirst;
    KvNeed need = kv_need(ouro(), request);
    EXPECT_EQ(need.prefill_bytes, 100 * 4 * plane) << kv_policy_name(policy);
    EXPECT_EQ(need.decode_bytes, 1000 * (shared ? 1 : 4) * plane) << kv_policy_name(policy);
    EXPECT_EQ(need.peak_bytes(), need.decode_bytes);

    request.prompt_tokens = 900;  // now a shared policy's peak is the prompt's
    need = kv_need(ouro(), request);
    EXPECT_EQ(need.peak_bytes(), (shared ? 900 : 1000) * 4 * plane) << kv_policy_name(policy);

    request.loops = 8;
    EXPECT_EQ(kv_need(ouro(), request).prefill_bytes, 900 * 8 * plane);
  }
}

TEST(MemoryReport, ThePlanAddsUp) {
  for (const std::string& name : model_preset_names()) {
    for (const bool tied : {false, true}) {
      ModelConfig config = model_preset(name).value();
      config.tie_embeddings = tied;
      const MemoryRequest request{.prompt_tokens = 64,
                                  .context_tokens = 256,
                                  .weight_dtype = DType::kF32,
                                  .kv_dtype = DType::kF32,
                                  .kv_policy = KvPolicy::kMean};
      EXPECT_EQ(model_memory_plan(config, request).total(),
                weight_bytes(config, DType::kF32) + kv_need(config, request).peak_bytes());
      EXPECT_EQ(model_memory_plan(config, request).items().size(), tied ? 4 : 5);
    }
  }
}

TEST(KvPolicy, NamesReadBack) {
  for (const KvPolicy policy : kKvPolicies) {
    EXPECT_EQ(kv_policy_from_name(kv_policy_name(policy)), policy);
  }
  EXPECT_FALSE(kv_policy_from_name("none").has_value());
}

}  // namespace
}  // namespace looplm
