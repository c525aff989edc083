#include "serve/chat_constraint.h"

#include <algorithm>

namespace looplm {

void ChatConstraint::mask(std::span<uint32_t> allowed) {
  if (reasoning_.has_value()) {
    if (const std::optional<int32_t> forced = reasoning_->forced()) {
      std::fill(allowed.begin(), allowed.end(), 0u);
      // A tokenizer may have tokens that the model has not: then none is left.
      const size_t word = static_cast<size_t>(*forced) / 32;
      if (word < allowed.size()) allowed[word] |= uint32_t{1} << (*forced % 32);
      return;
    }
    if (reasons()) return;
  }
  if (after_ != nullptr) after_->mask(allowed);
}

void ChatConstraint::accept(int32_t token) {
  const bool in_after = !reasons() && after_ != nullptr;
  in_after_.push_back(in_after);
  if (reasoning_.has_value()) reasoning_->accept(token);
  if (in_after) after_->accept(token);
}

void ChatConstraint::forget(int64_t count) {
  const auto first = in_after_.end() - count;
  const auto of_grammar = std::count(first, in_after_.end(), true);
  in_after_.erase(first, in_after_.end());
  if (reasoning_.has_value()) reasoning_->forget(count);
  if (of_grammar > 0) after_->forget(of_grammar);
}

}  // namespace looplm
