#include "experiments/mano/mano.h"

#include <map>
#include <set>

#include <gmock/gmock.h>

#include "support/status_matchers.h"
#include "support/temp_dir.h"
#include "train/token_shard.h"

namespace looplm {
namespace {

// The value of an expression's ids, worked out with a stack from the right: it knows nothing of
// trees. -1 where they are not one whole expression.
int64_t value_of(const ManoOptions& o, const std::vector<int32_t>& ids) {
  std::vector<int64_t> stack;
  for (size_t i = ids.size() - 2; i-- > 2;) {
    if (ids[i] >= 3) {
      stack.push_back(ids[i] - 3);
      continue;
    }
    if (stack.size() < 2) return -1;
    const int64_t left = stack.back();
    stack.pop_back();
    const int64_t right = stack.back();
    const int64_t value = ids[i] == 0 ? left + right : ids[i] == 1 ? left - right : left * right;
    stack.back() = (value % o.modulus + o.modulus) % o.modulus;
  }
  return stack.size() == 1 ? stack.front() : -1;
}

TEST(Mano, AnswersAreWhatAStackFinds) {
  for (const int modulus : {5, 7, 23}) {
    ManoOptions options;
    options.modulus = modulus;
    const ManoVocabulary v{modulus, options.max_length};
    EXPECT_EQ(v.size(), v.length(options.max_length) + 1);
    for (int length = 1; length <= options.max_length; ++length) {
      for (uint64_t i = 0; i < 200; ++i) {
        const ManoExample e = mano_example(options, length, i);
        ASSERT_EQ(e.ids.size(), static_cast<size_t>(2 * length + 5));
        EXPECT_EQ(e.ids[0], v.begin());
        EXPECT_EQ(e.ids[1], v.length(length));
        EXPECT_EQ(e.ids[e.ids.size() - 2], v.answer());
        EXPECT_EQ(e.ids.back(), v.number(static_cast<int>(value_of(options, e.ids))))
            << v.text(e.ids);
      }
    }
  }
}

TEST(Mano, ReadsAsTheSpecificationSays) {
  const ManoVocabulary v{23, 10};
  EXPECT_EQ(v.text({26, 31, 1, 2, 5, 6, 0, 7, 8, 27, 23}),
            "<bos> <len_3> - * 2 3 + 4 5 <ans> 20");  // 6 - 9
  EXPECT_EQ(value_of({}, {26, 31, 1, 2, 5, 6, 0, 7, 8, 27, 23}), 20);
}

TEST(Mano, OperatorsNumbersAndShapesAreUniform) {
  ManoOptions options;
  options.modulus = 7;
  std::map<int32_t, int> first;
  std::map<int32_t, int> numbers;
  std::map<int, int> left_lengths;  // operators of the left operand of four
  constexpr int kExamples = 6000;
  for (uint64_t i = 0; i < kExamples; ++i) {
    const ManoExample e = mano_example(options, 4, i);
    ++first[e.ids[2]];
    ++numbers[e.ids[e.ids.size() - 3]];
    int open = 1;  // operands that the left one still needs
    int operators = 0;
    for (size_t at = 3; open > 0; ++at) {
      const bool is_operator = e.ids[at] < 3;
      operators += is_operator;
      open += is_operator ? 1 : -1;
    }
    ++left_lengths[operators];
  }
  ASSERT_EQ(first.size(), 3u);
  for (const auto& [id, count] : first) EXPECT_NEAR(count, kExamples / 3, 150) << id;
  ASSERT_EQ(numbers.size(), 7u);
  for (const auto& [id, count] : numbers) EXPECT_NEAR(count, kExamples / 7, 120) << id;
  ASSERT_EQ(left_lengths.size(), 4u);
  for (const auto& [id, count] : left_lengths) EXPECT_NEAR(count, kExamples / 4, 140) << id;
}

TEST(Mano, SplitsShareNoExpressionAndHoldOutASixteenth) {
  ManoOptions options;
  options.modulus = 5;
  std::set<std::vector<int32_t>> train;
  std::set<std::vector<int32_t>> held_out;
  ManoOptions other = options;
  other.split = ManoSplit::kHeldOut;
  for (uint64_t i = 0; i < 30000; ++i) {
    train.insert(mano_example(options, 2, i).ids);
    if (i < 5000) held_out.insert(mano_example(other, 2, i).ids);
  }
  for (const auto& ids : held_out) EXPECT_FALSE(train.contains(ids));
  // 2 shapes of 9 operators and 125 numbers: 2250 expressions, nearly all of which appear.
  EXPECT_NEAR(static_cast<double>(held_out.size()), 2250.0 / 16, 45);
  EXPECT_NEAR(static_cast<double>(train.size()), 2250.0 * 15 / 16, 60);
}

// Drawing an example ends for every modulus: of the shortest expressions, either split has some.
TEST(Mano, EveryModulusHasHeldOutExpressionsOfOneOperator) {
  for (ManoOptions o; o.modulus < 100; ++o.modulus) {
    if (!check(o).ok()) continue;
    o.split = ManoSplit::kHeldOut;
    EXPECT_EQ(mano_split(mano_example(o, 1, 0).ids), ManoSplit::kHeldOut) << o.modulus;
  }
}

TEST(Mano, ADocumentDependsOnOptionsAndIndexAlone) {
  ManoOptions options;
  const ManoStream stream(options);
  std::vector<int32_t> ids;
  std::vector<int32_t> again;
  std::vector<bool> learnt;
  std::map<size_t, int> lengths;
  for (uint64_t i = 0; i < 5000; ++i) {
    stream.document(i, ids, learnt);
    ++lengths[(ids.size() - 5) / 2];
    ASSERT_EQ(learnt.size(), ids.size());
    EXPECT_TRUE(learnt.back());
    EXPECT_EQ(std::count(learnt.begin(), learnt.end(), true), 1);
    if (i % 100 == 0) {
      ManoStream(options).document(i, again, learnt);
      EXPECT_EQ(again, ids);
    }
  }
  ASSERT_EQ(lengths.size(), 10u);
  for (const auto& [length, count] : lengths) EXPECT_NEAR(count, 500, 110) << length;

  ManoOptions changed = options;
  changed.seed = 2;
  EXPECT_NE(ManoStream(changed).hash(), stream.hash());
  stream.document(3, ids, learnt);
  ManoStream(changed).document(3, again, learnt);
  EXPECT_NE(again, ids);
  for (ManoOptions o :
       {ManoOptions{.modulus = 7}, ManoOptions{.max_length = 9},
        ManoOptions{.documents_per_length = 5}, ManoOptions{.learn_all_tokens = true}}) {
    EXPECT_NE(ManoStream(o).hash(), stream.hash());
  }
}

TEST(Mano, LearnsAllTokensButTheFirstWhereAsked) {
  std::vector<int32_t> ids;
  std::vector<bool> learnt;
  ManoStream({.learn_all_tokens = true}).document(0, ids, learnt);
  EXPECT_EQ(std::count(learnt.begin(), learnt.end(), true), static_cast<int64_t>(ids.size()) - 1);
  EXPECT_FALSE(learnt.front());
}

TEST(Mano, LengthsGrowWithTheStream) {
  const ManoStream stream({.max_length = 4, .documents_per_length = 100});
  EXPECT_EQ(stream.longest_at(99), 1);
  EXPECT_EQ(stream.longest_at(100), 2);
  EXPECT_EQ(stream.longest_at(399), 4);
  EXPECT_EQ(stream.longest_at(1000000), 4);
  EXPECT_EQ(ManoStream({.max_length = 4}).longest_at(0), 4);
  std::vector<int32_t> ids;
  std::vector<bool> learnt;
  size_t longest = 0;
  for (uint64_t i = 0; i < 100; ++i) {
    stream.document(i, ids, learnt);
    EXPECT_EQ(ids.size(), 7u);
    stream.document(1000 + i, ids, learnt);
    longest = std::max(longest, ids.size());
  }
  EXPECT_EQ(longest, 13u);
}

TEST(Mano, ShardsHoldHeldOutExamplesOfOneLengthAndScoreTheAnswer) {
  const TempDir dir;
  ManoOptions options;
  ASSERT_OK(write_mano_shard(options, 3, 50, dir.file("x.tokens")));
  const TokenShard shard = std::move(TokenShard::open(dir.file("x.tokens")).value());
  ASSERT_EQ(shard.documents(), 50);
  EXPECT_EQ(shard.vocab_size(), ManoStream(options).vocab_size());
  for (int64_t d = 0; d < shard.documents(); ++d) {
    ASSERT_EQ(shard.document_length(d), 11);
    std::vector<int32_t> ids(11);
    ASSERT_OK(shard.read(d, 0, ids));
    EXPECT_EQ(mano_split(ids), ManoSplit::kHeldOut);
    for (int64_t t = 0; t < 11; ++t) EXPECT_EQ(shard.is_learnt(d, t), t == 10);
  }
  EXPECT_ERROR_SAYS(write_mano_shard({.modulus = 9}, 1, 1, dir.file("y")), "modulus 9");
}

TEST(Mano, OptionsAreChecked) {
  EXPECT_OK(check(ManoOptions()));
  EXPECT_ERROR_SAYS(check({.modulus = 21}), "modulus 21", "prime");
  EXPECT_ERROR_SAYS(check({.modulus = 3}), "modulus 3");
  EXPECT_ERROR_SAYS(check({.modulus = 1009}), "997");
  EXPECT_ERROR_SAYS(check({.max_length = 0}), "max_length 0");
  EXPECT_ERROR_SAYS(check({.documents_per_length = -1}), "documents_per_length -1");
}

}  // namespace
}  // namespace looplm
