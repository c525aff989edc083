// One request's positions on their way through the loops.
//
// Position i is at most one pass behind position i - 1 in every loop, so all positions in flight
// run a lane in every pass. What a request's mode decides is only when a position's token is good
// enough to start the next position:
//
//   exact exit    when the exit rule has fired; the position goes on through its other loops beside
//                 its successors, because they read its keys and values there
//   speculation   earlier, provisionally; each later loop chooses again, and a loop that disagrees
//                 takes back the token, what followed it, and their keys and values; where the text
//                 repeats itself, before any loop has chosen. Beside a provisional token others may
//                 be tried: each is a position of its own, which takes its place when a loop says
//                 so
//   cheap exits   (KV policies that do not keep every loop) when the position runs no more loops
//
// What is known beforehand, the request's text, is read in chunks: the prompt, and after restart()
// the tokens that were reported as well.
#ifndef LOOPLM_INFER_WAVEFRONT_H_
#define LOOPLM_INFER_WAVEFRONT_H_

#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "looplm/engine.h"

#include "base/timer.h"
#include "infer/effort.h"
#include "infer/loop_odds.h"
#include "infer/output.h"
#include "infer/position.h"
#include "infer/text_drafts.h"
#include "infer/token_queue.h"

namespace looplm {

// What the requests of an engine share.
struct EngineParts {
  Model& model;
  PassRunner& runner;
  PagePool& pages;
  LaneArena& arena;
  LoopOdds& odds;
};

// A lane whose logits are needed.
struct ReadRow {
  int64_t position = 0;
  int64_t start = 0;  // tells it from another token's at the same position
  int32_t slot = 0;
  // The loop (from 0) whose guess map the state goes through, since its logits only propose a
  // token; -1: none.
  int64_t guess_loop = -1;
};

// What speculation may do by the rule `auto`.
struct SpeculationBounds {
  Effort effort = Effort::kAlternatives;
  // The chances below which, after the next pass, a position is not worth a lane; reading a loop
  // out to start one is not; the same where the pass is read out anyway.
  double to_start = 0;
  double to_read = 0;
  double to_read_too = 0;
};

class Wavefront {
 public:
  // `max_loops` is what check_request() returned. The request's callbacks come from judge(),
  // settle() and end_pass(), and what they throw goes through; fail() is the answer to that.
  Wavefront(const EngineParts& parts, Request request, int64_t max_loops);
  ~Wavefront();
  Wavefront(const Wavefront&) = delete;
  Wavefront& operator=(const Wavefront&) = delete;

  const Request& request() const { return request_; }
  SequenceCache& cache() { return cache_; }
  int64_t max_loops() const { return max_loops_; }

  // ---- Text and memory

  // Tokens of positions 0, 1, ...: of the text that is to be read; of the positions that have ended
  // all their loops, as far as another request may use their keys and values.
  std::vector<int32_t> text() const { return ids(text_size_); }
  std::vector<int32_t> shareable() const { return ids(shareable_positions()); }
  int64_t prompt_positions() const { return prompt_size(); }
  bool reading() const { return text_started_ < text_size_ || text_flying_ > 0; }
  // How many positions of the text may come from elsewhere: the last one's read-out chooses a
  // token, and others may have to be read for the request's plan.
  int64_t adoptable_positions() const;
  // Before the first pass: the cache has positions 0 .. positions - 1.
  void adopted(int64_t positions);
  // Whether take_text_end() will be true.
  bool will_share() const { return reading() && !reads_as_decoded(); }
  // True once, after the pass that ended the text's last position, with every plane complete. Never
  // where the text was not read with a plane per loop.
  bool take_text_end();

  // Pages from the pool that the next pass may take, given its quota of text positions.
  int64_t pages_for_pass(int64_t quota);
  // Pages beyond those it has that it takes to read the text and write a page of output.
  int64_t pages_soon() const;
  // Gives all pages back. The text is then the prompt and what was reported, and what follows is as
  // if nothing had happened. Readings of the prompt that were made are made again if `readings`.
  void restart(bool readings);

  // ---- A pass

  // How many text positions start_certain() would start.
  int64_t next_chunk(int64_t quota) const;
  // Starts what follows for certain: at most `quota` text positions, or the position after a token
  // that is final. Appends their tokens, whose slots are the arena's last ones in this order.
  void start_certain(int64_t quota, std::vector<int32_t>& ids);
  // What `auto` goes by in the pass to come.
  void set_bounds(const SpeculationBounds& bounds) { bounds_ = bounds; }
  // Whether the position after a provisional token may start; how likely the loops of the next pass
  // will leave that token as it is; the pages it takes; starting it.
  bool may_speculate() const;
  double chance() const { return chance_before(static_cast<int64_t>(flight_.size())); }
  int64_t pages_to_speculate();
  void start_provisional(std::vector<int32_t>& ids);
  // Whether other tokens may be tried beside provisional ones. They are judged only once they are
  // chosen, so nothing may need their earlier logits.
  bool tries_alternatives() const {
    return drafts() && request_.options.read_out == ReadOut::kSelected &&
           request_.options.plan.output != ReadLoops::kEvery;
  }
  // Starts another token beside a provisional one, if a loop has named one whose chance is more
  // than `least`. It takes pages_of_alternative() in this pass and in each one after. Some or all
  // may be dropped between passes; true if there were any.
  bool start_alternative(double least, std::vector<int32_t>& ids);
  int64_t pages_of_alternative() const { return cache_.layers(); }
  bool drop_alternatives();
  void drop_unlikely(double least);
  // Adds a provisional token that the text itself suggests, if it does; none where may_speculate()
  // is true already. Calls the request's constraint. How likely the next one is right.
  bool draft();
  double draft_chance() const { return chance() * text_drafts_.chance(); }
  int64_t text_in_flight() const { return text_flying_; }
  // Lanes and rows of this pass that plain decoding would not have; after end_pass(), how many
  // passes it would have taken to come as far as this one has.
  int64_t early_lanes() const;
  int64_t early_rows() const { return early_rows_; }
  int64_t plain_passes() const;
  // Whether the request goes by what lanes cost and bring.
  bool counts() const { return request_.options.speculate.kind == CommitKind::kAuto; }
  // The lane of every position in flight, each in its slot's place.
  void fill(std::vector<Lane>& lanes);

  // After the pass: takes the lanes' results, and says whose logits are needed. `rows` may have
  // those of other requests. `maybe` are those that settle() may well ask for.
  void observe(std::span<const Lane> lanes, std::vector<ReadRow>& rows,
               std::vector<ReadRow>& maybe);
  // The logits (V) of one of these rows, in order; they and their summary stay as they are until
  // settle(). Adds the tokens that are to be chosen from them.
  void judge(const ReadRow& row, const float* logits, const LogitSummary& summary,
             std::vector<TokenChoice>& choices);
  // Then, with these chosen, the same rows again. Adds rows that are to be judged after these.
  void settle(const ReadRow& row, std::span<const TokenChoice> choices, std::vector<ReadRow>& rows);
  void end_pass();

  // ---- The end

  bool finished() const { return finished_; }
  bool failed() const { return failed_; }
  void end(FinishReason reason);  // kCancelled or kDeadline
  void fail(Status status);
  Generation take();
  std::function<void(Generation)> take_done() { return std::move(request_.done); }
  // After take(), for requests that came to their end: keeps only positions that ended, or that
  // will in the passes to come without any callback. True when those complete another page of text
  // for others.
  bool linger();
  bool in_flight() const { return !flight_.empty(); }
  void drop_positions();

 private:
  struct View;
  struct Alternative;
  struct Position {
    int64_t index = 0;
    int64_t start = 0;             // the number of starts before it
    int64_t loops = 0;             // ended
    int32_t slot = -1;             // kept up to date by the arena
    std::unique_ptr<View> view{};  // null where nothing is read
    ReadRow row() const;
  };

  int64_t prompt_size() const { return static_cast<int64_t>(request_.prompt.size()); }
  int64_t output_index(int64_t position) const { return position - (prompt_size() - 1); }
  int64_t most_positions() const;
  std::vector<int32_t> ids(int64_t positions) const;
  int64_t shareable_positions() const;
  bool reads_as_decoded() const { return request_.options.prompt_kv == PromptKv::kAsDecoded; }
  // Whether the position leaves in the cache what the KV policy says.
  bool under_policy(int64_t position) const {
    return position >= prompt_size() || reads_as_decoded();
  }
  bool is_text(int64_t position) const { return position < text_size_; }
  bool keeps_all_loops() const { return request_.options.kv == KvPolicy::kFull; }
  bool speculates() const { return request_.options.speculate.kind != CommitKind::kNever; }
  bool drafts() const { return counts() && !request_.callbacks.screen; }
  bool keeps_guess(const Position& position) const;
  double odds(const Position& position, int64_t rank) const;
  double chance_before(int64_t flying) const;
  double chance(const Alternative& alternative) const;
  bool explores(const Position& position) const;
  bool pays_to_read(const Position& position, bool others) const;
  static bool needed(const Position& position);
  int64_t runners_up(const Position& position) const;
  bool may_follow(int64_t output) const;
  bool starts_certain() const;
  bool wants_prompt_reading(int64_t position) const;

  int64_t next_place() const;
  int64_t plain_passes_so_far() const;
  void start(int64_t index, int32_t token, std::vector<int32_t>& ids);
  void start(Position& position, int64_t index, int32_t token, std::vector<int32_t>& ids);
  std::unique_ptr<View> make_view(int64_t index);
  void leave(Position& position);
  void drop_back();
  void drop_after(int64_t position);
  template <typename Which>
  bool drop_alternatives(Which which);
  void promote(int64_t output);
  bool observe(Position& position, const Lane& lane, bool others);
  void pool(const Position& position);
  bool propose(int64_t output, int32_t token, int64_t loop, bool final);
  void take_back(int64_t output);
  Position* find(const ReadRow& row);
  size_t add_choice(const Position& position, const float* logits, const LogitSummary& summary,
                    std::vector<TokenChoice>& choices);
  std::optional<int32_t> chosen(const Position& position, const TokenChoice& choice, size_t rank);
  bool keep_candidates(Position& position, int32_t best, const TokenChoice& choice);
  void decide(Position& position, const TokenChoice& choice);
  void retire();
  void keep_readings(Position& position);
  void report();

  const EngineParts parts_;
  Request request_;
  const int64_t max_loops_;
  AdapterWeights* const adapter_;  // null: none
  // Loops from the first that have a guess map for this request: none beside an adapter, and where
  // another loop than the model's last has the last word.
  const int64_t guess_loops_;
  const int64_t width_;
  SequenceCache cache_;
  PositionKv position_kv_;
  TokenQueue queue_;
  Output output_;

  std::deque<Position> flight_;  // ascending, without a gap
  std::vector<std::unique_ptr<Alternative>> alternatives_;
  bool promoted_ = false;  // the flight's last one was an alternative, and is not read yet
  std::vector<std::unique_ptr<View>> spare_views_;
  int64_t starts_ = 0;
  SpeculationBounds bounds_;
  int64_t text_size_ = 0;
  int64_t text_started_ = 0;  // text positions that have started, or were there
  int64_t text_flying_ = 0;   // of those, still in flight
  bool text_end_taken_ = false;
  // Output tokens whose position has started or is part of the text: fed_ <= queue_.size(). Those
  // from queue_.certain() on are provisional.
  int64_t fed_ = 0;

  TextDrafts text_drafts_;
  std::deque<int64_t> guessed_;  // output tokens of its, not final yet; ascending
  int64_t guesses_at_end_ = 0;   // of them, the last ones of the queue
  int64_t guesses_of_pass_ = 0;

  // What plain decoding would have taken: the loops of all tokens that are reported; with those of
  // the next one's position, before the pass.
  int64_t reported_loops_ = 0;
  int64_t plain_passes_before_ = 0;
  int64_t early_rows_ = 0;
  bool was_reading_ = false;  // the text, before the pass

  std::vector<PositionReading> prompt_readings_;
  std::vector<double> pooled_;  // (E): sum of `pooled_positions_` states
  int64_t pooled_positions_ = 0;

  bool over_ = false;      // no token comes any more; readings may
  bool finished_ = false;  // nothing comes any more
  bool failed_ = false;    // because of an error
  Timer timer_;
  int64_t read_outs_ = 0;  // passes after the first token whose logits were needed
  GenerateStatistics statistics_;
};

}  // namespace looplm

#endif  // LOOPLM_INFER_WAVEFRONT_H_
