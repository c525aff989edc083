#include "experiments/core/pca.h"

#include <cmath>

#include <gmock/gmock.h>

#include "base/rng.h"
#include "experiments/core/labelled_states.h"

namespace looplm {
namespace {

// Along (3, 4)/5 by `deviation`, across it by 1, around (10, -20).
std::vector<float> ellipse(size_t n, float deviation) {
  std::vector<float> x;
  Rng rng(4);
  for (size_t i = 0; i < n; ++i) {
    const float along = deviation * rng.normal();
    const float across = rng.normal();
    x.push_back(10 + 0.6f * along - 0.8f * across);
    x.push_back(-20 + 0.8f * along + 0.6f * across);
  }
  return x;
}

TEST(Pca, FindsTheAxesOfAnEllipse) {
  const std::vector<float> x = ellipse(20000, 3);
  const Pca pca = principal_components(x, 2, 2).value();
  EXPECT_NEAR(pca.directions[0], 0.6, 0.01);
  EXPECT_NEAR(pca.directions[1], 0.8, 0.01);
  EXPECT_NEAR(pca.directions[2], 0.8, 0.01);  // the larger element is the positive one
  EXPECT_NEAR(pca.directions[3], -0.6, 0.01);
  EXPECT_NEAR(pca.mean[0], 10, 0.1);
  EXPECT_NEAR(pca.mean[1], -20, 0.1);
  EXPECT_NEAR(pca.share[0], 0.9, 0.01);
  EXPECT_NEAR(pca.share[0] + pca.share[1], 1, 1e-12);
}

TEST(Pca, ProjectionsKeepDistancesAndSumToTheVectors) {
  const std::vector<float> x = ellipse(50, 2);
  const Pca pca = principal_components(x, 2, 2).value();
  for (size_t i = 0; i < 50; ++i) {
    for (size_t j = 0; j < 2; ++j) {
      const double back = pca.mean[j] + pca.projected[2 * i] * pca.directions[j] +
                          pca.projected[2 * i + 1] * pca.directions[2 + j];
      EXPECT_NEAR(back, static_cast<double>(x[2 * i + j]), 1e-9);
    }
  }
}

TEST(Pca, FewerVectorsThanElements) {
  const std::vector<float> x = {1, 0, 0, 0, -1, 0, 0, 0, 0, 0, 0, 0};  // three of width 4
  const Pca pca = principal_components(x, 4, 2).value();
  EXPECT_NEAR(pca.directions[0], 1, 1e-12);
  EXPECT_NEAR(pca.share[0], 1, 1e-12);
  EXPECT_NEAR(pca.projected[0], 1, 1e-12);
  EXPECT_NEAR(pca.projected[2], -1, 1e-12);
}

TEST(Pca, RefusesWhatHasNoComponents) {
  using testing::HasSubstr;
  const std::vector<float> x = {1, 2, 3, 4};
  const auto message = [&](std::vector<float> v, size_t width, size_t components) {
    return principal_components(v, width, components).status().message();
  };
  EXPECT_THAT(message(x, 3, 1), HasSubstr("4 numbers in vectors of 3"));
  EXPECT_THAT(message(x, 4, 1), HasSubstr("two or more"));
  EXPECT_THAT(message(x, 2, 3), HasSubstr("3 components of 2 vectors of 2; expected 1 to 2"));
  EXPECT_THAT(message(x, 2, 0), HasSubstr("0 components"));
  EXPECT_THAT(message({1, 2, INFINITY, 4}, 2, 1), HasSubstr("vector 1 holds inf"));
}

TEST(Silhouette, OfFourPointsByHand) {
  LabelledStates data;
  for (float x : {0.0f, 1.0f}) data.add({&x, 1}, 0);
  for (float x : {4.0f, 6.0f}) data.add({&x, 1}, 1);
  // a = 1, 1, 2, 2; b = 5, 4, 3.5, 5.5
  const double by_hand = (4.0 / 5 + 3.0 / 4 + 1.5 / 3.5 + 3.5 / 5.5) / 4;
  EXPECT_NEAR(silhouette(data).value(), by_hand, 1e-12);
}

TEST(Silhouette, NothingBetweenMixedCloudsAndNearlyOneForTightOnes) {
  LabelledStates mixed, apart;
  Rng rng(8);
  for (int i = 0; i < 400; ++i) {
    const auto label = static_cast<uint8_t>(i % 2);
    const float x[2] = {rng.normal(), rng.normal()};
    mixed.add(x, label);
    const float y[2] = {x[0] + (label == 1 ? 100.0f : 0.0f), x[1]};
    apart.add(y, label);
  }
  EXPECT_NEAR(silhouette(mixed).value(), 0, 0.02);
  EXPECT_GT(silhouette(apart).value(), 0.97);
  mixed.labels.assign(mixed.labels.size(), 0);
  EXPECT_THAT(silhouette(mixed).status().message(), testing::HasSubstr("0 examples of class 1"));
}

}  // namespace
}  // namespace looplm
