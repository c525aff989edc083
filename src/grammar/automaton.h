// The states of a text under a grammar, found as they are needed and kept.
//
// A state is every way in which the text so far can be read: a set of places in the program, each
// with a stack of where to go on. Stacks are linked frames that are stored once, and so are states;
// the state after a byte is remembered. So a grammar becomes a deterministic automaton piece by
// piece, and repetitive text (the inside of a string) stays in known states.
#ifndef LOOPLM_GRAMMAR_AUTOMATON_H_
#define LOOPLM_GRAMMAR_AUTOMATON_H_

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "grammar/program.h"

namespace looplm {

class GrammarAutomaton {
 public:
  using StateId = int32_t;
  static constexpr StateId kDead = 0;  // no text that begins like this matches
  static constexpr StateId kLost = 1;  // the text can be read in too many ways to follow them all

  explicit GrammarAutomaton(std::shared_ptr<const GrammarProgram> program);

  StateId start();
  // kLost beyond 16,384 readings, or 200,000 steps on the way to them, and for ever after.
  StateId after(StateId state, uint8_t byte) {
    const std::vector<StateId>& row = states_[static_cast<size_t>(state)].after;
    const StateId known = row.empty() ? kUnknown : row[byte];
    return known != kUnknown ? known : step(state, byte);
  }
  // Whether the text may end here, and whether it must.
  bool accepts(StateId state) const { return states_[static_cast<size_t>(state)].accepts; }
  bool ends(StateId state) const {
    const State& s = states_[static_cast<size_t>(state)];
    return s.accepts && s.items.empty();
  }

  // In how many ways the text can have been read; the next byte follows each of them.
  size_t readings(StateId state) const { return states_[static_cast<size_t>(state)].items.size(); }

  // A state that allows the same continuations of up to `bytes` bytes: counters that are farther
  // than that from their bounds are set to one value. So a string of at most 1,000 characters has
  // one mask for most of its length.
  StateId canonical(StateId state, int64_t bytes);

  // What has been done so far, in steps of some tens of nanoseconds. What is known already costs
  // none.
  int64_t work() const { return work_; }
  // Approximate bytes of what is stored.
  size_t memory() const { return memory_; }
  const std::shared_ptr<const GrammarProgram>& program() const { return program_; }
  // The same state in another automaton of the same program.
  StateId moved_to(GrammarAutomaton& other, StateId state) const;

 private:
  static constexpr StateId kUnknown = -1;
  static constexpr int32_t kNoFrame = 0;  // the bottom of a stack

  struct Frame {
    int32_t state = -1;   // where to go on
    int32_t parent = 0;   // frame below
    int64_t counter = 0;  // of a repeat
    bool operator==(const Frame&) const = default;
  };
  struct Item {
    int32_t state;
    int32_t frame;
    auto operator<=>(const Item&) const = default;  // NOLINT(modernize-use-nullptr): its own code
  };
  struct State {
    std::vector<Item> items;  // each reads a byte; ascending
    bool accepts = false;
    std::vector<StateId> after;  // by byte; empty until the first is known
  };
  struct FrameHash {
    size_t operator()(const Frame& f) const;
  };
  class Closure;

  StateId step(StateId state, uint8_t byte);
  int32_t frame_of(const Frame& frame);
  StateId state_of(std::vector<Item> items, bool accepts);
  using FrameMap = std::unordered_map<int32_t, int32_t>;
  int32_t canonical_frame(int32_t frame, int64_t bytes, FrameMap& changed);
  int32_t move_frame(GrammarAutomaton& other, int32_t frame, FrameMap& moved) const;

  std::shared_ptr<const GrammarProgram> program_;
  std::vector<Frame> frames_;
  std::unordered_map<Frame, int32_t, FrameHash> frame_ids_;
  std::vector<State> states_;
  std::unordered_multimap<size_t, StateId> state_ids_;  // by hash of the items
  StateId start_ = kUnknown;
  size_t memory_ = 0;
  int64_t work_ = 0;
};

}  // namespace looplm

#endif  // LOOPLM_GRAMMAR_AUTOMATON_H_
