// Divergence from a teacher: its value and its gradient against double precision.
#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "base/cpu.h"
#include "base/rng.h"
#include "kernels/head_loss.h"

namespace looplm {
namespace {

constexpr int64_t kTeachers = 3, kRows = 9, kWidth = 8, kVocabulary = 21;

std::vector<double> softmax(const float* logits) {
  std::vector<double> p(kVocabulary);
  double sum = 0;
  for (size_t v = 0; v < p.size(); ++v) sum += p[v] = std::exp(static_cast<double>(logits[v]));
  for (double& x : p) x /= sum;
  return p;
}

// Rows of three loops, the last of which teaches.
class TeacherTest : public testing::TestWithParam<Isa> {};

TEST_P(TeacherTest, DivergenceAndGradientAreThoseOfTheFormula) {
  Device device(2, *cpu::kernel_table(GetParam()));
  Rng rng(8);
  std::vector<float> states(kRows * kWidth), head(kVocabulary * kWidth);
  for (auto* values : {&states, &head}) {
    for (float& value : *values) value = rng.normal();
  }
  const MatrixSource source = {head.data(), DType::kF32, kVocabulary, kWidth, kWidth};
  PackedMatrix rows(kWidth, kVocabulary, DType::kF32), columns(kVocabulary, kWidth, DType::kF32);
  pack_rows({&source, 1}, rows, device);
  pack_columns({&source, 1}, columns, device);
  std::vector<int32_t> targets;
  for (int64_t r = 0; r < kRows; ++r) targets.push_back(static_cast<int32_t>(rng.below(21)));
  std::vector<float> logits(kRows * kVocabulary), nll(kRows), divergence(kRows);
  std::vector<LogitSummary> summaries(kRows);
  const HeadLossParams forward = {.states = states.data(),
                                  .rows = kRows,
                                  .width = kWidth,
                                  .head = &rows,
                                  .targets = targets.data(),
                                  .logits = logits.data(),
                                  .nll = nll.data(),
                                  .summary = summaries.data()};
  head_loss_forward(forward, device);
  const std::vector<float> kept = logits;
  std::vector<float> teacher(kTeachers * kVocabulary);
  const int64_t first = kRows - kTeachers;
  softmax_rows(logits.data() + first * kVocabulary, summaries.data() + first, kTeachers,
               kVocabulary, teacher.data(), device);
  std::vector<double> entropy;
  for (int64_t i = first; i < kRows; ++i) {
    entropy.push_back(summaries[static_cast<size_t>(i)].entropy);
  }
  const TeacherParams by = {teacher.data(), entropy.data(), kTeachers};
  teacher_divergence(forward, by, divergence.data(), device);
  std::vector<float> scale(kRows), towards(kRows), dstates(kRows * kWidth);
  for (size_t r = 0; r < kRows; ++r) {
    scale[r] = r % 2 == 0 ? 0.0f : rng.uniform();
    towards[r] = r % 4 == 0 ? 0.0f : rng.uniform();
  }
  head_loss_backward({.forward = forward,
                      .scale = scale.data(),
                      .head_columns = &columns,
                      .dstates = dstates.data(),
                      .divergence_scale = towards.data(),
                      .teacher = by},
                     device);
  for (int64_t r = 0; r < kRows; ++r) {
    const auto at = static_cast<size_t>(r);
    const std::vector<double> p = softmax(kept.data() + r * kVocabulary);
    const std::vector<double> q = softmax(kept.data() + (first + r % kTeachers) * kVocabulary);
    double expected = 0;
    for (size_t v = 0; v < kVocabulary; ++v) {
      expected += q[v] * std::log(q[v] / p[v]);
      const double gradient = static_cast<double>(scale[at]) *
                                  (p[v] - (static_cast<int32_t>(v) == targets[at] ? 1 : 0)) +
                              static_cast<double>(towards[at]) * (p[v] - q[v]);
      EXPECT_NEAR(static_cast<double>(logits[at * kVocabulary + v]), gradient, 2e-6);
    }
    EXPECT_NEAR(static_cast<double>(divergence[at]), expected, 1e-5);
  }
}

// Of few ids: the others are one outcome. Also where the row itself gives them next to nothing, and
// where the teacher names every id.
TEST_P(TeacherTest, FewNamedIdsAreAFormulaToo) {
  Device device(2, *cpu::kernel_table(GetParam()));
  Rng rng(9);
  std::vector<float> states(kRows * kWidth), head(kVocabulary * kWidth);
  for (auto* values : {&states, &head}) {
    for (float& value : *values) value = 2 * rng.normal();
  }
  for (size_t i = 0; i < kWidth; ++i) states[i] *= 40;  // a row that is certain
  const MatrixSource source = {head.data(), DType::kF32, kVocabulary, kWidth, kWidth};
  PackedMatrix rows(kWidth, kVocabulary, DType::kF32), columns(kVocabulary, kWidth, DType::kF32);
  pack_rows({&source, 1}, rows, device);
  pack_columns({&source, 1}, columns, device);
  std::vector<int32_t> targets;
  for (int64_t r = 0; r < kRows; ++r) targets.push_back(static_cast<int32_t>(rng.below(21)));
  std::vector<float> logits(kRows * kVocabulary), nll(kRows), divergence(kRows);
  std::vector<LogitSummary> summaries(kRows);
  const HeadLossParams forward = {.states = states.data(),
                                  .rows = kRows,
                                  .width = kWidth,
                                  .head = &rows,
                                  .targets = targets.data(),
                                  .logits = logits.data(),
                                  .nll = nll.data(),
                                  .summary = summaries.data()};
  head_loss_forward(forward, device);
  const std::vector<float> kept = logits;
  const std::vector<size_t> counts = {4, 1, kVocabulary};
  std::vector<std::vector<uint32_t>> ids;
  std::vector<std::vector<float>> log_p;
  std::vector<TopTokens> top;
  for (const size_t count : counts) {
    std::vector<float> said(kVocabulary);
    for (float& x : said) x = 2 * rng.normal();
    const std::vector<double> q = softmax(said.data());
    ids.emplace_back();
    log_p.emplace_back();
    for (uint32_t v = 0; v < count; ++v) {
      ids.back().push_back((v * 5 + 2) % kVocabulary);
      log_p.back().push_back(static_cast<float>(std::log(q[ids.back().back()])));
    }
  }
  for (size_t i = 0; i < counts.size(); ++i) top.push_back({ids[i], log_p[i]});
  targets[0] = 7;  // named
  targets[1] = 9;  // not named
  std::vector<double> workspace(kRows);
  const TeacherParams by = {
      .teachers = kTeachers, .top = top.data(), .unnamed_log_sum = workspace.data()};
  teacher_divergence(forward, by, divergence.data(), device);
  EXPECT_EQ(logits, kept);
  std::vector<float> scale(kRows), towards(kRows), dstates(kRows * kWidth);
  for (size_t r = 0; r < kRows; ++r) {
    scale[r] = r % 2 == 0 ? 0.0f : rng.uniform();
    towards[r] = r % 4 == 3 ? 0.0f : rng.uniform();
  }
  head_loss_backward({.forward = forward,
                      .scale = scale.data(),
                      .head_columns = &columns,
                      .dstates = dstates.data(),
                      .divergence_scale = towards.data(),
                      .teacher = by},
                     device);
  const auto loss = [&](size_t r, const std::vector<double>& row) {
    double sum = 0, unnamed = 0, mass = 0, most = *std::max_element(row.begin(), row.end());
    for (const double x : row) sum += std::exp(x - most);
    const double log_sum = most + std::log(sum);
    const TopTokens& teacher = top[r % kTeachers];
    for (size_t v = 0; v < row.size(); ++v) {
      const bool is_named =
          std::find(teacher.ids.begin(), teacher.ids.end(), v) != teacher.ids.end();
      unnamed += is_named ? 0 : std::exp(row[v] - log_sum);
    }
    double kl = 0;
    for (size_t i = 0; i < teacher.ids.size(); ++i) {
      const auto lp = static_cast<double>(teacher.log_probabilities[i]);
      mass += std::exp(lp);
      kl += std::exp(lp) * (lp - row[teacher.ids[i]] + log_sum);
    }
    if (teacher.ids.size() < kVocabulary) kl += (1 - mass) * std::log((1 - mass) / unnamed);
    return std::pair(
        kl, static_cast<double>(scale[r]) * (log_sum - row[static_cast<size_t>(targets[r])]) +
                static_cast<double>(towards[r]) * kl);
  };
  for (size_t r = 0; r < kRows; ++r) {
    std::vector<double> row(kept.begin() + static_cast<ptrdiff_t>(r * kVocabulary),
                            kept.begin() + static_cast<ptrdiff_t>((r + 1) * kVocabulary));
    const double kl = loss(r, row).first;
    EXPECT_NEAR(static_cast<double>(divergence[r]), kl, 1e-6 + 1e-6 * kl) << r;
    for (size_t v = 0; v < kVocabulary; ++v) {
      constexpr double kStep = 1e-4;
      std::vector<double> up = row, down = row;
      up[v] += kStep;
      down[v] -= kStep;
      const double slope = (loss(r, up).second - loss(r, down).second) / (2 * kStep);
      EXPECT_NEAR(static_cast<double>(logits[r * kVocabulary + v]), slope, 3e-6) << r << " " << v;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, TeacherTest, testing::ValuesIn(available_isas()));

}  // namespace
}  // namespace looplm
