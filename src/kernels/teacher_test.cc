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

// Rows of three loops, the last of which may teach.
class TeacherTest : public testing::TestWithParam<Isa> {
 protected:
  void draw(uint64_t seed, float spread) {
    rng_ = Rng(seed);
    for (auto* values : {&states_, &head_}) {
      for (float& value : *values) value = spread * rng_.normal();
    }
    const MatrixSource source = {head_.data(), DType::kF32, kVocabulary, kWidth, kWidth};
    pack_rows({&source, 1}, rows_, device_);
    pack_columns({&source, 1}, columns_, device_);
    for (int32_t& target : targets_) target = static_cast<int32_t>(rng_.below(21));
  }
  // Each second row has no loss of its own; each fourth, beginning with `untaught`, has no teacher.
  void backward(const TeacherParams& teacher, size_t untaught) {
    for (size_t r = 0; r < kRows; ++r) {
      scale_[r] = r % 2 == 0 ? 0.0f : rng_.uniform();
      towards_[r] = r % 4 == untaught ? 0.0f : rng_.uniform();
    }
    std::vector<float> dstates(kRows * kWidth);
    head_loss_backward({.forward = forward_,
                        .scale = scale_.data(),
                        .head_columns = &columns_,
                        .dstates = dstates.data(),
                        .divergence_scale = towards_.data(),
                        .teacher = teacher},
                       device_);
  }

  Device device_{2, *cpu::kernel_table(GetParam())};
  Rng rng_{0};
  std::vector<float> states_ = std::vector<float>(kRows * kWidth);
  std::vector<float> head_ = std::vector<float>(kVocabulary * kWidth);
  PackedMatrix rows_{kWidth, kVocabulary, DType::kF32};
  PackedMatrix columns_{kVocabulary, kWidth, DType::kF32};
  std::vector<int32_t> targets_ = std::vector<int32_t>(kRows);
  std::vector<float> logits_ = std::vector<float>(kRows * kVocabulary);
  std::vector<float> nll_ = std::vector<float>(kRows), divergence_ = nll_;
  std::vector<float> scale_ = nll_, towards_ = nll_;
  std::vector<LogitSummary> summaries_ = std::vector<LogitSummary>(kRows);
  const HeadLossParams forward_ = {.states = states_.data(),
                                   .rows = kRows,
                                   .width = kWidth,
                                   .head = &rows_,
                                   .targets = targets_.data(),
                                   .logits = logits_.data(),
                                   .nll = nll_.data(),
                                   .summary = summaries_.data()};
};

TEST_P(TeacherTest, DivergenceAndGradientAreThoseOfTheFormula) {
  draw(8, 1);
  head_loss_forward(forward_, device_);
  const std::vector<float> kept = logits_;
  std::vector<float> teacher(kTeachers * kVocabulary);
  const int64_t first = kRows - kTeachers;
  softmax_rows(logits_.data() + first * kVocabulary, summaries_.data() + first, kTeachers,
               kVocabulary, teacher.data(), device_);
  std::vector<double> entropy;
  for (int64_t i = first; i < kRows; ++i) {
    entropy.push_back(summaries_[static_cast<size_t>(i)].entropy);
  }
  const TeacherParams by = {teacher.data(), entropy.data(), kTeachers};
  teacher_divergence(forward_, by, divergence_.data(), device_);
  backward(by, 0);
  for (int64_t r = 0; r < kRows; ++r) {
    const auto at = static_cast<size_t>(r);
    const std::vector<double> p = softmax(kept.data() + r * kVocabulary);
    const std::vector<double> q = softmax(kept.data() + (first + r % kTeachers) * kVocabulary);
    double expected = 0;
    for (size_t v = 0; v < kVocabulary; ++v) {
      expected += q[v] * std::log(q[v] / p[v]);
      const double gradient = static_cast<double>(scale_[at]) *
                                  (p[v] - (static_cast<int32_t>(v) == targets_[at] ? 1 : 0)) +
                              static_cast<double>(towards_[at]) * (p[v] - q[v]);
      EXPECT_NEAR(static_cast<double>(logits_[at * kVocabulary + v]), gradient, 2e-6);
    }
    EXPECT_NEAR(static_cast<double>(divergence_[at]), expected, 1e-5);
  }
}

// Of few ids: the others are one outcome. Also where the row itself gives them next to nothing, and
// where the teacher names every id.
TEST_P(TeacherTest, FewNamedIdsAreAFormulaToo) {
  draw(9, 2);
  for (size_t i = 0; i < kWidth; ++i) states_[i] *= 40;  // a row that is certain
  head_loss_forward(forward_, device_);
  const std::vector<float> kept = logits_;
  const std::vector<size_t> counts = {4, 1, kVocabulary};
  std::vector<std::vector<uint32_t>> ids;
  std::vector<std::vector<float>> log_p;
  std::vector<TopTokens> top;
  for (const size_t count : counts) {
    std::vector<float> said(kVocabulary);
    for (float& x : said) x = 2 * rng_.normal();
    const std::vector<double> q = softmax(said.data());
    ids.emplace_back();
    log_p.emplace_back();
    for (uint32_t v = 0; v < count; ++v) {
      ids.back().push_back((v * 5 + 2) % kVocabulary);
      log_p.back().push_back(static_cast<float>(std::log(q[ids.back().back()])));
    }
  }
  for (size_t i = 0; i < counts.size(); ++i) top.push_back({ids[i], log_p[i]});
  targets_[0] = 7;  // named
  targets_[1] = 9;  // not named
  std::vector<double> workspace(kRows);
  const TeacherParams by = {
      .teachers = kTeachers, .top = top.data(), .unnamed_log_sum = workspace.data()};
  teacher_divergence(forward_, by, divergence_.data(), device_);
  EXPECT_EQ(logits_, kept);
  backward(by, 3);
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
        kl, static_cast<double>(scale_[r]) * (log_sum - row[static_cast<size_t>(targets_[r])]) +
                static_cast<double>(towards_[r]) * kl);
  };
  for (size_t r = 0; r < kRows; ++r) {
    std::vector<double> row(kept.begin() + static_cast<ptrdiff_t>(r * kVocabulary),
                            kept.begin() + static_cast<ptrdiff_t>((r + 1) * kVocabulary));
    const double kl = loss(r, row).first;
    EXPECT_NEAR(static_cast<double>(divergence_[r]), kl, 1e-6 + 1e-6 * kl) << r;
    for (size_t v = 0; v < kVocabulary; ++v) {
      constexpr double kStep = 1e-4;
      std::vector<double> up = row, down = row;
      up[v] += kStep;
      down[v] -= kStep;
      const double slope = (loss(r, up).second - loss(r, down).second) / (2 * kStep);
      EXPECT_NEAR(static_cast<double>(logits_[r * kVocabulary + v]), slope, 3e-6) << r << " " << v;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, TeacherTest, testing::ValuesIn(available_isas()));

}  // namespace
}  // namespace looplm
