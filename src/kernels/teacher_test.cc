// Divergence from a teacher: its value and its gradient against double precision.
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

INSTANTIATE_TEST_SUITE_P(Isa, TeacherTest, testing::ValuesIn(available_isas()));

}  // namespace
}  // namespace looplm
