// A model as the teacher of another: what its file says, and a run that learns it.
#include "eval/teach.h"

#include <gtest/gtest.h>

#include "looplm/engine.h"

#include "infer/test_model.h"
#include "support/temp_dir.h"
#include "train/teacher_file.h"

namespace looplm {
namespace {

class TeachTest : public testing::Test {
 protected:
  TeachTest() {
    config_.max_positions = 16;
    write_test_checkpoint(dir_.file("model"), random_parameters(config_, 5), config_);
    ModelOptions options;
    options.threads = 2;
    options.kv = KvType::kF32;
    model_ = Model::load(dir_.file("model"), options).value();
    TokenShardWriter writer(config_.vocab_size);
    Rng rng(3);
    for (const size_t length : {9, 1, 16, 17, 41}) {
      std::vector<int32_t> ids(length);
      for (int32_t& id : ids) {
        id = static_cast<int32_t>(rng.below(static_cast<uint32_t>(config_.vocab_size)));
      }
      writer.add(ids, length == 16 ? 12 : 1);
    }
    EXPECT_OK(writer.write(shard_));
  }

  // What the last loop says after `ids`.
  std::vector<TopToken> said(const std::vector<int32_t>& ids, int64_t top) {
    Request request;
    request.prompt = ids;
    request.options.max_tokens = 0;
    request.options.plan.prompt = ReadLoops::kEvery;
    request.options.plan.top = top;
    const Generation result = generate(*model_, std::move(request)).value();
    EXPECT_EQ(result.prompt.back().loops.size(), 3u);
    return result.prompt.back().loops.back().top;
  }

  TempDir dir_;
  ModelConfig config_ = small_config();
  std::string shard_ = dir_.file("a.tokens");
  std::unique_ptr<Model> model_;
};

TEST_F(TeachTest, EachTargetHasTheLastLoopsMostLikelyTokens) {
  const TokenShard shard = TokenShard::open(shard_).value();
  ASSERT_OK(teach_shard(shard, *model_, 4));
  const TeacherFile file = TeacherFile::open(shard).value();
  for (int64_t d = 0; d < shard.documents(); ++d) {
    std::vector<int32_t> ids(static_cast<size_t>(shard.document_length(d)));
    ASSERT_OK(shard.read(d, 0, ids));
    std::vector<TopTokens> rows(ids.size());
    ASSERT_OK(file.read(shard, d, 0, rows));
    for (size_t i = 1; i < ids.size(); ++i) {
      SCOPED_TRACE(std::to_string(d) + " " + std::to_string(i));
      if (!shard.is_learnt(d, static_cast<int64_t>(i))) {
        EXPECT_TRUE(rows[i].ids.empty());
        continue;
      }
      // A long document is read in stretches of 16 that begin 8 apart.
      const size_t begin = i <= 16 ? 0 : (i - 16 + 7) / 8 * 8;
      const std::vector<TopToken> expected = said(
          {ids.begin() + static_cast<ptrdiff_t>(begin), ids.begin() + static_cast<ptrdiff_t>(i)},
          4);
      ASSERT_EQ(rows[i].ids.size(), 4u);
      for (size_t k = 0; k < 4; ++k) {
        EXPECT_EQ(rows[i].ids[k], static_cast<uint32_t>(expected[k].id));
        EXPECT_EQ(rows[i].log_probabilities[k], expected[k].log_probability);
      }
    }
  }
}

TEST_F(TeachTest, ErrorsNameBoth) {
  TokenShardWriter larger(config_.vocab_size + 1);
  larger.add(std::vector<int32_t>{1, 2, 3});
  ASSERT_OK(larger.write(dir_.file("b.tokens")));
  const TokenShard shard = TokenShard::open(dir_.file("b.tokens")).value();
  EXPECT_ERROR_SAYS(teach_shard(shard, *model_, 4), "b.tokens", "/model'", "vocabulary");
  EXPECT_ERROR_SAYS(teach_shard(TokenShard::open(shard_).value(), *model_, 1 << 20), "1048576");
}

}  // namespace
}  // namespace looplm
