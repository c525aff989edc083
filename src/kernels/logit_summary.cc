#include "kernels/logit_summary.h"

#include <algorithm>

#include "base/check.h"

namespace looplm {
namespace {

// Logits are summed in parts of this many, each against its own maximum, and parts are added in
// order: one row keeps several threads busy, and both passes over a part find it in the first
// cache.
constexpr int64_t kPart = 4096;
// Logits per task: some tens of microseconds.
constexpr int64_t kTaskLogits = 4 * kPart;
constexpr int64_t kSummaryTaskRows = 16;  // whose parts one task adds up

struct Row {
  const float* logits;
  int64_t vocabulary;
  const cpu::SoftmaxPart* parts;

  int64_t count() const { return (vocabulary + kPart - 1) / kPart; }
  int64_t size(int64_t part) const { return std::min(kPart, vocabulary - part * kPart); }
};

// The largest of the logits of a part without that of `best`.
float maximum_without(const Row& row, int64_t part, int64_t best, const cpu::KernelTable& kernels) {
  const float* x = row.logits + part * kPart;
  const int64_t at = best - part * kPart;
  if (at < 0 || at >= row.size(part)) return row.parts[part].most;
  const float before = kernels.maximum(x, at);
  return std::max(before, kernels.maximum(x + at + 1, row.size(part) - at - 1));
}

void find_best(const Row& row, LogitSummary& s, const cpu::KernelTable& kernels) {
  int64_t part = 0;
  for (int64_t i = 1; i < row.count(); ++i) {
    if (row.parts[i].most > row.parts[part].most) part = i;
  }
  s.best_logit = row.parts[part].most;
  const float* x = row.logits + part * kPart;
  const int64_t best =
      part * kPart + std::max<int64_t>(0, kernels.find(x, row.size(part), s.best_logit));
  s.best = static_cast<int32_t>(best);

  s.second = -1;
  s.second_logit = -INFINITY;
  for (int64_t i = 0; i < row.count(); ++i) {
    const float most = maximum_without(row, i, best, kernels);
    if (!(most > s.second_logit)) continue;
    s.second_logit = most;
    part = i;
  }
  if (s.second_logit == -INFINITY) return;
  // The first that is equal and not the best itself: before the best there is none that is as good.
  const int64_t from =
      s.second_logit == s.best_logit ? std::max(best + 1, part * kPart) : part * kPart;
  const int64_t end = part * kPart + row.size(part);
  s.second =
      static_cast<int32_t>(from + kernels.find(row.logits + from, end - from, s.second_logit));
}

void add_parts(const Row& row, LogitSummary& s) {
  const auto most = static_cast<double>(s.best_logit);
  double sum = 0, weighted = 0;  // of e^d, and of d e^d; d the distance from the best, at most 0
  s.finite = true;
  for (int64_t i = 0; i < row.count(); ++i) {
    const cpu::SoftmaxPart& part = row.parts[i];
    s.finite = s.finite && part.finite;
    if (part.sum == 0) continue;  // all are -infinity
    const double lower = static_cast<double>(part.most) - most;
    const double factor = std::exp(lower);
    const auto part_sum = static_cast<double>(part.sum);
    sum += factor * part_sum;
    weighted += factor * (static_cast<double>(part.weighted) + lower * part_sum);
  }
  const double log_total = std::log(sum);
  s.log_sum = most + log_total;
  s.entropy = log_total - weighted / sum;
  if (s.entropy < 0) s.entropy = 0;  // by rounding; NaN stays
}

}  // namespace

void logit_summary(const LogitSummaryParams& p, Device& device) {
  if (p.rows == 0) return;
  LOOPLM_CHECK(p.vocabulary > 0);
  const cpu::KernelTable& kernels = device.kernels();
  const int64_t parts = (p.vocabulary + kPart - 1) / kPart;
  static_assert(alignof(cpu::SoftmaxPart) <= alignof(float));
  auto* results = reinterpret_cast<cpu::SoftmaxPart*>(device.shared_scratch(
      static_cast<size_t>(p.rows * parts) * sizeof(cpu::SoftmaxPart) / sizeof(float)));
  const int64_t piece = std::max<int64_t>(1, kTaskLogits / std::min(kPart, p.vocabulary));
  device.for_pieces(p.rows * parts, piece, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = i % parts * kPart;
      results[i] = kernels.softmax_part(p.logits + i / parts * p.vocabulary + first,
                                        std::min(kPart, p.vocabulary - first));
    }
  });
  device.for_pieces(p.rows, kSummaryTaskRows, [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) {
      const Row row = {p.logits + r * p.vocabulary, p.vocabulary, results + r * parts};
      find_best(row, p.out[r], kernels);
      add_parts(row, p.out[r]);
    }
  });
}

}  // namespace looplm
