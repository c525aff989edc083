#include "infer/text_drafts.h"

#include <algorithm>
#include <array>

namespace looplm {

uint64_t TextDrafts::key(std::span<const int32_t> suffix) {
  uint64_t hash = 0;
  for (int32_t token : suffix) {
    hash = (hash ^ static_cast<uint32_t>(token)) * 0x9E3779B97F4A7C15u;
    hash ^= hash >> 32;
  }
  return hash;
}

void TextDrafts::append(std::span<const int32_t> tokens) {
  for (int32_t token : tokens) {
    if (text_.size() >= kSuffix) after_[key(std::span(text_).last(kSuffix))] = text_.size();
    text_.push_back(token);
  }
}

std::optional<int32_t> TextDrafts::next(std::span<const int32_t> later, int64_t guesses) const {
  const auto at = [&](size_t i) { return i < text_.size() ? text_[i] : later[i - text_.size()]; };
  // A guess may have become text.
  guesses = std::min(guesses, static_cast<int64_t>(later.size()));
  const size_t known = text_.size() + later.size() - static_cast<size_t>(guesses);
  if (known < kSuffix) return std::nullopt;
  std::array<int32_t, kSuffix> suffix{};
  for (size_t i = 0; i < kSuffix; ++i) suffix[i] = at(known - kSuffix + i);
  const auto found = after_.find(key(suffix));
  if (found == after_.end()) return std::nullopt;
  const size_t followed = found->second;
  for (size_t i = 0; i < kSuffix; ++i) {
    if (at(followed - kSuffix + i) != suffix[i]) return std::nullopt;
  }
  return at(followed + static_cast<size_t>(guesses));  // a guess itself, where the text overlaps
}

void TextDrafts::was_right() {
  at_once_ = std::min(kMostAtOnce, at_once_ + 1);
  chance_ += (1 - chance_) * kFade;
}

void TextDrafts::was_wrong() {
  at_once_ = 1;
  chance_ -= chance_ * kFade;
}

}  // namespace looplm
