#include "infer/lane_arena.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace looplm {

LaneArena::LaneArena(const ModelConfig& config)
    : width_(config.hidden_size), separate_(!config.norm_between_loops) {}

void LaneArena::grow(int64_t used) {
  const auto floats = static_cast<size_t>(used * width_);
  if (floats <= states_.size()) return;
  const size_t capacity = std::max(floats, 2 * states_.size());
  const auto larger = [&](Buffer<float>& from) {
    Buffer<float> to(capacity);
    std::copy(from.begin(), from.end(), to.begin());
    from = std::move(to);
  };
  larger(states_);
  if (separate_) larger(normed_);
}

void LaneArena::acquire(int32_t* holder) {
  grow(used() + 1);
  *holder = static_cast<int32_t>(used());
  holders_.push_back(holder);
}

void LaneArena::release(int32_t* holder) {
  const auto slot = static_cast<size_t>(*holder);
  LOOPLM_CHECK(slot < holders_.size() && holders_[slot] == holder);
  const size_t last = holders_.size() - 1;
  if (slot != last) {
    std::copy_n(state(static_cast<int64_t>(last)), width_, state(*holder));
    if (separate_) std::copy_n(normed(static_cast<int64_t>(last)), width_, normed(*holder));
    holders_[slot] = holders_[last];
    *holders_[slot] = static_cast<int32_t>(slot);
  }
  holders_.pop_back();
  *holder = -1;
}

void LaneArena::pass_on(int32_t* from, int32_t* to) {
  LOOPLM_CHECK(holders_.at(static_cast<size_t>(*from)) == from);
  *to = std::exchange(*from, -1);
  holders_[static_cast<size_t>(*to)] = to;
}

void LaneArena::resize(int64_t used) {
  LOOPLM_CHECK(std::ranges::all_of(holders_, [](const int32_t* h) { return h == nullptr; }));
  grow(used);
  holders_.assign(static_cast<size_t>(used), nullptr);
}

}  // namespace looplm
