// A request's text as its wavefront reads it, and the pages that it takes.
#include <algorithm>

#include "infer/wavefront.h"

namespace looplm {

std::vector<int32_t> Wavefront::ids(int64_t positions) const {
  std::vector<int32_t> ids = request_.prompt;
  ids.insert(ids.end(), queue_.tokens().begin(), queue_.tokens().end());
  ids.resize(static_cast<size_t>(positions));
  return ids;
}

int64_t Wavefront::most_positions() const {
  return prompt_size() + std::max<int64_t>(0, request_.options.max_tokens - 1);
}

int64_t Wavefront::shareable_positions() const {
  if (reads_as_decoded() || cache_.shared()) return 0;
  const int64_t next = text_started_ < text_size_ ? text_started_ : prompt_size() + fed_;
  const int64_t ended = flight_.empty() ? next : flight_.front().index;
  return keeps_all_loops() ? ended : std::min(ended, prompt_size());
}

bool Wavefront::wants_prompt_reading(int64_t position) const {
  const ReadOutPlan& plan = request_.options.plan;
  return plan.prompt != ReadLoops::kNone && position < prompt_size() &&
         position >= plan.first + static_cast<int64_t>(prompt_readings_.size());
}

int64_t Wavefront::adoptable_positions() const {
  if (reads_as_decoded()) return 0;
  const ReadOutPlan& plan = request_.options.plan;
  int64_t positions = text_size_ - 1;
  if (wants_prompt_reading(prompt_size() - 1)) {
    positions = std::min(positions, plan.first + static_cast<int64_t>(prompt_readings_.size()));
  }
  if (plan.embedding != Pooling::kNone && pooled_positions_ < prompt_size()) {
    const bool mean = plan.embedding == Pooling::kMean;
    positions = std::min(positions, mean ? pooled_positions_ : prompt_size() - 1);
  }
  return positions;
}

void Wavefront::adopted(int64_t positions) {
  text_started_ = positions;
  if (statistics_.preemptions == 0) {
    statistics_.cached_prompt_tokens = std::min(positions, prompt_size());
  }
}

bool Wavefront::take_text_end() {
  if (text_end_taken_ || reading() || reads_as_decoded()) return false;
  text_end_taken_ = true;
  return true;
}

int64_t Wavefront::pages_for_pass(int64_t quota) {
  int64_t pages = 0;
  const auto add = [&](int64_t loop, int64_t first, int64_t end) {
    // The planes after its exit are written when the position has ended.
    const bool repeats = request_.options.kv == KvPolicy::kLastExited && under_policy(first);
    for (int64_t t = loop; t < (repeats ? max_loops_ : loop + 1); ++t) {
      pages += cache_.pages_to_store(t, first, end);
    }
  };
  for (size_t i = 0; i < flight_.size();) {
    size_t end = i + 1;
    while (end < flight_.size() && flight_[end].loops == flight_[i].loops) ++end;
    add(flight_[i].loops, flight_[i].index, flight_[end - 1].index + 1);
    i = end;
  }
  if (const int64_t chunk = next_chunk(quota); chunk > 0) {
    add(0, text_started_, text_started_ + chunk);
  } else if (starts_certain()) {
    if (!keeps_all_loops() && fed_ == 0) pages += cache_.pages_to_share(request_.options.kv);
    add(0, prompt_size() + fed_, prompt_size() + fed_ + 1);
  }
  return pages + static_cast<int64_t>(alternatives_.size()) * pages_of_alternative();
}

int64_t Wavefront::pages_soon() const {
  const bool text = reading();
  int64_t positions = text ? text_size_ : prompt_size() + fed_;
  // Pages of output are small beside those of a text with a plane per loop, where they are fewer.
  const bool one_plane_later = text && !cache_.shared() && kv_planes(request_.options.kv, 2) == 1;
  if (!one_plane_later) positions = std::min(positions + kPagePositions, most_positions());
  int64_t pages = pages_for(positions) * cache_.planes() * cache_.layers();
  if (one_plane_later && request_.options.kv == KvPolicy::kMean) {
    pages += pages_for(positions) * cache_.layers();
  }
  return std::max<int64_t>(0, pages - cache_.pages());
}

void Wavefront::restart(bool readings) {
  drop_positions();
  queue_.take_back(queue_.reported());
  guessed_.clear();
  guesses_at_end_ = 0;
  cache_.reset();
  if (reads_as_decoded()) cache_.share_planes(request_.options.kv);
  // Other policies' keys and values depend on how they were generated: that is done again.
  const bool reads_output = keeps_all_loops() && !over_;
  text_size_ = prompt_size() + (reads_output ? queue_.reported() : 0);
  text_started_ = 0;
  text_end_taken_ = false;
  fed_ = text_size_ - prompt_size();
  if (readings) {
    prompt_readings_.clear();
    pooled_.clear();
    pooled_positions_ = 0;
  } else {
    ++statistics_.preemptions;
  }
}

}  // namespace looplm
