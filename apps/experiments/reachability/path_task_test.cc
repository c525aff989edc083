#include "experiments/reachability/path_task.h"

#include <map>
#include <set>

#include <gmock/gmock.h>

namespace looplm {
namespace {

// Follows edges as they stand in the tokens, up to one that leads nowhere else; counts the steps.
std::pair<int32_t, int> walk(const std::vector<int32_t>& ids, int32_t nodes, int32_t node) {
  for (int steps = 0;; ++steps) {
    int32_t next = -1;
    for (int32_t e = 1; e <= nodes; ++e) {
      const int32_t pair = ids[static_cast<size_t>(e)] - nodes;
      if (pair / nodes == node) next = pair % nodes;
    }
    if (next == node || next < 0) return {next, steps};
    node = next;
  }
}

TEST(PathTask, AnswersAreWhatAReaderOfTheTokensFinds) {
  const PathOptions options = {.paths = 3, .length = 5, .queries = 3};
  std::map<int, int> seen;
  for (uint64_t i = 0; i < 2000; ++i) {
    const PathDocument d = path_document(options, i);
    const std::vector<int32_t> ids = d.ids(options);
    ASSERT_EQ(ids.size(), 1 + 18 + 2 * 3u);
    ASSERT_EQ(ids.size(), options.longest_document());
    EXPECT_EQ(ids.front(), options.bos());
    for (int q = 0; q < 3; ++q) {
      const size_t place = path_answer_place(d, q);
      const auto [end, steps] = walk(ids, 18, ids[place - 1]);
      EXPECT_EQ(ids[place], end);
      EXPECT_EQ(d.queries[static_cast<size_t>(q)].distance, steps);
      ++seen[steps];
    }
  }
  ASSERT_EQ(seen.size(), 5u);
  for (const auto& [distance, count] : seen) EXPECT_NEAR(count, 1200, 130) << distance;
}

TEST(PathTask, EveryNodeIsInOnePathAndEveryPathIsAsked) {
  const PathOptions options = {.paths = 2, .length = 4, .distance = 2, .queries = 1};
  std::map<int, int> ends;
  for (uint64_t i = 0; i < 3000; ++i) {
    const PathDocument d = path_document(options, i);
    std::set<int> from, to;
    for (const auto& [u, v] : d.edges) {
      EXPECT_TRUE(from.insert(u).second);
      if (u != v) {
        EXPECT_TRUE(to.insert(v).second);
      }
    }
    EXPECT_EQ(from.size(), 10u);
    EXPECT_EQ(to.size(), 8u);
    EXPECT_EQ(d.queries[0].distance, 2);
    ++ends[d.queries[0].end];
  }
  ASSERT_EQ(ends.size(), 10u);
  for (const auto& [end, count] : ends) EXPECT_NEAR(count, 300, 70) << end;
}

TEST(PathTask, SplitsShareNoGraphAndHoldOutASixteenth) {
  PathOptions options = {.length = 1, .queries = 1};  // few graphs: an overlap would show
  const auto graphs = [&] {
    std::set<std::vector<std::pair<int, int>>> found;
    for (uint64_t i = 0; i < 3000; ++i) found.insert(path_document(options, i).edges);
    return found;
  };
  const auto train = graphs();
  options.split = PathSplit::kHeldOut;
  const auto held_out = graphs();
  for (const auto& graph : held_out) EXPECT_FALSE(train.contains(graph));
  EXPECT_EQ(train.size() + held_out.size(),
            288u);  // 4! orders of 4! / 2 graphs
  EXPECT_NEAR(static_cast<double>(held_out.size()), 18, 12);
}

TEST(PathTask, PathsGrowIfAsked) {
  const PathOptions options = {.length = 3, .queries = 8, .documents_per_length = 50};
  std::set<int32_t> short_names;
  for (uint64_t i = 0; i < 250; ++i) {
    const int length = i < 50 ? 1 : i < 100 ? 2 : 3;
    const PathDocument d = path_document(options, i);
    const std::vector<int32_t> ids = d.ids(options);
    ASSERT_EQ(d.edges.size(), static_cast<size_t>(2 * (length + 1))) << i;
    ASSERT_EQ(ids.size(), d.edges.size() + 17) << i;
    for (int q = 0; q < 8; ++q) {
      const size_t place = path_answer_place(d, q);
      EXPECT_EQ(ids[place], d.queries[static_cast<size_t>(q)].end);
      EXPECT_EQ(ids[place - 1], d.queries[static_cast<size_t>(q)].from);
      EXPECT_LE(d.queries[static_cast<size_t>(q)].distance, length) << i;
      if (i < 50) short_names.insert(ids[place]);
    }
  }
  EXPECT_EQ(short_names.size(), 8u);  // all nodes' names, not those of a small graph
  EXPECT_EQ(options.length_at(49), 1);
  EXPECT_EQ(options.length_at(50), 2);
  EXPECT_EQ(options.length_at(uint64_t{1} << 60), 3);
  EXPECT_EQ(PathOptions().length_at(0), 8);
}

TEST(PathTask, DistancesEndWhereAsked) {
  const PathOptions options = {.length = 6, .farthest = 2, .queries = 8};
  std::map<int, int> seen;
  for (uint64_t i = 0; i < 100; ++i) {
    const PathDocument d = path_document(options, i);
    EXPECT_EQ(d.edges.size(), 14u);
    for (const PathQuery& q : d.queries) ++seen[q.distance];
  }
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_NEAR(seen[1], 400, 60);
  PathOptions all = options;
  all.farthest = 0;
  EXPECT_NE(PathStream(options).hash(), PathStream(all).hash());
}

TEST(PathTask, IsAFunctionOfOptionsAndIndex) {
  PathOptions options;
  const std::vector<int32_t> first = path_document(options, 9).ids(options);
  EXPECT_EQ(path_document(options, 9).ids(options), first);
  EXPECT_NE(path_document(options, 10).ids(options), first);
  options.seed = 2;
  EXPECT_NE(path_document(options, 9).ids(options), first);
}

TEST(PathTask, TheStreamLearnsAnswersAlone) {
  PathOptions options = {.paths = 2, .length = 3, .queries = 4};
  const PathStream stream(options);
  std::vector<int32_t> ids;
  std::vector<bool> learnt;
  stream.document(11, ids, learnt);
  EXPECT_EQ(ids, path_document(options, 11).ids(options));
  ASSERT_EQ(learnt.size(), ids.size());
  for (size_t i = 0; i < ids.size(); ++i) EXPECT_EQ(learnt[i], i >= 9 && i % 2 == 0) << i;
  options.seed = 2;
  EXPECT_NE(PathStream(options).hash(), stream.hash());
  EXPECT_EQ(stream.vocab_size(), 8 + 64 + 1);
}

TEST(PathTask, OptionsAreChecked) {
  EXPECT_THAT(check({.paths = 1}).message(), testing::HasSubstr("paths is 1; expected 2"));
  EXPECT_THAT(check({.length = 0}).message(), testing::HasSubstr("length is 0"));
  EXPECT_THAT(check({.length = 4, .distance = 5}).message(),
              testing::HasSubstr("distance is 5; expected 0 to 4"));
  EXPECT_THAT(check({.paths = 40, .length = 20}).message(),
              testing::HasSubstr("nodes is 840; expected 4 to 400"));
  EXPECT_THAT(check({.length = 4, .farthest = 5}).message(),
              testing::HasSubstr("farthest is 5; expected 0 to 4"));
  EXPECT_THAT(check({.documents_per_length = -1}).message(),
              testing::HasSubstr("documents_per_length is -1"));
  EXPECT_THAT(check({.queries = 0}).message(), testing::HasSubstr("queries is 0"));
  EXPECT_TRUE(check(PathOptions()).ok());
}

}  // namespace
}  // namespace looplm
