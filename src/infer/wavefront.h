// One request's positions on their way through the loops.
//
// Position i is at most one pass behind position i - 1 in every loop, so all positions in flight
// may run a lane in the same pass. What a request's mode decides is only when a position's token is
// good enough to start the next position:
//
//   exact exit    when the exit rule has fired; the position goes on through its other loops beside
//                 its successors, because they read its keys and values there
//   speculation   earlier, provisionally; each later loop chooses again, and a loop that disagrees
//                 takes back the token, what followed it, and their keys and values
//   cheap exits   (KV policies that do not keep every loop) when the position runs no more loops
#ifndef LOOPLM_INFER_WAVEFRONT_H_
#define LOOPLM_INFER_WAVEFRONT_H_

#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "looplm/engine.h"

#include "base/timer.h"
#include "infer/output.h"
#include "infer/position.h"
#include "infer/sampler.h"

namespace looplm {

class Wavefront {
 public:
  // `max_loops` is what check_request() returned. The request's callbacks come from judge().
  Wavefront(Model& model, PassRunner& runner, PagePool& pages, Request request, int64_t max_loops);
  ~Wavefront();
  Wavefront(const Wavefront&) = delete;
  Wavefront& operator=(const Wavefront&) = delete;

  const Request& request() const { return request_; }
  SequenceCache& cache() { return cache_; }
  int64_t max_loops() const { return max_loops_; }

  // Whether prompt positions that other requests computed may be adopted.
  bool takes_prefixes() const { return !reads_as_decoded(); }
  // Before the first pass: prompt positions 0 .. 32 * pages - 1 have been computed before.
  // `page(loop, layer, i)` is their i-th page.
  template <typename Page>
  void adopt_prefix(int64_t pages, Page page) {
    for (int64_t loop = 0; loop < max_loops_; ++loop) {
      for (int64_t layer = 0; layer < cache_.layers(); ++layer) {
        for (int64_t i = 0; i < pages; ++i) cache_.adopt(loop, layer, page(loop, layer, i));
      }
    }
    prompt_started_ = pages * kPagePositions;
    statistics_.cached_prompt_tokens = prompt_started_;
  }

  // Adds the lanes of every position in flight, and of what may start for certain: at most
  // `prompt_quota` new prompt positions, or the position after a token that is final.
  void add_lanes(int64_t prompt_quota, std::vector<Lane>& lanes);
  // Starts the position after a provisional token and adds its lane, if there is one to start.
  bool add_speculative_lane(std::vector<Lane>& lanes);
  int64_t prompt_positions_in_flight() const;

  // After the pass: takes the lanes' results, and adds the normed states whose logits are needed.
  void observe(std::span<const Lane> lanes, std::vector<const float*>& rows);
  // Their logits, one row of V after the other, and what each row says. Adds the tokens that are to
  // be chosen; logits and summaries must stay until settle().
  void judge(const float* logits, const LogitSummary* summaries, std::vector<TokenChoice>& choices);
  // The same choices, made: what is final is reported.
  void settle(std::span<const TokenChoice> choices);

  // True once, after the pass that ended the prompt's last position, with every plane complete.
  // Never where the prompt was not read with a plane per loop.
  bool take_prompt_end();

  bool finished() const { return finished_; }
  void cancel();
  Generation take();

 private:
  struct View;
  struct Position;

  int64_t prompt_size() const { return static_cast<int64_t>(request_.prompt.size()); }
  int64_t output_index(int64_t position) const { return position - (prompt_size() - 1); }
  bool reads_as_decoded() const { return request_.options.prompt_kv == PromptKv::kAsDecoded; }
  // Whether the position leaves in the cache what the KV policy says.
  bool under_policy(int64_t position) const {
    return position >= prompt_size() || reads_as_decoded();
  }
  bool keeps_all_loops() const { return request_.options.kv == KvPolicy::kFull; }
  bool prompt_ended() const { return prompt_started_ == prompt_size() && prompt_flying_ == 0; }

  void start(int64_t index, int32_t token);
  void add_lane(Position& position, std::vector<Lane>& lanes);
  std::unique_ptr<View> make_view();
  void begin_chunk(int64_t count);
  size_t add_choice(int64_t output, const float* logits, const LogitSummary& summary,
                    std::vector<TokenChoice>& choices);
  int32_t chosen(const Position& position, const TokenChoice& choice) const;
  bool propose(int64_t output, int32_t token, int64_t loop, bool final);
  void take_back(int64_t output);
  bool settle_position(Position& position, std::span<const TokenChoice> choices);
  void decide(Position& position, const TokenChoice& choice);
  void emit();
  void retire();

  Model& model_;
  PassRunner& runner_;
  Request request_;
  int64_t max_loops_;
  int64_t width_;
  SequenceCache cache_;
  PositionKv position_kv_;
  Sampler sampler_;
  Output output_;

  std::deque<std::unique_ptr<Position>> flight_;  // ascending
  std::vector<std::unique_ptr<View>> spare_views_;
  int64_t prompt_started_ = 0;  // prompt positions that have started, or were there
  int64_t prompt_flying_ = 0;   // of those, still in flight
  bool prompt_end_taken_ = false;

  std::vector<int32_t> tokens_;  // the output, provisional tokens too
  int64_t started_ = 0;          // generated positions started: output tokens fed back
  int64_t emitted_ = 0;          // output tokens that are final and reported
  std::deque<std::optional<GeneratedToken>> finals_;  // from `emitted_` on

  bool screened_ = false;  // the screening callback wants no more
  bool finished_ = false;
  Timer timer_;
  int64_t read_outs_ = 0;  // passes after the first token whose logits were needed
  GenerateStatistics statistics_;
};

}  // namespace looplm

#endif  // LOOPLM_INFER_WAVEFRONT_H_
