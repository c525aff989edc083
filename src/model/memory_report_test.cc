#include "model/memory_report.h"

#include <gtest/gtest.h>

namespace looplm {
namespace {

ModelConfig ouro() { return model_preset("ouro-1.4b").value(); }

TEST(MemoryReport, AgreesWithThePublishedNumbers) {
  EXPECT_EQ(kv_bytes_per_token_per_plane(ouro(), KvType::kBf16), 196608);
  EXPECT_EQ(kv_bytes_per_token_per_plane(ouro(), KvType::kF32), 2 * 196608);
  EXPECT_EQ(weight_bytes(ouro(), DType::kBf16), 2869305346);
  EXPECT_EQ(weight_bytes(model_preset("ouro-2.6b").value(), DType::kBf16), 5335949314);
  const KvRequest one_token{.prompt_tokens = 1, .context_tokens = 1};
  EXPECT_EQ(kv_need(ouro(), one_token).decode_bytes, 768 * 1024);
  EXPECT_EQ(kv_need(model_preset("ouro-2.6b").value(), one_token).decode_bytes, 1536 * 1024);
}

TEST(MemoryReport, SharedPlanesSaveWhileDecodingOnly) {
  const uint64_t plane = 196608;
  for (const KvPolicy policy : kKvPolicies) {
    KvRequest request{.prompt_tokens = 100, .context_tokens = 1000, .policy = policy};
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

TEST(MemoryReport, Int8HasAScalePerPositionAndHead) {
  const ModelConfig c = ouro();
  EXPECT_EQ(kv_bytes_per_token_per_plane(c, KvType::kInt8),
            static_cast<uint64_t>(2 * c.layers * c.kv_heads * (c.head_dim + 4)));
}

TEST(MemoryReport, RoomIsWholePages) {
  const uint64_t token = 4 * uint64_t{196608};
  const KvRoom room = kv_room(ouro(), KvType::kBf16, 100 * token, 33);
  EXPECT_EQ(room.context, 96);  // 100 tokens are three pages and a piece
  EXPECT_EQ(room.streams, 1);   // of two pages
  EXPECT_EQ(kv_room(ouro(), KvType::kBf16, 100 * token, 32).streams, 3);
  EXPECT_EQ(kv_room(ouro(), KvType::kF32, 100 * token, 32).streams, 1);
  EXPECT_EQ(kv_room(ouro(), KvType::kBf16, 31 * token, 1).context, 0);
  EXPECT_EQ(kv_room(ouro(), KvType::kBf16, 0, 1).streams, 0);
  ModelConfig small = ouro();
  small.max_positions = 40;  // no multiple of a page
  EXPECT_EQ(kv_room(small, KvType::kBf16, 1000 * token, 40).context, 40);
  EXPECT_EQ(kv_room(small, KvType::kBf16, 1000 * token, 40).streams, 15);
}

TEST(KvPolicy, NamesReadBack) {
  for (const KvPolicy policy : kKvPolicies) {
    EXPECT_EQ(kv_policy_from_name(kv_policy_name(policy)), policy);
  }
  EXPECT_FALSE(kv_policy_from_name("none").has_value());
}

}  // namespace
}  // namespace looplm
