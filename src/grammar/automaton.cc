#include "grammar/automaton.h"

#include <algorithm>
#include <unordered_set>

namespace looplm {
namespace {

using StateKind = GrammarProgram::State::Kind;

constexpr size_t kMostReadings = 16'384;  // items of a state
constexpr size_t kMostSteps = 200'000;    // of one closure

size_t mixed(size_t seed, uint64_t value) {
  return (seed ^ (value + 0x9E3779B97F4A7C15ULL + (seed << 6) + (seed >> 2))) *
         0xBF58476D1CE4E5B9ULL;
}

template <typename T>
void make_set(std::vector<T>& values) {
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
}

}  // namespace

size_t GrammarAutomaton::FrameHash::operator()(const Frame& f) const {
  return mixed(mixed(static_cast<size_t>(f.state), static_cast<uint64_t>(f.parent)),
               static_cast<uint64_t>(f.counter));
}

// Follows everything that reads no byte, from any number of places.
class GrammarAutomaton::Closure {
 public:
  explicit Closure(GrammarAutomaton& automaton) : automaton_(automaton) {}

  void add(int32_t state, int32_t frame) {
    pending_.push_back({state, frame});
    while (!pending_.empty()) {
      const Place place = pending_.back();
      pending_.pop_back();
      ++automaton_.work_;
      if (seen_.size() > kMostSteps || items_.size() > kMostReadings) {
        overflowed_ = true;
        return;
      }
      if (seen_.insert(place).second) follow(place);
    }
  }

  bool overflowed() const { return overflowed_; }

  StateId finish() {
    if (overflowed_) return kLost;
    make_set(items_);
    return automaton_.state_of(std::move(items_), accepts_);
  }

 private:
  struct Place {
    int32_t state;
    int32_t frame;
    int64_t counter = 0;
    // Frames on the top of the stack that were pushed since the last byte. Frames of one content
    // are stored once, so the frame itself cannot tell.
    int32_t fresh = 0;
    bool operator==(const Place&) const = default;
  };
  struct PlaceHash {
    size_t operator()(const Place& p) const {
      return mixed(FrameHash()({p.state, p.frame, p.counter}), static_cast<uint64_t>(p.fresh));
    }
  };

  const GrammarProgram::State& program_state(int32_t state) const {
    return automaton_.program_->states[static_cast<size_t>(state)];
  }

  void follow(const Place& place) {
    const GrammarProgram::State& s = program_state(place.state);
    switch (s.kind) {
      case StateKind::kBytes:
        items_.push_back({place.state, place.frame});
        return;
      case StateKind::kSplit:
        for (int32_t target : s.targets) {
          pending_.push_back({target, place.frame, 0, place.fresh});
        }
        return;
      case StateKind::kCall:
        // A call at the end of a rule needs no frame, so that right recursion takes no stack.
        if (program_state(s.next).kind == StateKind::kEnd) {
          pending_.push_back({s.body, place.frame, 0, place.fresh});
        } else {
          enter(s.body, {s.next, place.frame, 0}, place.fresh);
        }
        return;
      case StateKind::kRepeat:
        if (place.counter >= s.least) pending_.push_back({s.next, place.frame, 0, place.fresh});
        if (s.most == kUnbounded || place.counter < s.most) {
          // Beyond the least an unbounded repeat counts no more.
          const int64_t count =
              s.most == kUnbounded ? std::min(place.counter + 1, s.least) : place.counter + 1;
          enter(s.body, {place.state, place.frame, count}, place.fresh);
        }
        return;
      case StateKind::kEnd:
        leave(place);
        return;
    }
  }

  void enter(int32_t body, const Frame& frame, int32_t fresh) {
    pending_.push_back({body, automaton_.frame_of(frame), 0, fresh + 1});
  }

  void leave(const Place& place) {
    if (place.frame == kNoFrame) {
      accepts_ = true;
      return;
    }
    const Frame f = automaton_.frames_[static_cast<size_t>(place.frame)];
    const GrammarProgram::State& s = program_state(f.state);
    const int32_t fresh = std::max(0, place.fresh - 1);
    if (s.kind == StateKind::kRepeat && place.fresh > 0) {
      // The body has matched nothing; all that are left may do the same.
      pending_.push_back({s.next, f.parent, 0, fresh});
    } else {
      pending_.push_back({f.state, f.parent, f.counter, fresh});
    }
  }

  GrammarAutomaton& automaton_;
  std::vector<Place> pending_;
  std::unordered_set<Place, PlaceHash> seen_;
  std::vector<Item> items_;
  bool accepts_ = false;
  bool overflowed_ = false;
};

GrammarAutomaton::GrammarAutomaton(std::shared_ptr<const GrammarProgram> program)
    : program_(std::move(program)) {
  frames_.emplace_back();  // kNoFrame
  // Every byte leads back to them.
  for (const StateId end : {kDead, kLost}) {
    states_.emplace_back();
    states_.back().after.assign(256, end);
  }
}

GrammarAutomaton::StateId GrammarAutomaton::start() {
  if (start_ == kUnknown) {
    Closure closure(*this);
    closure.add(program_->start, kNoFrame);
    start_ = closure.finish();
  }
  return start_;
}

GrammarAutomaton::StateId GrammarAutomaton::step(StateId state, uint8_t byte) {
  Closure closure(*this);
  // By index: the closure may add frames and states.
  const size_t count = states_[static_cast<size_t>(state)].items.size();
  work_ += static_cast<int64_t>(count / 16);  // to look at one is quick
  for (size_t i = 0; i < count && !closure.overflowed(); ++i) {
    const Item item = states_[static_cast<size_t>(state)].items[i];
    for (const GrammarProgram::Edge& edge :
         program_->states[static_cast<size_t>(item.state)].edges) {
      if (edge.first <= byte && byte <= edge.last) closure.add(edge.target, item.frame);
    }
  }
  const StateId result = closure.finish();
  std::vector<StateId>& row = states_[static_cast<size_t>(state)].after;
  if (row.empty()) {
    row.assign(256, kUnknown);
    memory_ += 256 * sizeof(StateId);
  }
  row[byte] = result;
  return result;
}

int32_t GrammarAutomaton::frame_of(const Frame& frame) {
  const auto [place, fresh] = frame_ids_.try_emplace(frame, static_cast<int32_t>(frames_.size()));
  if (fresh) {
    frames_.push_back(frame);
    memory_ += 3 * sizeof(Frame);
  }
  return place->second;
}

GrammarAutomaton::StateId GrammarAutomaton::state_of(std::vector<Item> items, bool accepts) {
  if (items.empty() && !accepts) return kDead;
  size_t hash = accepts ? 1 : 0;
  for (const Item& item : items) {
    hash = mixed(mixed(hash, static_cast<uint64_t>(item.state)), static_cast<uint64_t>(item.frame));
  }
  const auto [first, last] = state_ids_.equal_range(hash);
  for (auto known = first; known != last; ++known) {
    const State& s = states_[static_cast<size_t>(known->second)];
    if (s.accepts == accepts && s.items == items) return known->second;
  }
  const auto id = static_cast<StateId>(states_.size());
  memory_ += sizeof(State) + items.size() * sizeof(Item) + 64;
  states_.push_back({std::move(items), accepts, {}});
  state_ids_.emplace(hash, id);
  return id;
}

int32_t GrammarAutomaton::canonical_frame(int32_t frame, int64_t bytes, FrameMap& changed) {
  // Iterative, as stacks may be deep: from the top down to what they share, then rebuilt upwards.
  std::vector<int32_t> chain;
  int32_t parent = kNoFrame;
  for (int32_t f = frame; f != kNoFrame; f = frames_[static_cast<size_t>(f)].parent) {
    if (const auto known = changed.find(f); known != changed.end()) {
      parent = known->second;
      break;
    }
    chain.push_back(f);
  }
  work_ += static_cast<int64_t>(chain.size());
  for (auto f = chain.rbegin(); f != chain.rend(); ++f) {
    Frame copy = frames_[static_cast<size_t>(*f)];
    copy.parent = parent;
    const GrammarProgram::State& s = program_->states[static_cast<size_t>(copy.state)];
    if (s.kind == StateKind::kRepeat) {
      // Each of the next repetitions reads a byte at least; `counter` of them have begun.
      const bool far_below = copy.counter + bytes < s.least;
      const bool above = copy.counter >= s.least;
      const bool far_from_most = s.most == kUnbounded || copy.counter + bytes < s.most;
      if (far_below && far_from_most) {
        copy.counter = std::min<int64_t>(1, copy.counter);
      } else if (above && far_from_most) {
        copy.counter = s.least;
      }
    }
    parent = frame_of(copy);
    changed.emplace(*f, parent);
  }
  return parent;
}

GrammarAutomaton::StateId GrammarAutomaton::canonical(StateId state, int64_t bytes) {
  if (state == kLost) return kLost;
  const State& s = states_[static_cast<size_t>(state)];
  std::vector<Item> items = s.items;
  const bool accepts = s.accepts;
  FrameMap changed;
  for (Item& item : items) item.frame = canonical_frame(item.frame, bytes, changed);
  make_set(items);
  return state_of(std::move(items), accepts);
}

int32_t GrammarAutomaton::move_frame(GrammarAutomaton& other, int32_t frame,
                                     FrameMap& moved) const {
  std::vector<int32_t> chain;
  int32_t parent = kNoFrame;
  for (int32_t f = frame; f != kNoFrame; f = frames_[static_cast<size_t>(f)].parent) {
    if (const auto known = moved.find(f); known != moved.end()) {
      parent = known->second;
      break;
    }
    chain.push_back(f);
  }
  for (auto f = chain.rbegin(); f != chain.rend(); ++f) {
    Frame copy = frames_[static_cast<size_t>(*f)];
    copy.parent = parent;
    parent = other.frame_of(copy);
    moved.emplace(*f, parent);
  }
  return parent;
}

GrammarAutomaton::StateId GrammarAutomaton::moved_to(GrammarAutomaton& other, StateId state) const {
  if (state == kLost) return kLost;
  const State& s = states_[static_cast<size_t>(state)];
  FrameMap moved;
  std::vector<Item> items = s.items;
  for (Item& item : items) item.frame = move_frame(other, item.frame, moved);
  std::sort(items.begin(), items.end());
  return other.state_of(std::move(items), s.accepts);
}

}  // namespace looplm
