#include "serve/grammar_constraint.h"

#include <algorithm>

namespace looplm {
namespace {

constexpr size_t kMostGrammars = 64;

}  // namespace

GrammarConstraint::GrammarConstraint(std::shared_ptr<CompiledGrammar> grammar,
                                     std::vector<int32_t> end_ids)
    : matcher_(std::move(grammar)), end_ids_(std::move(end_ids)), must_end_(matcher_.must_end()) {}

void GrammarConstraint::mask(std::span<uint32_t> allowed) {
  if (lost_at_ >= 0) {
    std::ranges::fill(allowed, 0u);
    return;
  }
  const std::shared_ptr<const TokenMask> tokens = matcher_.mask();
  if (tokens == nullptr) {
    lost_at_ = accepted_;
    std::ranges::fill(allowed, 0u);
    return;
  }
  for (size_t i = 0; i < allowed.size(); ++i) {
    const uint32_t words = i < tokens->size() ? (*tokens)[i] : 0;
    allowed[i] &= words;
  }
  if (!matcher_.may_end()) return;
  for (int32_t id : end_ids_) {
    allowed[static_cast<size_t>(id) / 32] |= uint32_t{1} << (id % 32);
  }
}

void GrammarConstraint::accept(int32_t token) {
  ++accepted_;
  if (lost_at_ >= 0) return;
  if (matcher_.accept(token)) {
    must_end_ = matcher_.must_end();
    return;
  }
  if (std::ranges::find(end_ids_, token) == end_ids_.end()) {
    // Masks are of states whose counters have been set to one value, of which there are fewer.
    lost_at_ = accepted_;
  } else if (ended_at_ < 0) {
    ended_at_ = accepted_;
  }
}

std::string GrammarConstraint::why_none() const {
  if (lost_at_ < 0) return "";
  return "the grammar can be read in too many ways here; write it so that its parts do not match "
         "the same text";
}

void GrammarConstraint::forget(int64_t count) {
  // An end, and what came after it, is not in the matcher.
  const int64_t in_matcher = matcher_.accepted();
  accepted_ -= count;
  if (ended_at_ > accepted_) ended_at_ = -1;
  if (lost_at_ > accepted_) lost_at_ = -1;
  if (in_matcher > accepted_) matcher_.forget(in_matcher - accepted_);
  must_end_ = matcher_.must_end();
}

Result<std::shared_ptr<CompiledGrammar>> GrammarCache::get(
    const std::string& key, const std::function<Result<Grammar>()>& make) {
  {
    const std::lock_guard lock(mutex_);
    for (auto entry = entries_.begin(); entry != entries_.end(); ++entry) {
      if (entry->key != key) continue;
      entries_.splice(entries_.begin(), entries_, entry);
      trim();
      return entries_.front().grammar;
    }
  }
  // Outside the lock: a hard grammar holds up nobody else. Two who ask at once both do the work.
  LOOPLM_ASSIGN_OR_RETURN(const Grammar grammar, make());
  LOOPLM_ASSIGN_OR_RETURN(std::shared_ptr<CompiledGrammar> compiled,
                          CompiledGrammar::compile(grammar, vocabulary_));
  const std::lock_guard lock(mutex_);
  entries_.push_front({key, compiled});
  trim();
  return compiled;
}

void GrammarCache::trim() {
  size_t bytes = 0;
  size_t count = 0;
  auto entry = entries_.begin();
  for (; entry != entries_.end(); ++entry, ++count) {
    bytes += entry->grammar->memory() + entry->key.size();
    if (count > 0 && (count == kMostGrammars || bytes > most_bytes_)) break;
  }
  entries_.erase(entry, entries_.end());
}

}  // namespace looplm
