#include "experiments/faithfulness/observation.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "looplm/interchange.h"

#include "base/check.h"

namespace looplm {
namespace {

// Shares of items for which `equal(item's answers, i, j)`.
template <typename Equal>
std::vector<std::vector<double>> agreement(const Observation& seen, Equal equal) {
  const auto loops = static_cast<size_t>(seen.loops);
  std::vector<std::vector<double>> shares(loops, std::vector<double>(loops));
  for (const std::vector<int>& answers : seen.answers) {
    for (size_t i = 0; i < loops; ++i) {
      for (size_t j = 0; j < loops; ++j) shares[i][j] += equal(answers[i], answers[j]) ? 1 : 0;
    }
  }
  for (std::vector<double>& row : shares) {
    for (double& share : row) share /= static_cast<double>(seen.answers.size());
  }
  return shares;
}

}  // namespace

Result<Observation> observe(Model& model, const AnswerTask& task, int64_t loops,
                            const std::function<bool(double)>& progress) {
  Observation seen;
  seen.loops = loops;
  seen.layers = model.config().layers;
  seen.width = static_cast<size_t>(model.config().hidden_size);
  for (const AnswerItem& item : task.items) {
    const auto text = read_states(model, item.ids, loops);
    if (!text.ok()) {
      return text.status().with_context(
          fmt::format("{}, item {}", task.name, seen.answers.size() + 1));
    }
    const TextStates& states = text.value();
    std::vector<int> answers;
    std::vector<float> last;
    for (int64_t t = 0; t < loops; ++t) {
      answers.push_back(task.choices.best(states.logits_after(t)));
      for (int64_t layer = 0; layer < seen.layers; ++layer) {
        const std::span<const float> state = states.state(t, layer, states.positions - 1);
        last.insert(last.end(), state.begin(), state.end());
      }
    }
    seen.answers.push_back(std::move(answers));
    seen.states.push_back(std::move(last));
    if (!progress(static_cast<double>(seen.answers.size()) /
                  static_cast<double>(task.items.size()))) {
      return Status(StatusCode::kCancelled, "stopped");
    }
  }
  return seen;
}

std::vector<double> accuracy_by_loop(const AnswerTask& task, const Observation& seen) {
  std::vector<double> right(static_cast<size_t>(seen.loops));
  double known = 0;
  for (size_t i = 0; i < seen.answers.size(); ++i) {
    if (task.items[i].truth < 0) continue;
    ++known;
    for (size_t t = 0; t < right.size(); ++t) {
      right[t] += seen.answers[i][t] == task.items[i].truth ? 1 : 0;
    }
  }
  for (double& share : right) share /= known;
  return right;
}

std::vector<std::vector<double>> label_agreement(const AnswerTask& task, const Observation& seen) {
  const std::vector<uint8_t>& labels = task.choices.labels;
  return agreement(seen, [&](int a, int b) {
    return labels[static_cast<size_t>(a)] == labels[static_cast<size_t>(b)];
  });
}

std::vector<std::vector<double>> answer_agreement(const Observation& seen) {
  return agreement(seen, [](int a, int b) { return a == b; });
}

Result<std::vector<double>> probe_layers(const AnswerTask& task, const Observation& seen,
                                         int64_t target, const CrossValidation& folds,
                                         const ProbeOptions& options) {
  LOOPLM_CHECK(target >= 1 && target <= seen.loops);
  LabelledStates data;
  data.width = seen.width;
  size_t ones = 0;
  for (const std::vector<int>& answers : seen.answers) {
    const auto answer = static_cast<size_t>(answers[static_cast<size_t>(target - 1)]);
    data.labels.push_back(task.choices.labels[answer]);
    ones += data.labels.back();
  }
  const auto unrolled = static_cast<size_t>(seen.loops * seen.layers);
  if (std::min(ones, data.labels.size() - ones) < folds.folds) {
    return std::vector<double>(unrolled, std::nan(""));
  }
  std::vector<double> auc;
  for (size_t l = 0; l < unrolled; ++l) {
    data.states.clear();
    for (const std::vector<float>& states : seen.states) {
      const auto first = states.begin() + static_cast<ptrdiff_t>(l * seen.width);
      data.states.insert(data.states.end(), first, first + static_cast<ptrdiff_t>(seen.width));
    }
    LOOPLM_ASSIGN_OR_RETURN(const ProbeQuality quality, cross_validate_probe(data, folds, options));
    auc.push_back(quality.auc);
  }
  return auc;
}

}  // namespace looplm
