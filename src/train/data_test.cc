// Token shards and the loader that packs them.
#include <algorithm>
#include <fstream>
#include <map>
#include <numeric>

#include <gtest/gtest.h>

#include "support/status_matchers.h"
#include "support/temp_dir.h"
#include "train/data_loader.h"
#include "train/token_shard.h"

namespace looplm {
namespace {

// Document d holds tokens 100 d, 100 d + 1, ... so that a row tells where it is from.
std::vector<int32_t> document(int32_t index, int32_t length) {
  std::vector<int32_t> tokens(static_cast<size_t>(length));
  std::iota(tokens.begin(), tokens.end(), 100 * index);
  return tokens;
}

TokenDataset dataset(const TempDir& dir, const std::string& name,
                     const std::vector<int32_t>& lengths, int64_t prompt = 0,
                     int64_t vocabulary = 100000) {
  TokenShardWriter writer(vocabulary);
  for (size_t d = 0; d < lengths.size(); ++d) {
    writer.add(document(static_cast<int32_t>(d), lengths[d]), prompt);
  }
  EXPECT_TRUE(writer.write(dir.file(name)).ok());
  return std::move(TokenDataset::open(dir.file(name)).value());
}

DataLoader loader(std::vector<DataLoader::Source> sources, const LoaderOptions& options) {
  return std::move(DataLoader::create(std::move(sources), options).value());
}

DataLoader loader(TokenDataset data, const LoaderOptions& options) {
  std::vector<DataLoader::Source> sources;
  sources.push_back({std::move(data), {}, 1});
  return loader(std::move(sources), options);
}

TEST(TokenShard, RoundTripsSmallAndLargeVocabularies) {
  const TempDir dir;
  for (int64_t vocabulary : {400, 70000}) {
    TokenShardWriter writer(vocabulary);
    writer.add(document(0, 3));
    writer.add({});
    writer.add(document(2, 5), 4);
    writer.set_chat_template("{{ messages }}");
    ASSERT_OK(writer.write(dir.file("x.tokens")));
    EXPECT_EQ(writer.tokens(), 0);
    const auto shard = TokenShard::open(dir.file("x.tokens"));
    ASSERT_OK(shard);
    const TokenShard& s = shard.value();
    EXPECT_EQ(s.documents(), 2);
    EXPECT_EQ(s.tokens(), 8);
    EXPECT_EQ(s.document_length(1), 5);
    EXPECT_EQ(s.chat_template(), "{{ messages }}");
    for (int64_t i = 0; i < s.document_length(1); ++i) EXPECT_EQ(s.is_learnt(1, i), i >= 4) << i;
    std::vector<int32_t> tokens(3);
    ASSERT_OK(s.read(1, 2, tokens));
    EXPECT_EQ(tokens, (std::vector<int32_t>{202, 203, 204}));
    EXPECT_OK(s.verify());
  }
}

TEST(TokenShard, RefusesDamagedFiles) {
  const TempDir dir;
  dataset(dir, "good.tokens", {4, 6});
  const std::string good = read_text_file(dir.file("good.tokens")).value();
  const auto damaged = [&](size_t at, const std::string& bytes) {
    std::string text = good;
    text.replace(at, bytes.size(), bytes);
    EXPECT_TRUE(write_text_file(dir.file("bad.tokens"), text).ok());
    return TokenShard::open(dir.file("bad.tokens"));
  };
  EXPECT_ERROR_SAYS(damaged(0, "X"), "bad.tokens", "LPTOKENS");
  EXPECT_ERROR_SAYS(damaged(8, "\x07"), "version 7", "expected 2");
  EXPECT_ERROR_SAYS(damaged(12, "\x03"), "3 bytes per token");
  EXPECT_ERROR_SAYS(damaged(16, "\x0b"), "header describes");
  EXPECT_ERROR_SAYS(damaged(16, std::string(8, '\xff')), "claims");
  EXPECT_ERROR_SAYS(damaged(24, "\x05"), "header describes");
  EXPECT_ERROR_SAYS(damaged(56, "\x05"), "header describes");
  EXPECT_ERROR_SAYS(damaged(56, std::string(8, '\xff')), "a chat template of");
  EXPECT_ERROR_SAYS(damaged(72, "\x63"), "document 1");  // beyond the tokens
  EXPECT_ERROR_SAYS(damaged(72, std::string(8, '\xff')), "document 1");
  EXPECT_ERROR_SAYS(damaged(72, std::string(1, '\0')), "document 1");  // an empty document
  // Its 10 tokens' bits stand behind the places of two documents and of the end.
  EXPECT_ERROR_SAYS(damaged(64 + 3 * 8 + 1, "\x07"), "token 10 that it is learnt; it has 10");
  EXPECT_ERROR_SAYS(damaged(64 + 3 * 8 + 7, "\x80"), "token 63");
  for (size_t cut = 0; cut < good.size(); cut += 3) {
    ASSERT_OK(write_text_file(dir.file("bad.tokens"), good.substr(0, cut)));
    EXPECT_FALSE(TokenShard::open(dir.file("bad.tokens")).ok()) << cut;
  }
  // A token outside the vocabulary is found when it is read, a changed one by the hash.
  auto changed = damaged(good.size() - 1, "\xff");
  ASSERT_OK(changed);
  std::vector<int32_t> tokens(6);
  EXPECT_ERROR_SAYS(changed->read(1, 0, tokens), "bad.tokens", "vocabulary");
  EXPECT_ERROR_SAYS(changed->verify(), "hash");
  EXPECT_ERROR_SAYS(TokenDataset::open(dir.path() + "/absent"), "absent");
  std::filesystem::create_directory(dir.file("empty"));
  EXPECT_ERROR_SAYS(TokenDataset::open(dir.file("empty")), "no .tokens files");
  ASSERT_OK(write_text_file(dir.file("one.tokens"), ""));
  TokenShardWriter single(10);
  single.add(std::vector<int32_t>{1});
  ASSERT_OK(single.write(dir.file("one.tokens")));
  EXPECT_ERROR_SAYS(TokenDataset::open(dir.file("one.tokens")), "two or more");
}

TEST(DataLoader, TargetsAreTheNextTokensAndNeverCrossDocuments) {
  const TempDir dir;
  LoaderOptions options;
  options.sequence_length = 16;
  options.sequences = 3;
  DataLoader load = loader(dataset(dir, "x.tokens", {5, 40, 2, 1, 17, 9}), options);
  std::map<int32_t, int> seen;
  for (int i = 0; i < 8; ++i) {
    auto next = load.next();
    ASSERT_OK(next);
    const Batch& batch = *next;
    ASSERT_EQ(batch.rows(), 48);
    ASSERT_EQ(batch.document_starts.front(), 0);
    ASSERT_EQ(batch.document_starts.back(), 48);
    for (size_t d = 0; d + 1 < batch.document_starts.size(); ++d) {
      const int64_t first = batch.document_starts[d], last = batch.document_starts[d + 1];
      ASSERT_LT(first, last);
      EXPECT_EQ(first / 16, (last - 1) / 16) << "a piece crosses a sequence";
      for (int64_t r = first; r < last; ++r) {
        const auto at = static_cast<size_t>(r);
        EXPECT_EQ(batch.ids[at], batch.ids[static_cast<size_t>(first)] + (r - first));
        EXPECT_EQ(batch.targets[at], batch.ids[at] + 1);
        EXPECT_EQ(batch.targets[at] / 100, batch.ids[at] / 100);
        ++seen[batch.targets[at]];
      }
    }
  }
  // 8 batches of 48 rows over 68 predictable tokens: every target about equally often.
  EXPECT_EQ(seen.size(), 68u);
  for (const auto& [token, count] : seen) {
    EXPECT_GE(count, 5) << token;
    EXPECT_LE(count, 6) << token;
  }
}

TEST(DataLoader, PromptsAreNoTargetsAndWholeDocumentsStayWhole) {
  const TempDir dir;
  LoaderOptions options;
  options.sequence_length = 10;
  options.sequences = 2;
  options.split_documents = false;
  DataLoader load = loader(dataset(dir, "x.tokens", {7, 7, 7}, /*prompt=*/4), options);
  auto next = load.next();
  ASSERT_OK(next);
  // One document of 6 rows per sequence, then 4 empty rows.
  EXPECT_EQ(next->document_starts, (std::vector<int64_t>{0, 6, 10, 16, 20}));
  for (size_t r = 0; r < 10; ++r) {
    const bool is_target = r >= 3 && r < 6;  // row 3 predicts token 4, the first after the prompt
    EXPECT_EQ(next->targets[r] != kIgnoredTarget, is_target) << r;
  }
  EXPECT_EQ(next->target_count(), 6);
}

std::vector<int32_t> rows_of(DataLoader& load, int batches) {
  std::vector<int32_t> rows;
  for (int i = 0; i < batches; ++i) {
    const auto batch = load.next();
    EXPECT_TRUE(batch.ok());
    rows.insert(rows.end(), batch.value().ids.begin(), batch.value().ids.end());
  }
  return rows;
}

// Document i: 2 + i % 3 tokens of value i (modulo the vocabulary), the last one learnt.
class CountingStream : public DocumentStream {
 public:
  int64_t vocab_size() const override { return 1000; }
  uint64_t hash() const override { return 7; }
  void document(uint64_t index, std::vector<int32_t>& ids,
                std::vector<bool>& learnt) const override {
    ids.assign(2 + index % 3, static_cast<int32_t>(index % 1000));
    learnt.assign(ids.size(), false);
    learnt.back() = true;
  }
};

TEST(DataLoader, DocumentsThatDoNotFitAreRefusedCutOrLeftOutAsAsked) {
  const TempDir dir;
  LoaderOptions options;
  options.sequence_length = 8;
  options.sequences = 1;
  options.split_documents = false;
  options.shuffle = false;
  const std::vector<int32_t> lengths = {5, 10, 9, 12};  // a row takes 9 tokens
  const auto load = [&] {
    std::vector<DataLoader::Source> sources;
    sources.push_back({dataset(dir, "x.tokens", lengths), {}, 1});
    return DataLoader::create(std::move(sources), options);
  };
  EXPECT_ERROR_SAYS(load(), "data.split_documents", "document 3", "x.tokens", "12 tokens",
                    "data.sequence_length of 11");
  options.long_documents = LongDocuments::kSkip;
  DataLoader skipping = std::move(load().value());
  EXPECT_EQ(skipping.long_documents(), 2);
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(skipping.next().value().ids, (std::vector<int32_t>{0, 1, 2, 3, 0, 0, 0, 0}));
    EXPECT_EQ(skipping.next().value().ids.back(), 207);
  }
  options.long_documents = LongDocuments::kCut;
  DataLoader cutting = std::move(load().value());
  (void)cutting.next().value();
  EXPECT_EQ(cutting.next().value().ids.back(), 107);
  EXPECT_EQ(cutting.next().value().ids.front(), 108);
  // With pieces allowed nothing is too long, and a stream is checked as it is read.
  options.split_documents = true;
  options.long_documents = LongDocuments::kRefuse;
  EXPECT_OK(load());
  options.split_documents = false;
  options.sequence_length = 2;
  std::vector<DataLoader::Source> sources;
  sources.push_back({{}, std::make_shared<CountingStream>(), 1});
  DataLoader streaming = loader(std::move(sources), options);
  EXPECT_OK(streaming.next());
  EXPECT_OK(streaming.next());
  EXPECT_ERROR_SAYS(streaming.next(), "document 2", "the stream", "4 tokens");
  options.long_documents = LongDocuments::kSkip;
  options.sequence_length = 3;
  EXPECT_ERROR_SAYS(load(), "no document", "x.tokens");
}

TEST(DataLoader, KeepsTheGivenOrderWhenAsked) {
  const TempDir dir;
  LoaderOptions options;
  options.sequence_length = 3;
  options.sequences = 4;
  options.shuffle = false;
  DataLoader load = loader(dataset(dir, "x.tokens", {4, 4, 4, 4}), options);
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(rows_of(load, 1),
              (std::vector<int32_t>{0, 1, 2, 100, 101, 102, 200, 201, 202, 300, 301, 302}));
  }
}

TEST(DataLoader, ShardsOfOtherVocabulariesAreRefusedByName) {
  const TempDir dir;
  const auto write = [&](const std::string& name, const Vocabulary& vocabulary) {
    TokenShardWriter writer(vocabulary);
    writer.add(std::vector<int32_t>{1, 2, 3}, 2);
    EXPECT_OK(writer.write(dir.file(name)));
    return std::move(TokenDataset::open(dir.file(name)).value());
  };
  const auto mix = [&](TokenDataset a, TokenDataset b) {
    std::vector<DataLoader::Source> sources;
    sources.push_back({std::move(a), {}, 1});
    sources.push_back({std::move(b), {}, 1});
    return DataLoader::create(std::move(sources), {}).status();
  };
  EXPECT_EQ(write("a.tokens", {10, 7}).count_targets(), 1);
  EXPECT_OK(mix(write("a.tokens", {10, 7}), write("b.tokens", {10, 7})));
  EXPECT_OK(mix(write("a.tokens", {10, 7}), write("b.tokens", 10)));
  EXPECT_ERROR_SAYS(mix(write("a.tokens", {10, 7}), write("b.tokens", {10, 8})), "a.tokens",
                    "b.tokens", "0000000000000007", "0000000000000008");
}

TEST(DataLoader, OrderDependsOnTheSeedAloneAndResumesAnywhere) {
  const TempDir dir;
  const std::vector<int32_t> lengths = {5, 40, 2, 17, 9, 30, 3, 3, 3};
  LoaderOptions options;
  options.sequence_length = 16;
  options.sequences = 2;
  options.seed = 5;
  DataLoader straight = loader(dataset(dir, "x.tokens", lengths), options);
  const std::vector<int32_t> expected = rows_of(straight, 12);

  DataLoader again = loader(dataset(dir, "x.tokens", lengths), options);
  std::vector<int32_t> resumed = rows_of(again, 5);
  const LoaderState state = again.state();
  DataLoader restored = loader(dataset(dir, "x.tokens", lengths), options);
  ASSERT_OK(restored.restore(state));
  const std::vector<int32_t> rest = rows_of(restored, 7);
  resumed.insert(resumed.end(), rest.begin(), rest.end());
  EXPECT_EQ(resumed, expected);

  options.seed = 6;
  DataLoader other = loader(dataset(dir, "x.tokens", lengths), options);
  EXPECT_NE(rows_of(other, 12), expected);
  LoaderState wrong = state;
  wrong.cursors.front().document = 99;
  EXPECT_ERROR_SAYS(restored.restore(wrong), "document 99", "9 documents");
}

TEST(DataLoader, ReadsStreamsInOrderAndResumesInTheMiddleOfADocument) {
  LoaderOptions options;
  options.sequence_length = 5;
  options.sequences = 1;
  const auto streaming = [&] {
    std::vector<DataLoader::Source> sources;
    sources.push_back({{}, std::make_shared<CountingStream>(), 1});
    return loader(std::move(sources), options);
  };
  DataLoader straight = streaming();
  const Batch first = std::move(straight.next().value());
  // Documents of 2, 3 and 4 tokens give 1, 2 and 3 rows, of which the third is cut.
  EXPECT_EQ(first.ids, (std::vector<int32_t>{0, 1, 1, 2, 2}));
  EXPECT_EQ(first.targets,
            (std::vector<int32_t>{0, kIgnoredTarget, 1, kIgnoredTarget, kIgnoredTarget}));
  EXPECT_EQ(first.document_starts, (std::vector<int64_t>{0, 1, 3, 5}));
  const LoaderState state = straight.state();
  const Batch second = std::move(straight.next().value());
  EXPECT_EQ(second.targets.front(), 2);
  DataLoader resumed = streaming();
  ASSERT_OK(resumed.restore(state));
  const Batch again = std::move(resumed.next().value());
  EXPECT_EQ(again.ids, second.ids);
  EXPECT_EQ(again.targets, second.targets);
}

TEST(DataLoader, MixesByWeight) {
  const TempDir dir;
  std::vector<DataLoader::Source> sources;
  sources.push_back({dataset(dir, "a.tokens", std::vector<int32_t>(50, 8)), {}, 3});
  TokenShardWriter writer(100000);
  for (int i = 0; i < 50; ++i) writer.add(document(900, 20));
  ASSERT_OK(writer.write(dir.file("b.tokens")));
  sources.push_back({std::move(TokenDataset::open(dir.file("b.tokens")).value()), {}, 1});
  LoaderOptions options;
  options.sequence_length = 64;
  options.sequences = 4;
  DataLoader load = loader(std::move(sources), options);
  int from_b = 0, rows = 0;
  for (int32_t token : rows_of(load, 20)) {
    from_b += token >= 90000 ? 1 : 0;
    ++rows;
  }
  EXPECT_NEAR(static_cast<double>(from_b) / rows, 0.25, 0.01);

  std::vector<DataLoader::Source> mixed;
  mixed.push_back({dataset(dir, "a.tokens", {4}), {}, 1});
  mixed.push_back({dataset(dir, "c.tokens", {4}, 0, 500), {}, 1});
  EXPECT_ERROR_SAYS(DataLoader::create(std::move(mixed), options), "500", "100000");
}

}  // namespace
}  // namespace looplm
