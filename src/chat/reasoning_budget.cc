#include <algorithm>

#include "looplm/chat.h"

#include "base/check.h"

namespace looplm {

Result<ReasoningBudget> ReasoningBudget::create(const Tokenizer& tokenizer,
                                                const ChatFormat& format, bool in_reasoning,
                                                int64_t budget) {
  ReasoningBudget made;
  made.tokenizer_ = &tokenizer;
  made.begin_ = format.reasoning_begin;
  made.end_ = format.reasoning_end;
  for (size_t n = 0; n < made.end_.size(); ++n) {
    LOOPLM_ASSIGN_OR_RETURN(std::vector<int32_t> ids,
                            tokenizer.encode(made.end_.substr(n), {.as = EncodeAs::kContinuation}));
    made.end_ids_.push_back(std::move(ids));
  }
  made.budget_ = budget;
  State first;
  if (in_reasoning) first.phase = budget == 0 ? Phase::kForcing : Phase::kInside;
  made.states_.push_back(first);
  return made;
}

ReasoningBudget::State ReasoningBudget::after(State state, int32_t id) const {
  if (state.phase == Phase::kAfter) return state;
  if (state.phase == Phase::kForcing) {
    if (++state.forced == end_ids_[state.tail].size())
      state = {.phase = Phase::kAfter, .tokens = state.tokens};
    return state;
  }
  const std::string& tag = state.phase == Phase::kBefore ? begin_ : end_;
  state.recent += tokenizer_->bytes(id);
  const size_t at = state.recent.find(tag);
  if (at != std::string::npos) {
    if (state.phase == Phase::kInside) return {.phase = Phase::kAfter, .tokens = state.tokens};
    state.phase = budget_ == 0 ? Phase::kForcing : Phase::kInside;
    state.recent.erase(0, at + tag.size());
    return state;
  }
  if (state.phase == Phase::kBefore) {
    // Reasoning stands at the beginning or nowhere.
    const size_t text = std::min(state.recent.find_first_not_of(" \n\r\t"), state.recent.size());
    const std::string_view rest = std::string_view(state.recent).substr(text);
    if (!std::string_view(tag).starts_with(rest)) return {.phase = Phase::kAfter};
    return state;
  }
  ++state.tokens;
  if (state.recent.size() >= tag.size()) {
    state.recent.erase(0, state.recent.size() - tag.size() + 1);
  }
  if (budget_ >= 0 && state.tokens >= budget_) {
    state.phase = Phase::kForcing;
    state.tail = state.recent.size();
    while (!state.recent.ends_with(std::string_view(end_).substr(0, state.tail))) --state.tail;
  }
  return state;
}

void ReasoningBudget::accept(int32_t id) { states_.push_back(after(states_.back(), id)); }

void ReasoningBudget::forget(int64_t count) {
  LOOPLM_CHECK(count >= 0 && static_cast<size_t>(count) < states_.size(),
               "{} tokens forgotten of {}", count, states_.size() - 1);
  states_.resize(states_.size() - static_cast<size_t>(count));
}

std::optional<int32_t> ReasoningBudget::forced() const {
  const State& state = states_.back();
  if (state.phase != Phase::kForcing) return std::nullopt;
  return end_ids_[state.tail][state.forced];
}

bool ReasoningBudget::in_reasoning() const {
  const Phase phase = states_.back().phase;
  return phase == Phase::kInside || phase == Phase::kForcing;
}

int64_t ReasoningBudget::reasoning_tokens() const { return states_.back().tokens; }

}  // namespace looplm
