#include "infer/token_queue.h"

#include "base/check.h"

namespace looplm {

TokenQueue::TokenQueue(const Request& request, int64_t vocabulary)
    : constraint_(request.constraint.get()),
      prompt_size_(static_cast<int64_t>(request.prompt.size())),
      vocabulary_(vocabulary),
      sampler_(request.options.sampling, request.prompt) {}

TokenQueue::Place& TokenQueue::place(int64_t index) {
  LOOPLM_CHECK(index >= reported_ && index <= size(), "place {} of {}", index, size());
  const auto at = static_cast<size_t>(index - reported_);
  if (places_.size() <= at) places_.resize(at + 1);
  return places_[at];
}

const TokenQueue::Place& TokenQueue::place(int64_t index) const {
  return places_.at(static_cast<size_t>(index - reported_));
}

int64_t TokenQueue::certain() const {
  int64_t certain = reported_;
  for (const Place& p : places_) {
    if (!p.final.has_value()) break;
    ++certain;
  }
  return certain;
}

const std::vector<uint32_t>& TokenQueue::mask(int64_t index) {
  std::vector<uint32_t>& allowed = place(index).allowed;
  if (allowed.empty()) {
    LOOPLM_CHECK(index == size());
    allowed.assign(static_cast<size_t>((vocabulary_ + 31) / 32), ~uint32_t{0});
    constraint_->mask(allowed);
  }
  return allowed;
}

TokenChoice TokenQueue::choice(int64_t index, const float* logits, const LogitSummary& summary) {
  TokenChoice c = {.sampler = &sampler_,
                   .logits = logits,
                   .summary = &summary,
                   .position = prompt_size_ + index,
                   .later = std::span(tokens_).subspan(static_cast<size_t>(index))};
  if (constraint_ != nullptr) c.allowed = mask(index);
  return c;
}

bool TokenQueue::may_push(int32_t token) {
  if (constraint_ == nullptr) return true;
  return (mask(size())[static_cast<size_t>(token) / 32] >> (token % 32) & 1) != 0;
}

void TokenQueue::push(int32_t token) {
  const int64_t index = size();
  tokens_.push_back(token);
  sampler_.accept(token);
  if (constraint_ != nullptr) constraint_->accept(token);
  place(index).ends = constraint_ != nullptr && constraint_->finished();
}

void TokenQueue::take_back(int64_t index) {
  LOOPLM_CHECK(index >= reported_);
  const int64_t count = size() - index;
  if (count <= 0) return;
  for (size_t i = static_cast<size_t>(index); i < tokens_.size(); ++i) sampler_.forget(tokens_[i]);
  tokens_.resize(static_cast<size_t>(index));
  if (constraint_ != nullptr) constraint_->forget(count);
  // The mask at `index` still holds.
  Place kept = {.allowed = std::move(place(index).allowed)};
  places_.resize(static_cast<size_t>(index - reported_));
  places_.push_back(std::move(kept));
}

void TokenQueue::decide(int64_t index, GeneratedToken token, bool complete) {
  LOOPLM_CHECK(index < size() && at(index) == token.id);
  Place& p = place(index);
  p.final = std::move(token);
  p.complete = complete;
}

void TokenQueue::complete(int64_t index, std::vector<LoopReading> readings) {
  Place& p = place(index);
  LOOPLM_CHECK(p.final.has_value());
  p.final->readings = std::move(readings);
  p.complete = true;
}

std::optional<TokenQueue::Report> TokenQueue::report() {
  if (places_.empty() || !places_.front().complete) return std::nullopt;
  Report r = {*std::move(places_.front().final), places_.front().ends};
  places_.pop_front();
  ++reported_;
  return r;
}

}  // namespace looplm
