#include "infer/effort.h"

#include <map>

#include <gtest/gtest.h>

namespace looplm {
namespace {

// What a pass costs over plain decoding, by effort.
using Ratios = std::map<Effort, double>;

struct Shares {
  std::map<Effort, int64_t> passes;
  double cost = 0;

  double over_plain(int64_t all) const { return cost / static_cast<double>(all); }
};

Shares run(EffortChoice& choice, const Ratios& ratios, int64_t passes) {
  Shares shares;
  for (int64_t i = 0; i < passes; ++i) {
    const Effort effort = choice.now();
    const double ratio = effort == Effort::kPlain ? 1 : ratios.at(effort);
    ++shares.passes[effort];
    shares.cost += ratio;
    choice.saw(ratio, 1);
  }
  return shares;
}

TEST(EffortChoice, BeginsPlainSinceAllIsComparedWithThat) {
  const EffortChoice choice;
  EXPECT_EQ(choice.now(), Effort::kPlain);
  EXPECT_EQ(choice.ratio(Effort::kGuesses), 1);
}

TEST(EffortChoice, TakesWhatIsCheapest) {
  for (const Effort best : {Effort::kGuesses, Effort::kAlternatives}) {
    Ratios ratios = {{Effort::kGuesses, 0.8}, {Effort::kAlternatives, 0.8}};
    ratios[best] = 0.6;
    EffortChoice choice;
    run(choice, ratios, 1000);
    EXPECT_GT(run(choice, ratios, 10'000).passes[best], 9'500);
  }
}

TEST(EffortChoice, WhereNothingHelpsItCostsNextToNothing) {
  const Ratios ratios = {{Effort::kGuesses, 1.3}, {Effort::kAlternatives, 1.5}};
  EffortChoice choice;
  EXPECT_LT(run(choice, ratios, 1000).over_plain(1000), 1.08);
  EXPECT_LT(run(choice, ratios, 10'000).over_plain(10'000), 1.015);
}

TEST(EffortChoice, ALittleIsNoGain) {
  const Ratios ratios = {{Effort::kGuesses, 0.97}, {Effort::kAlternatives, 1}};
  EffortChoice choice;
  EXPECT_GT(run(choice, ratios, 10'000).passes[Effort::kPlain], 9'500);
}

TEST(EffortChoice, FollowsTheText) {
  const Ratios good = {{Effort::kGuesses, 0.7}, {Effort::kAlternatives, 0.6}};
  const Ratios bad = {{Effort::kGuesses, 1.2}, {Effort::kAlternatives, 1.2}};
  EffortChoice choice;
  run(choice, good, 5000);
  EXPECT_EQ(choice.now(), Effort::kAlternatives);
  run(choice, bad, 600);
  EXPECT_EQ(choice.now(), Effort::kPlain) << "though the next trial is far";
  run(choice, bad, 20'000);
  run(choice, good, 4000);
  EXPECT_NE(choice.now(), Effort::kPlain);
}

}  // namespace
}  // namespace looplm
