#include "experiments/core/linear_probe.h"

#include <cmath>
#include <numeric>

#include <gmock/gmock.h>

#include "base/rng.h"

namespace looplm {
namespace {

std::vector<size_t> rows_of(const LabelledStates& data) {
  std::vector<size_t> rows(data.examples());
  std::iota(rows.begin(), rows.end(), size_t{0});
  return rows;
}

// Two clouds of deviation 1 whose means are `apart` from each other along every element.
LabelledStates clouds(size_t per_class, size_t width, double apart, uint64_t seed) {
  LabelledStates data;
  Rng rng(seed);
  for (size_t i = 0; i < 2 * per_class; ++i) {
    const auto label = static_cast<uint8_t>(i % 2);
    std::vector<float> x;
    for (size_t j = 0; j < width; ++j) {
      x.push_back(rng.normal() + static_cast<float>(label == 1 ? apart : 0));
    }
    data.add(x, label);
  }
  return data;
}

// Slope of the loss in the docs at the probe, by element of the standardised features, then bias.
std::vector<double> slope_at(const LabelledStates& data, const LinearProbe& probe, double penalty) {
  const auto n = static_cast<double>(data.examples());
  std::vector<double> slope(data.width + 1);
  for (size_t j = 0; j < data.width; ++j) {
    double mean = 0, square = 0;
    for (size_t i = 0; i < data.examples(); ++i) mean += static_cast<double>(data.state(i)[j]) / n;
    for (size_t i = 0; i < data.examples(); ++i) {
      square += std::pow(static_cast<double>(data.state(i)[j]) - mean, 2) / n;
    }
    const double deviation = std::sqrt(square);
    for (size_t i = 0; i < data.examples(); ++i) {
      const double p = 1 / (1 + std::exp(-probe.score(data.state(i))));
      slope[j] += (p - data.labels[i]) * (static_cast<double>(data.state(i)[j]) - mean) / deviation;
    }
    slope[j] += penalty * probe.weights()[j] * deviation;
  }
  for (size_t i = 0; i < data.examples(); ++i) {
    slope[data.width] += 1 / (1 + std::exp(-probe.score(data.state(i)))) - data.labels[i];
  }
  return slope;
}

TEST(LinearProbe, FitIsTheMinimumOfTheStatedLoss) {
  for (size_t width : {size_t{3}, size_t{40}}) {  // fewer and more elements than examples
    for (double penalty : {0.01, 1.0, 100.0}) {
      const LabelledStates data = clouds(15, width, 0.5, 7);
      const LinearProbe probe = LinearProbe::fit(data, rows_of(data), {penalty}).value();
      for (double s : slope_at(data, probe, penalty)) EXPECT_NEAR(s, 0, 1e-6) << penalty;
    }
  }
}

TEST(LinearProbe, FindsTheWeightsThatMadeTheLabels) {
  LabelledStates data;
  Rng rng(3);
  for (int i = 0; i < 20000; ++i) {
    const float x[2] = {rng.normal(), 2 + 3 * rng.normal()};
    const double odds = 1.5 * static_cast<double>(x[0]) - 0.5 * static_cast<double>(x[1]) + 0.7;
    const double u = rng.next_u32() * 0x1p-32;
    data.add(x, u < 1 / (1 + std::exp(-odds)) ? 1 : 0);
  }
  const LinearProbe probe = LinearProbe::fit(data, rows_of(data), {1e-3}).value();
  EXPECT_NEAR(probe.weights()[0], 1.5, 0.08);
  EXPECT_NEAR(probe.weights()[1], -0.5, 0.03);
  EXPECT_NEAR(probe.bias(), 0.7, 0.1);
}

TEST(LinearProbe, SeparableDataAndConstantElementsAreFine) {
  LabelledStates data;
  for (int i = 0; i < 10; ++i) {
    const float x[3] = {static_cast<float>(i < 5 ? i : i + 10), 1e6f, 0};
    data.add(x, i < 5 ? 0 : 1);
  }
  const LinearProbe probe = LinearProbe::fit(data, rows_of(data), {1e-6}).value();
  for (size_t i = 0; i < 10; ++i) EXPECT_EQ(probe.score(data.state(i)) > 0, i >= 5) << i;
  EXPECT_EQ(probe.weights()[1], 0);
  EXPECT_EQ(probe.weights()[2], 0);
}

TEST(RocAuc, CountsPairsAndHalvesTies) {
  const std::vector<uint8_t> labels = {0, 0, 1, 1};
  EXPECT_DOUBLE_EQ(roc_auc(std::vector<double>{1, 2, 3, 4}, labels), 1);
  EXPECT_DOUBLE_EQ(roc_auc(std::vector<double>{4, 3, 2, 1}, labels), 0);
  EXPECT_DOUBLE_EQ(roc_auc(std::vector<double>{1, 3, 2, 4}, labels), 0.75);
  EXPECT_DOUBLE_EQ(roc_auc(std::vector<double>{1, 3, 3, 4}, labels), 0.875);
  EXPECT_DOUBLE_EQ(roc_auc(std::vector<double>{5, 5, 5, 5}, labels), 0.5);
  EXPECT_TRUE(std::isnan(roc_auc(std::vector<double>{1, 2}, std::vector<uint8_t>{1, 1})));
}

TEST(CrossValidatedProbe, ApproachesTheBestThatTheCloudsAllow) {
  // Means 2 deviations apart along one direction: the best hyperplane is right with probability
  // Phi(1) = 0.8413, and its AUC is Phi(sqrt(2)) = 0.9214.
  const LabelledStates data = clouds(2000, 1, 2, 11);
  const ProbeQuality q = cross_validate_probe(data, {10, 1}).value();
  EXPECT_NEAR(q.accuracy, 0.8413, 0.02);
  EXPECT_NEAR(q.auc, 0.9214, 0.015);
}

// More elements than examples fit any labels, so only scores that were really held out stay at
// chance.
TEST(CrossValidatedProbe, LabelsThatMeanNothingGiveChance) {
  const LabelledStates data = clouds(150, 400, 0, 5);
  const LinearProbe all = LinearProbe::fit(data, rows_of(data)).value();
  for (size_t i = 0; i < data.examples(); ++i) {
    EXPECT_EQ(all.score(data.state(i)) > 0, data.labels[i] == 1);
  }
  const ProbeQuality q = cross_validate_probe(data, {5, 1}).value();
  EXPECT_NEAR(q.accuracy, 0.5, 0.1);
  EXPECT_NEAR(q.auc, 0.5, 0.12);
}

TEST(CrossValidatedProbe, DependsOnTheSeed) {
  const LabelledStates data = clouds(21, 4, 0.7, 9);
  const ProbeQuality a = cross_validate_probe(data, {3, 1}).value();
  EXPECT_EQ(a.scores, cross_validate_probe(data, {3, 1}).value().scores);
  EXPECT_NE(a.scores, cross_validate_probe(data, {3, 2}).value().scores);
}

TEST(LinearProbe, RefusesWhatCannotBeFitted) {
  using testing::HasSubstr;
  LabelledStates data = clouds(4, 2, 1, 1);
  const auto message = [&](const ProbeOptions& o, std::vector<size_t> rows) {
    return LinearProbe::fit(data, rows, o).status().message();
  };
  EXPECT_THAT(message({0}, {0, 1}), HasSubstr("penalty is 0"));
  EXPECT_THAT(message({}, {0, 2}), HasSubstr("hold 0 of class 1"));
  EXPECT_THAT(message({}, {0, 8}), HasSubstr("example 8 asked for; there are 8"));
  EXPECT_THAT(cross_validate_probe(data, {1, 1}).status().message(), HasSubstr("1 folds"));
  EXPECT_THAT(cross_validate_probe(data, {5, 1}).status().message(),
              HasSubstr("4 examples of class 0; expected 5"));
  data.labels[3] = 2;
  EXPECT_THAT(message({}, {0, 1}), HasSubstr("label 2 of example 3"));
  data.labels[3] = 1;
  data.states[2] = NAN;
  EXPECT_THAT(message({}, {0, 1}), HasSubstr("example 1 holds nan"));
  data.states.pop_back();
  EXPECT_THAT(message({}, {0, 1}), HasSubstr("15 numbers for 8 states of width 2; expected 16"));
}

}  // namespace
}  // namespace looplm
