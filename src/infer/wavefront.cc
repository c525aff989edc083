#include "infer/wavefront.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "base/check.h"
#include "infer/parts.h"
#include "infer/reading.h"

namespace looplm {
namespace {

// Prompt positions under the weighted read-out that are read at once: each holds a mixture of V
// doubles.
constexpr int64_t kMixturesAtOnce = 16;

int64_t guess_loops(const Model::Parts& parts, const AdapterWeights* adapter, int64_t max_loops) {
  const bool fits = parts.guesses != nullptr && adapter == nullptr;
  return fits && max_loops == parts.config().loops ? parts.guesses->loops() : 0;
}

}  // namespace

// How a position's token comes about, and what is read besides. Positions of the text have one only
// where they choose a token or the plan reads them.
struct Wavefront::View {
  View(const ModelConfig& config, const ExitRule& exit_rule,
       const std::optional<ExitRule>& commit_rule, const GenerateOptions& o, int64_t max_loops,
       Device& device)
      : commit(commit_rule),
        reader(config, exit_rule, o.read_out, o.exit.min_loops, max_loops),
        readings(o.plan, config, device) {}

  std::optional<ExitRule> commit;  // none without speculation
  PositionReader reader;
  PositionReadings readings;
  bool chooses = false;  // a token that is not known yet
  bool exits = false;    // the exit rule is asked
  // What the plan reads of it: as a prompt position, as one that chooses a token.
  ReadLoops prompt = ReadLoops::kNone;
  ReadLoops output = ReadLoops::kNone;

  bool committed = false;         // a token was proposed
  bool judged = false;            // the reader needs this loop's logits
  bool proposes = false;          // speculation does
  bool guesses = false;           // it does alone, so that they are those of a mapped state
  bool decides = false;           // this loop's are the position's
  size_t proposal = 0;            // the choice of this loop's token, where it proposes one
  size_t decision = 0;            // the choice of the position's token, where it decides
  std::vector<int32_t> proposed;  // each loop's token, -1 where it was not read

  bool reads() const { return prompt != ReadLoops::kNone || output != ReadLoops::kNone; }
  bool reads(ReadLoops loops) const { return prompt == loops || output == loops; }
};

Wavefront::Wavefront(const EngineParts& parts, Request request, int64_t max_loops)
    : parts_(parts),
      request_(std::move(request)),
      max_loops_(max_loops),
      adapter_(parts.model.parts().find_adapter(request_.adapter)),
      guess_loops_(guess_loops(parts.model.parts(), adapter_, max_loops)),
      width_(parts.model.config().hidden_size),
      cache_(parts.pages, parts.model.config().layers, max_loops),
      position_kv_(request_.options.kv, cache_, parts.model.config()),
      queue_(request_, parts.model.config().vocab_size),
      output_(request_.options, parts.model, request_.callbacks.token),
      text_size_(prompt_size()) {
  statistics_.prompt_tokens = prompt_size();
  statistics_.loop_reads.assign(static_cast<size_t>(max_loops), 0);
  statistics_.loop_agreements.assign(static_cast<size_t>(max_loops), 0);
  over_ = request_.options.max_tokens == 0;
  finished_ = over_ && !request_.options.plan.reads_prompt();
  if (reads_as_decoded()) cache_.share_planes(request_.options.kv);
  if (drafts()) text_drafts_.append(request_.prompt);
}

Wavefront::~Wavefront() { drop_positions(); }

// ---- Text and memory

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
  return pages;
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

// ---- Lanes

std::unique_ptr<Wavefront::View> Wavefront::make_view(int64_t index) {
  const GenerateOptions& o = request_.options;
  const int64_t output = output_index(index);
  const bool next_unknown = !over_ && index >= text_size_ - 1;
  const bool chooses = next_unknown && output >= queue_.reported();
  const bool reads_prompt = wants_prompt_reading(index);
  if (!next_unknown && !reads_prompt) return nullptr;
  if (spare_views_.empty()) {
    const bool gate = parts_.model.config().exit_gate;
    const auto exit = make_exit_rule(o.exit, gate);
    const auto commit = make_commit_rule(o.speculate, gate, max_loops_);
    LOOPLM_CHECK(exit.ok() && commit.ok());  // check_request() has made them
    spare_views_.push_back(std::make_unique<View>(parts_.model.config(), exit.value(),
                                                  commit.value(), o, max_loops_,
                                                  parts_.runner.device()));
  }
  std::unique_ptr<View> view = std::move(spare_views_.back());
  spare_views_.pop_back();
  View& v = *view;
  v.chooses = chooses;
  v.prompt = reads_prompt ? o.plan.prompt : ReadLoops::kNone;
  v.output = chooses ? o.plan.output : ReadLoops::kNone;
  v.exits = next_unknown || v.reads(ReadLoops::kExit);
  v.reader.begin();
  if (v.commit) v.commit->reset();
  v.committed = false;
  v.proposed.assign(static_cast<size_t>(max_loops_), -1);
  if (v.reads()) {
    std::optional<int32_t> next;
    if (index + 1 < prompt_size()) next = request_.prompt[static_cast<size_t>(index + 1)];
    if (output >= 0 && output < queue_.reported()) next = queue_.at(output);
    v.readings.begin(index, next);
  }
  return view;
}

void Wavefront::start(int64_t index, int32_t token, std::vector<int32_t>& ids) {
  Position& p = flight_.emplace_back();
  p.index = index;
  p.view = make_view(index);
  parts_.arena.acquire(&p.slot);
  ids.push_back(token);
  if (under_policy(index)) position_kv_.begin(index);
}

int64_t Wavefront::next_chunk(int64_t quota) const {
  if (finished_ || !flight_.empty() || text_started_ == text_size_) return 0;
  const GenerateOptions& o = request_.options;
  int64_t chunk = reads_as_decoded() ? 1 : o.prompt_chunk;
  if (o.plan.prompt == ReadLoops::kExit && o.read_out == ReadOut::kWeighted) {
    chunk = std::min(chunk, kMixturesAtOnce);
  }
  return std::min({chunk, quota, text_size_ - text_started_});
}

// Whether a position may stand on output token `output`.
bool Wavefront::may_follow(int64_t output) const {
  return !over_ && output + 1 < request_.options.max_tokens &&
         (output < queue_.reported() ||
          !(queue_.ends_after(output) || output_.is_stop_id(queue_.at(output))));
}

bool Wavefront::starts_certain() const {
  return !finished_ && text_started_ == text_size_ && fed_ < queue_.certain() && may_follow(fed_) &&
         (keeps_all_loops() || flight_.empty());
}

void Wavefront::start_certain(int64_t quota, std::vector<int32_t>& ids) {
  guesses_of_pass_ = 0;
  if (const int64_t chunk = next_chunk(quota); chunk > 0) {
    const std::vector<int32_t> text = this->ids(text_started_ + chunk);
    for (int64_t i = 0; i < chunk; ++i, ++text_started_, ++text_flying_) {
      start(text_started_, text[static_cast<size_t>(text_started_)], ids);
    }
  } else if (starts_certain()) {
    if (!keeps_all_loops() && fed_ == 0) cache_.share_planes(request_.options.kv);
    ++fed_;
    start(prompt_size() + fed_ - 1, queue_.at(fed_ - 1), ids);
  }
}

bool Wavefront::may_speculate() const {
  return !finished_ && speculates() && text_started_ == text_size_ && fed_ >= queue_.certain() &&
         fed_ < queue_.size() && may_follow(fed_);
}

bool Wavefront::draft() {
  const int64_t output = queue_.size();
  if (finished_ || !drafts() || text_started_ < text_size_ || output == 0 || fed_ < output ||
      guesses_of_pass_ == text_drafts_.at_once() || !may_follow(output - 1)) {
    return false;
  }
  const auto reported = static_cast<size_t>(queue_.reported());
  const std::optional<int32_t> token =
      text_drafts_.next(std::span(queue_.tokens()).subspan(reported), guesses_at_end_);
  if (!token || !queue_.may_push(*token)) return false;
  queue_.push(*token);
  guessed_.push_back(output);
  ++guesses_at_end_;
  ++guesses_of_pass_;
  return true;
}

// Early loops are wrong more often than a text that has been right.
bool Wavefront::keeps_guess(const Position& p) const {
  return 2 * p.loops <= max_loops_ && text_drafts_.trusted() &&
         std::ranges::binary_search(guessed_, output_index(p.index));
}

int64_t Wavefront::pages_to_speculate() {
  const int64_t index = prompt_size() + fed_;
  return cache_.pages_to_store(0, index, index + 1);
}

void Wavefront::start_provisional(std::vector<int32_t>& ids) {
  ++statistics_.provisional_tokens;
  ++fed_;
  start(prompt_size() + fed_ - 1, queue_.at(fed_ - 1), ids);
}

void Wavefront::fill(std::vector<Lane>& lanes) {
  if (flight_.empty()) return;
  for (const Position& p : flight_) {
    lanes[static_cast<size_t>(p.slot)] = {
        .cache = &cache_, .position = p.index, .loop = p.loops, .adapter = adapter_};
    statistics_.decode_lanes += !is_text(p.index);
  }
  ++statistics_.passes;
  statistics_.decode_passes += !is_text(flight_.back().index) && queue_.reported() > 0;
}

void Wavefront::drop_back() {
  Position& p = flight_.back();
  parts_.arena.release(&p.slot);
  if (p.view != nullptr) spare_views_.push_back(std::move(p.view));
  if (is_text(p.index)) --text_flying_;
  flight_.pop_back();
}

void Wavefront::drop_after(int64_t position) {
  while (!flight_.empty() && flight_.back().index > position) drop_back();
}

void Wavefront::drop_positions() { drop_after(-1); }

// ---- Results

void Wavefront::observe(std::span<const Lane> lanes, std::vector<ReadRow>& rows) {
  const size_t rows_before = rows.size();
  for (Position& p : flight_) observe(p, lanes[static_cast<size_t>(p.slot)], rows);
  read_outs_ += queue_.reported() > 0 && rows.size() > rows_before;
}

void Wavefront::observe(Position& p, const Lane& lane, std::vector<ReadRow>& rows) {
  ++p.loops;
  if (under_policy(p.index)) position_kv_.after_loop(p.loops - 1);
  if (finished_) return;
  pool(p);
  if (p.view == nullptr) return;
  View& view = *p.view;
  const float* normed = parts_.arena.normed(p.slot);
  view.judged = false;
  view.proposes = false;
  if (std::isnan(lane.gate_logit)) {
    return fail(internal_error(
        fmt::format("the gate after loop {} of position {} is not a number", p.loops, p.index)));
  }
  if (view.reads()) view.readings.see({normed, static_cast<size_t>(width_)}, lane.gate_logit);
  if (view.exits && !view.reader.decided()) {
    view.judged = view.reader.observe(p.loops, normed, lane.gate_logit);
    if (view.commit && view.chooses) {
      const LoopFigures seen = {.loop = p.loops, .gate_logit = lane.gate_logit};
      view.proposes = view.committed || view.commit->needs_logits() || view.commit->enough(seen);
    }
  }
  const bool reads = view.judged || view.reads(ReadLoops::kEvery);
  view.guesses = view.proposes && !reads && p.loops <= guess_loops_;
  if (reads || view.proposes) {
    rows.push_back({p.index, p.slot, view.guesses ? p.loops - 1 : -1});
  }
}

void Wavefront::pool(const Position& p) {
  const ReadOutPlan& plan = request_.options.plan;
  if (plan.embedding == Pooling::kNone || p.index >= prompt_size()) return;
  if (p.loops != (plan.embedding_loop == 0 ? max_loops_ : plan.embedding_loop)) return;
  if (plan.embedding == Pooling::kLast && p.index + 1 < prompt_size()) return;
  if (p.index < pooled_positions_) return;
  pooled_.resize(static_cast<size_t>(width_));
  const float* normed = parts_.arena.normed(p.slot);
  for (int64_t i = 0; i < width_; ++i) {
    pooled_[static_cast<size_t>(i)] += static_cast<double>(normed[i]);
  }
  pooled_positions_ = p.index + 1;
}

void Wavefront::take_back(int64_t output) {
  const int64_t last_position = output + prompt_size() - 1;
  queue_.take_back(output);
  const auto guess = std::ranges::lower_bound(guessed_, output);
  if (guess != guessed_.end() && *guess == output) text_drafts_.was_wrong();
  guessed_.erase(guess, guessed_.end());
  if (fed_ > output) {
    statistics_.revised_tokens += fed_ - output;
    fed_ = output;
  }
  drop_after(last_position);
  cache_.truncate(last_position + 1);
}

// Puts a token at `output`, in place of another if need be. False when the request's screening
// stops it.
bool Wavefront::propose(int64_t output, int32_t token, int64_t loop, bool final) {
  const bool has = queue_.size() > output;
  const bool same = has && queue_.at(output) == token;
  const bool revision = has && !same;
  if (request_.callbacks.screen && (!same || final) &&
      !request_.callbacks.screen({output, token, loop, revision, final})) {
    end(FinishReason::kCancelled);
    return false;
  }
  if (same) return true;
  if (revision) take_back(output);
  queue_.push(token);
  guesses_at_end_ = 0;
  return true;
}

// Null when a position before it has taken back the token that it stands on.
Wavefront::Position* Wavefront::find(int64_t position) {
  if (finished_ || flight_.empty()) return nullptr;
  const auto at = static_cast<size_t>(position - flight_.front().index);
  return at < flight_.size() ? &flight_[at] : nullptr;
}

size_t Wavefront::add_choice(const Position& p, const float* logits, const LogitSummary& summary,
                             std::vector<TokenChoice>& choices) {
  choices.push_back(queue_.choice(output_index(p.index), logits, summary));
  return choices.size() - 1;
}

// The tokens of a pass are chosen together. A position's choice is for the tokens that stood before
// it: when one of these is replaced in the same pass, the position is gone before its choice is
// looked at.
void Wavefront::judge(int64_t position, const float* logits, const LogitSummary& summary,
                      std::vector<TokenChoice>& choices) {
  Position* const p = find(position);
  if (p == nullptr) return;
  View& view = *p->view;
  if (std::isnan(summary.log_sum)) {
    if (view.guesses) {  // a map that overflows proposes nothing
      view.proposes = view.decides = false;
      return;
    }
    return fail(internal_error(
        fmt::format("the logits after loop {} of position {} are no distribution: the model's "
                    "arithmetic has overflowed",
                    p->loops, p->index)));
  }
  const auto vocabulary = static_cast<size_t>(parts_.model.config().vocab_size);
  if (view.reads(ReadLoops::kEvery)) {
    if (Status s = view.readings.read_loop({logits, vocabulary}, summary); !s.ok()) {
      return fail(std::move(s));
    }
  }
  if (over_ && view.chooses) view.judged = view.proposes = false;
  if (view.judged) view.reader.judge(logits, summary, parts_.runner.device());
  view.decides = view.judged && view.reader.decided();
  if (view.proposes && !view.committed) {
    view.committed = !view.commit->needs_logits() ||
                     view.commit->enough({.loop = p->loops, .margin = summary.margin()});
  }
  if (view.chooses) {
    if (view.decides) {
      view.decision = add_choice(*p, view.reader.logits(), view.reader.summary(), choices);
    }
    if (view.proposes) {
      // The last loop's own token is mostly the position's too.
      view.proposal = view.decides && view.reader.logits() == logits
                          ? view.decision
                          : add_choice(*p, logits, summary, choices);
    }
  } else if (view.decides && view.reads(ReadLoops::kExit)) {
    Status s = view.readings.read_exit({view.reader.logits(), vocabulary}, view.reader.summary());
    if (!s.ok()) fail(std::move(s));
  }
}

std::optional<int32_t> Wavefront::chosen(const Position& p, const TokenChoice& choice) {
  const int64_t output = output_index(p.index);
  if (choice.token < 0) {
    fail(invalid_argument(fmt::format(
        "the constraint and the logit biases leave no token for place {} of the output", output)));
    return std::nullopt;
  }
  if (!request_.replay) return choice.token;
  const int32_t token = request_.replay(output, p.loops, choice.token);
  const int64_t vocabulary = parts_.model.config().vocab_size;
  if (token < 0 || token >= vocabulary) {
    fail(
        invalid_argument(fmt::format("replay gives token {} for place {} of the output; expected "
                                     "0 to {}",
                                     token, output, vocabulary - 1)));
    return std::nullopt;
  }
  return token;
}

void Wavefront::settle(int64_t position, std::span<const TokenChoice> choices) {
  Position* const p = find(position);
  if (p == nullptr || !p->view->chooses) return;
  View& view = *p->view;
  if (view.proposes) {
    const std::optional<int32_t> token = chosen(*p, choices[view.proposal]);
    if (!token) return;
    view.proposed[static_cast<size_t>(p->loops - 1)] = *token;
    if (view.committed && !view.decides && !keeps_guess(*p)) {
      propose(output_index(p->index), *token, p->loops, false);
    }
  }
  if (view.decides) decide(*p, choices[view.decision]);
}

void Wavefront::decide(Position& p, const TokenChoice& choice) {
  View& view = *p.view;
  const int64_t output = output_index(p.index);
  const std::optional<int32_t> id = chosen(p, choice);
  if (!id || !propose(output, *id, p.loops, true)) return;
  if (!guessed_.empty() && guessed_.front() == output) {
    guessed_.pop_front();
    text_drafts_.was_right();
  }
  for (size_t t = 0; t < view.proposed.size(); ++t) {
    if (view.proposed[t] < 0) continue;
    ++statistics_.loop_reads[t];
    statistics_.loop_agreements[t] += view.proposed[t] == *id;
  }
  if (view.reads()) view.readings.set_next(*id);
  if (view.reads(ReadLoops::kExit)) {
    const auto vocabulary = static_cast<size_t>(parts_.model.config().vocab_size);
    Status s = view.readings.read_exit({choice.logits, vocabulary}, *choice.summary);
    if (!s.ok()) return fail(std::move(s));
  }
  GeneratedToken token;
  token.id = *id;
  token.loops = view.reader.loops();
  token.log_probability = choice.summary->log_probability(choice.logits[*id]);
  if (speculates()) token.proposals = view.proposed;
  if (view.output == ReadLoops::kExit) token.readings = view.readings.exit();
  queue_.decide(output, std::move(token), view.output != ReadLoops::kEvery);
}

void Wavefront::end_pass() {
  if (finished_) {
    retire();
    return;
  }
  retire();
  report();
  if (over_ && !(request_.options.plan.reads_prompt() && reading())) finished_ = true;
}

// Positions that will run no more loops leave.
void Wavefront::retire() {
  size_t ended = 0;
  for (; ended < flight_.size(); ++ended) {
    Position& p = flight_[ended];
    const bool cheap = !is_text(p.index) && !keeps_all_loops() && p.view != nullptr;
    if (p.loops < max_loops_ && !(cheap && p.view->reader.decided())) break;
    if (under_policy(p.index)) position_kv_.finish(p.loops);
    if (is_text(p.index)) --text_flying_;
    if (p.view != nullptr && !finished_) keep_readings(p);
    if (p.view != nullptr) spare_views_.push_back(std::move(p.view));
  }
  // Backwards: slots of a chunk are neighbours, and the last ones' rows need not move.
  for (size_t i = ended; i-- > 0;) parts_.arena.release(&flight_[i].slot);
  flight_.erase(flight_.begin(), flight_.begin() + static_cast<ptrdiff_t>(ended));
}

void Wavefront::keep_readings(Position& p) {
  const View& view = *p.view;
  if (!view.reads()) return;
  const auto loops = [&view](ReadLoops which) {
    return which == ReadLoops::kEvery ? view.readings.every() : view.readings.exit();
  };
  if (view.prompt != ReadLoops::kNone) prompt_readings_.push_back({p.index, loops(view.prompt)});
  if (view.output == ReadLoops::kEvery && !over_) {
    queue_.complete(output_index(p.index), loops(view.output));
  }
}

void Wavefront::report() {
  while (!over_ && !finished_) {
    std::optional<TokenQueue::Report> next = queue_.report();
    if (!next) return;
    if (queue_.reported() == 1) {
      statistics_.prompt_seconds = timer_.seconds();
      timer_.restart();
    }
    if (drafts()) text_drafts_.append({&next->token.id, 1});
    over_ = output_.add(std::move(next->token), next->ends);
  }
}

// ---- The end

void Wavefront::end(FinishReason reason) {
  if (finished_) return;
  output_.end(reason);
  finished_ = true;
}

void Wavefront::fail(Status status) {
  if (finished_) return;
  output_.fail(std::move(status));
  finished_ = true;
  failed_ = true;
}

Generation Wavefront::take() {
  Generation generation;
  if (queue_.reported() > 0) {
    statistics_.decode_seconds = timer_.seconds();
  } else {
    statistics_.prompt_seconds = timer_.seconds();
  }
  statistics_.kv_bytes = cache_.bytes();
  const ModelWeights& weights = parts_.runner.weights();
  statistics_.weight_bytes =
      static_cast<uint64_t>(statistics_.decode_passes) * weights.block_bytes() +
      static_cast<uint64_t>(read_outs_) * weights.head_bytes();
  generation.statistics = std::move(statistics_);
  generation.prompt = std::move(prompt_readings_);
  const double positions = request_.options.plan.embedding == Pooling::kMean
                               ? static_cast<double>(pooled_positions_)
                               : 1;
  for (double x : pooled_) generation.embedding.push_back(static_cast<float>(x / positions));
  output_.move_into(generation);
  return generation;
}

bool Wavefront::linger() {
  over_ = true;
  finished_ = true;
  request_.callbacks = {};
  for (Position& p : flight_) {
    if (p.view != nullptr) spare_views_.push_back(std::move(p.view));
  }
  const int64_t kept = keeps_all_loops() ? queue_.reported() : 0;
  fed_ = std::min(fed_, kept);
  drop_after(prompt_size() - 1 + kept);
  if (flight_.empty() || reads_as_decoded() || cache_.shared()) return false;
  return (flight_.back().index + 1) / kPagePositions > shareable_positions() / kPagePositions;
}

}  // namespace looplm
