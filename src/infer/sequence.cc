#include "infer/sequence.h"

#include <algorithm>

#include "base/check.h"

namespace looplm {

Sequence::Sequence(PassRunner& runner, PagePool& pages, int64_t loops, KvPolicy policy)
    : runner_(runner),
      policy_(policy),
      loops_(loops),
      cache_(pages, runner.weights().config().layers, loops),
      position_kv_(policy, cache_, runner.weights().config()),
      arena_(runner.weights().config()) {}

Status Sequence::read_prompt(std::span<const int32_t> prompt, int64_t chunk,
                             const ChunkObserver& observe, BlockHook* hook) {
  LOOPLM_CHECK(chunk > 0);
  const auto total = static_cast<int64_t>(prompt.size());
  for (int64_t first = 0; first < total; first += chunk) {
    const int64_t count = std::min(chunk, total - first);
    arena_.resize(count);
    runner_.embed(prompt.subspan(static_cast<size_t>(first), static_cast<size_t>(count)),
                  arena_.state(0));
    lanes_.clear();
    for (int64_t i = 0; i < count; ++i) lanes_.push_back({&cache_, length_ + i, 0});
    for (int64_t loop = 0; loop < loops_; ++loop) {
      for (Lane& lane : lanes_) lane.loop = loop;
      runner_.run(arena_, lanes_, hook);
      const ChunkLoop seen = {length_, count, loop, arena_.normed(0), lanes_};
      if (observe) LOOPLM_RETURN_IF_ERROR(observe(seen));
    }
    length_ += count;
  }
  return {};
}

void Sequence::rewind(int64_t length) {
  LOOPLM_CHECK(length >= 0 && length <= length_);
  cache_.truncate(length);
  length_ = length;
}

void Sequence::extend(int32_t token, PositionReader& reader) {
  arena_.resize(1);
  runner_.embed({&token, 1}, arena_.state(0));
  Lane lane = {&cache_, length_, 0};
  reader.begin();
  position_kv_.begin(length_);
  int64_t loops_run = 0;
  while (loops_run < loops_) {
    lane.loop = loops_run;
    runner_.run(arena_, {&lane, 1});
    position_kv_.after_loop(loops_run);
    ++loops_run;
    // Under the full policy a position that has exited goes on: later positions need its keys and
    // values at every loop.
    if (reader.feed(runner_, loops_run, arena_.normed(0), lane.gate_logit) &&
        policy_ != KvPolicy::kFull) {
      break;
    }
  }
  position_kv_.finish(loops_run);
  ++length_;
}

}  // namespace looplm
