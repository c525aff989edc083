// What an answer in a chat may be: reasoning of bounded length, then what a grammar says.
#ifndef LOOPLM_SERVE_CHAT_CONSTRAINT_H_
#define LOOPLM_SERVE_CHAT_CONSTRAINT_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "looplm/chat.h"
#include "looplm/constraint.h"

namespace looplm {

class ChatConstraint : public TokenConstraint {
 public:
  // Without `reasoning` the grammar holds from the first token; without `after` anything may follow
  // the reasoning.
  ChatConstraint(std::optional<ReasoningBudget> reasoning, std::shared_ptr<TokenConstraint> after)
      : reasoning_(std::move(reasoning)), after_(std::move(after)) {}

  void mask(std::span<uint32_t> allowed) override;
  void accept(int32_t token) override;
  void forget(int64_t count) override;
  bool finished() const override { return after_ != nullptr && after_->finished(); }
  std::string why_none() const override { return after_ == nullptr ? "" : after_->why_none(); }

 private:
  bool reasons() const { return reasoning_.has_value() && reasoning_->in_reasoning(); }

  std::optional<ReasoningBudget> reasoning_;
  std::shared_ptr<TokenConstraint> after_;
  std::vector<bool> in_after_;  // of each accepted token: it is the grammar's
};

}  // namespace looplm

#endif  // LOOPLM_SERVE_CHAT_CONSTRAINT_H_
