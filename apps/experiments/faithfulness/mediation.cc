#include "experiments/faithfulness/mediation.h"

#include <algorithm>

#include <fmt/format.h>

#include "looplm/interchange.h"

#include "base/check.h"

namespace looplm {
namespace {

constexpr SwappedPositions kPositions[] = {SwappedPositions::kAnswer, SwappedPositions::kOthers};

std::vector<int> answers_of(const AnswerChoices& choices, const std::vector<float>& logits,
                            int64_t loops) {
  const size_t vocabulary = logits.size() / static_cast<size_t>(loops);
  std::vector<int> answers;
  for (size_t t = 0; t < static_cast<size_t>(loops); ++t) {
    answers.push_back(choices.best(std::span(logits).subspan(t * vocabulary, vocabulary)));
  }
  return answers;
}

Status swap_everywhere(Model& model, const AnswerChoices& choices, const AnswerItem& item,
                       const std::vector<int32_t>& counterfactual, Mediation& m) {
  LOOPLM_ASSIGN_OR_RETURN(const TextStates own, read_states(model, item.ids, m.loops));
  LOOPLM_ASSIGN_OR_RETURN(const TextStates other, read_states(model, counterfactual, m.loops));
  const std::vector<int> own_answers = answers_of(choices, own.logits, m.loops);
  const std::vector<int> other_answers = answers_of(choices, other.logits, m.loops);
  LOOPLM_ASSIGN_OR_RETURN(Interchange text, Interchange::create(model, item.ids, m.loops));
  for (MediationRow& row : m.rows) {
    const int64_t last = own.positions - 1;
    StatePlace place = {row.loop - 1, row.layer - 1, last, last + 1};
    if (row.positions == SwappedPositions::kOthers) {
      if (last == 0) continue;
      place.first = 0;
      place.end = last;
    }
    LOOPLM_ASSIGN_OR_RETURN(const std::vector<float> logits, text.run(place, other));
    const std::vector<int> answers = answers_of(choices, logits, m.loops);
    for (size_t t = 0; t < answers.size(); ++t) {
      if (own_answers[t] == other_answers[t]) continue;
      ++row.pairs[t];
      row.follows[t] += answers[t] == other_answers[t];
      row.stays[t] += answers[t] == own_answers[t];
    }
  }
  return {};
}

}  // namespace

const MediationRow& Mediation::at(SwappedPositions positions, int64_t loop, int64_t layer) const {
  for (const MediationRow& row : rows) {
    if (row.positions == positions && row.loop == loop && row.layer == layer) return row;
  }
  LOOPLM_CHECK(false, "no row of loop {}, layer {}", loop, layer);
  return rows.front();
}

std::vector<std::vector<int32_t>> counterfactuals(const AnswerTask& task,
                                                  const std::vector<int>& answers) {
  const size_t n = task.items.size();
  std::vector<std::vector<int32_t>> all(n);
  for (size_t i = 0; i < n; ++i) {
    all[i] = task.items[i].counterfactual;
    for (size_t k = 1; k < n && all[i].empty(); ++k) {
      const size_t j = (i + k) % n;
      if (task.items[j].ids.size() == task.items[i].ids.size() && answers[j] != answers[i]) {
        all[i] = task.items[j].ids;
      }
    }
  }
  return all;
}

Result<Mediation> mediate(Model& model, const AnswerTask& task, int64_t loops, int pairs,
                          const std::function<bool(double)>& progress) {
  Mediation m;
  m.loops = loops;
  m.layers = model.config().layers;
  for (SwappedPositions positions : kPositions) {
    for (int64_t loop = 1; loop <= loops; ++loop) {
      for (int64_t layer = 1; layer <= m.layers; ++layer) {
        const std::vector<int> none(static_cast<size_t>(loops));
        m.rows.push_back({positions, loop, layer, none, none, none});
      }
    }
  }
  // Answers are needed only where counterfactuals are not given.
  std::vector<int> answers(task.items.size(), -1);
  if (std::ranges::any_of(task.items, [](const auto& i) { return i.counterfactual.empty(); })) {
    for (size_t i = 0; i < answers.size(); ++i) {
      LOOPLM_ASSIGN_OR_RETURN(const TextStates states,
                              read_states(model, task.items[i].ids, loops));
      answers[i] = task.choices.best(states.logits_after(loops - 1));
    }
  }
  const std::vector<std::vector<int32_t>> others = counterfactuals(task, answers);
  int done = 0;
  for (size_t i = 0; i < task.items.size() && done < pairs; ++i) {
    if (others[i].empty()) continue;
    const Status status = swap_everywhere(model, task.choices, task.items[i], others[i], m);
    if (!status.ok()) return status.with_context(fmt::format("{}, item {}", task.name, i + 1));
    ++done;
    if (!progress(static_cast<double>(done) / pairs)) {
      return Status(StatusCode::kCancelled, "stopped");
    }
  }
  return m;
}

}  // namespace looplm
