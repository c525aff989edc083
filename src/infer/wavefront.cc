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

// Tokens of a place that are tried beside the one in the queue.
constexpr int64_t kAlternatives = LoopOdds::kRanks - 1;

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

  bool committed = false;           // a token was proposed
  bool judged = false;              // the reader needs this loop's logits
  bool proposes = false;            // speculation does
  bool guesses = false;             // it does alone, so that they are those of a mapped state
  bool decides = false;             // this loop's are the position's
  size_t proposal = 0;              // the choice of this loop's token, where it proposes one
  size_t decision = 0;              // the choice of the position's token, where it decides
  std::vector<int32_t> proposed;    // each loop's token, -1 where it was not read
  std::vector<int32_t> candidates;  // the last loop's best tokens
  // How sure the last loop is, and how sure the one before it was.
  int64_t sureness = LoopOdds::kUnknown, sureness_before = LoopOdds::kUnknown;

  bool reads() const { return prompt != ReadLoops::kNone || output != ReadLoops::kNone; }
  bool reads(ReadLoops loops) const { return prompt == loops || output == loops; }
};

// A position that stands on another token than the one in the queue. Nothing stands on it until it
// is chosen. Its cache has its own keys and values in the loops that it has run, behind those of
// the positions before it.
struct Wavefront::Alternative {
  Alternative(int32_t on, PagePool& pages, int64_t layers, int64_t loops)
      : token(on), cache(pages, layers, loops) {}

  int32_t token;
  Position position{};
  SequenceCache cache;
  bool failed = false;  // its gate is not a number
  double chance = 0;    // to be chosen in this pass
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
  v.candidates.clear();
  v.sureness = v.sureness_before = LoopOdds::kUnknown;
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
  start(flight_.emplace_back(), index, token, ids);
  if (under_policy(index)) position_kv_.begin(index);
}

void Wavefront::start(Position& p, int64_t index, int32_t token, std::vector<int32_t>& ids) {
  p.index = index;
  p.start = starts_++;
  p.view = make_view(index);
  parts_.arena.acquire(&p.slot);
  ids.push_back(token);
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

// How likely a position's next loop chooses the token that its last loop ranked `rank`.
double Wavefront::odds(const Position& p, int64_t rank) const {
  return parts_.odds.chance(p.loops, p.view->sureness, rank);
}

// How likely the next loops of the flight's first positions leave the tokens behind them in place.
double Wavefront::chance_before(int64_t flying) const {
  double chance = 1;
  for (int64_t i = 0; i < flying; ++i) {
    const Position& p = flight_[static_cast<size_t>(i)];
    const int64_t output = output_index(p.index);
    if (p.view == nullptr || !p.view->chooses || p.view->reader.decided()) continue;
    if (output >= queue_.size()) continue;
    const bool guess = std::ranges::binary_search(guessed_, output);
    chance *= guess ? text_drafts_.chance() : odds(p, 0);
  }
  return chance;
}

// How likely the next loop of the position before it chooses it.
double Wavefront::chance(const Alternative& a) const {
  const auto before = static_cast<size_t>(a.position.index - 1 - flight_.front().index);
  const Position& p = flight_[before];
  const std::vector<int32_t>& candidates = p.view->candidates;
  const auto at = std::ranges::find(candidates, a.token);
  if (at == candidates.end()) return 0;
  return chance_before(static_cast<int64_t>(before)) * odds(p, at - candidates.begin());
}

void Wavefront::drop_unlikely(double least) {
  drop_alternatives([&](const Alternative& a) { return chance(a) <= least; });
}

bool Wavefront::start_alternative(double least, std::vector<int32_t>& ids) {
  if (finished_ || over_ || !tries_alternatives() || text_started_ < text_size_) return false;
  for (size_t i = 0; i < flight_.size(); ++i) {
    const Position& p = flight_[i];
    const int64_t output = output_index(p.index);
    if (p.view == nullptr || p.view->reader.decided() || p.view->candidates.empty()) continue;
    if (output + 1 >= request_.options.max_tokens || output >= queue_.size()) continue;
    const auto beside = [&p](const auto& a) { return a->position.index == p.index + 1; };
    if (std::ranges::count_if(alternatives_, beside) == kAlternatives) continue;
    const double before = chance_before(static_cast<int64_t>(i));
    for (size_t rank = 0; rank < p.view->candidates.size(); ++rank) {
      if (before * odds(p, static_cast<int64_t>(rank)) <= least) continue;
      const int32_t token = p.view->candidates[rank];
      const auto runs = [&](const auto& a) { return beside(a) && a->token == token; };
      if (token == queue_.at(output) || output_.is_stop_id(token) ||
          std::ranges::any_of(alternatives_, runs)) {
        continue;
      }
      alternatives_.push_back(
          std::make_unique<Alternative>(token, parts_.pages, cache_.layers(), max_loops_));
      start(alternatives_.back()->position, p.index + 1, token, ids);
      ++statistics_.alternative_tokens;
      return true;
    }
  }
  return false;
}

int64_t Wavefront::next_place() const {
  return prompt_size() - 1 + queue_.reported() - (flight_.empty() ? 0 : flight_.front().index);
}

int64_t Wavefront::plain_passes_so_far() const {
  const auto at = static_cast<size_t>(next_place());
  return reported_loops_ + (!over_ && at < flight_.size() ? flight_[at].loops : 0);
}

int64_t Wavefront::early_lanes() const {
  const auto flying = static_cast<int64_t>(flight_.size());
  const int64_t certain = std::max<int64_t>(0, next_place() + 1);
  return std::max<int64_t>(0, flying - certain) + static_cast<int64_t>(alternatives_.size());
}

void Wavefront::fill(std::vector<Lane>& lanes) {
  early_rows_ = 0;
  if (flight_.empty()) return;
  was_reading_ = reading() || over_;
  plain_passes_before_ = plain_passes_so_far();
  for (const Position& p : flight_) {
    lanes[static_cast<size_t>(p.slot)] = {
        .cache = &cache_, .position = p.index, .loop = p.loops, .adapter = adapter_};
    statistics_.decode_lanes += !is_text(p.index);
  }
  for (const auto& a : alternatives_) {
    const Position& p = a->position;
    a->cache.branch(cache_, p.loops, p.index);
    lanes[static_cast<size_t>(p.slot)] = {
        .cache = &a->cache, .position = p.index, .loop = p.loops, .adapter = adapter_};
    ++statistics_.decode_lanes;
  }
  ++statistics_.passes;
  statistics_.decode_passes += !is_text(flight_.back().index) && queue_.reported() > 0;
}

void Wavefront::leave(Position& p) {
  parts_.arena.release(&p.slot);
  if (p.view != nullptr) spare_views_.push_back(std::move(p.view));
}

void Wavefront::drop_back() {
  leave(flight_.back());
  if (is_text(flight_.back().index)) --text_flying_;
  flight_.pop_back();
}

void Wavefront::drop_after(int64_t position) {
  while (!flight_.empty() && flight_.back().index > position) drop_back();
}

// Those for which `which` is true; true if there were any.
template <typename Which>
bool Wavefront::drop_alternatives(Which which) {
  const auto drops = [&](const std::unique_ptr<Alternative>& a) {
    if (!which(*a)) return false;
    leave(a->position);
    return true;
  };
  return std::erase_if(alternatives_, drops) > 0;
}

bool Wavefront::drop_alternatives() {
  return drop_alternatives([](const Alternative&) { return true; });
}

void Wavefront::drop_positions() {
  drop_alternatives();
  drop_after(-1);
}

// ---- Results

void Wavefront::observe(std::span<const Lane> lanes, std::vector<ReadRow>& rows,
                        std::vector<ReadRow>& maybe) {
  const size_t rows_before = rows.size();
  for (const auto& a : alternatives_) a->chance = chance(*a);  // before the places run on
  for (Position& p : flight_) {
    const Lane& lane = lanes[static_cast<size_t>(p.slot)];
    const bool reads = observe(p, lane, !rows.empty());
    if (std::isnan(lane.gate_logit) && p.view != nullptr) {
      fail(internal_error(
          fmt::format("the gate after loop {} of position {} is not a number", p.loops, p.index)));
    }
    if (!reads || finished_) continue;
    early_rows_ += !needed(p);
    rows.push_back(p.row());
  }
  for (const auto& a : alternatives_) {
    const Lane& lane = lanes[static_cast<size_t>(a->position.slot)];
    const bool reads = observe(a->position, lane, true);
    a->failed = a->failed || std::isnan(lane.gate_logit);
    if (reads && !a->failed && !finished_ && a->chance > bounds_.to_read_too) {
      maybe.push_back(a->position.row());
    }
  }
  read_outs_ += queue_.reported() > 0 && rows.size() > rows_before;
}

// Whether the logits of the loop that has just ended are needed, besides those of `others` or not.
bool Wavefront::observe(Position& p, const Lane& lane, bool others) {
  ++p.loops;
  if (under_policy(p.index)) position_kv_.after_loop(p.loops - 1);
  if (finished_) return false;
  pool(p);
  if (p.view == nullptr) return false;
  View& view = *p.view;
  const float* normed = parts_.arena.normed(p.slot);
  view.judged = false;
  view.proposes = false;
  if (view.reads()) view.readings.see({normed, static_cast<size_t>(width_)}, lane.gate_logit);
  if (view.exits && !view.reader.decided()) {
    view.judged = view.reader.observe(p.loops, normed, lane.gate_logit);
    view.sureness_before = std::exchange(view.sureness, LoopOdds::kUnknown);
    if (view.commit && view.chooses) {
      const LoopFigures seen = {.loop = p.loops, .gate_logit = lane.gate_logit};
      view.proposes =
          (view.committed || view.commit->needs_logits() || view.commit->enough(seen)) &&
          pays_to_read(p, others);
      if (!view.proposes) view.candidates.clear();
    }
  }
  const bool reads = view.judged || view.reads(ReadLoops::kEvery);
  view.guesses = view.proposes && !reads && p.loops <= guess_loops_;
  return reads || view.proposes;
}

// Now and then everything is read, since what loops say of each other may change.
bool Wavefront::explores(const Position& p) const {
  constexpr int64_t kNowAndThen = 16;
  return output_index(p.index) % kNowAndThen == 0;
}

// Where lanes cost more than they can save, nothing is read only to start one.
bool Wavefront::pays_to_read(const Position& p, bool others) const {
  if (!drafts() || p.loops == max_loops_ || fed_ > output_index(p.index)) return true;
  if (bounds_.effort == Effort::kPlain) return false;
  if (explores(p)) return true;
  return chance_before(p.index - flight_.front().index) * odds(p, 0) >
         (others ? bounds_.to_read_too : bounds_.to_read);
}

// Without speculation too.
bool Wavefront::needed(const Position& p) {
  return p.view->judged || p.view->reads(ReadLoops::kEvery);
}

// How many tokens behind the best may be worth a try.
int64_t Wavefront::runners_up(const Position& p) const {
  if (bounds_.effort != Effort::kAlternatives || !tries_alternatives() || p.view->decides) return 0;
  if (explores(p)) return kAlternatives;
  const double before = chance_before(p.index - flight_.front().index);
  int64_t count = 0;
  while (count < kAlternatives && before * odds(p, count + 1) > bounds_.to_start) {
    ++count;
  }
  return count;
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
  drop_alternatives([&](const Alternative& a) { return a.position.index > last_position + 1; });
  drop_after(last_position);
  cache_.truncate(last_position + 1);
}

// Where the token now at the end of the queue has been tried, its position takes the place that has
// become free.
void Wavefront::promote(int64_t output) {
  const int64_t index = output + prompt_size();
  const auto same = [&](const auto& a) {
    return a->position.index == index && a->token == queue_.at(output) && !a->failed;
  };
  const auto found = std::ranges::find_if(alternatives_, same);
  if (found == alternatives_.end() || !may_follow(output)) return;
  Alternative& a = **found;
  cache_.exchange(a.cache, a.position.loops);
  Position& p = flight_.emplace_back();
  p.index = index;
  p.start = a.position.start;
  p.loops = a.position.loops;
  p.view = std::move(a.position.view);
  parts_.arena.pass_on(&a.position.slot, &p.slot);
  alternatives_.erase(found);
  fed_ = output + 1;
  promoted_ = true;
  ++statistics_.provisional_tokens;
  ++statistics_.promoted_tokens;
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
  if (revision) promote(output);
  return true;
}

ReadRow Wavefront::Position::row() const {
  return {index, start, slot, view != nullptr && view->guesses ? loops - 1 : -1};
}

// Null when a position before it has taken back the token that it stands on.
Wavefront::Position* Wavefront::find(const ReadRow& row) {
  if (finished_ || flight_.empty()) return nullptr;
  const auto at = static_cast<size_t>(row.position - flight_.front().index);
  return at < flight_.size() && flight_[at].start == row.start ? &flight_[at] : nullptr;
}

size_t Wavefront::add_choice(const Position& p, const float* logits, const LogitSummary& summary,
                             std::vector<TokenChoice>& choices) {
  choices.push_back(queue_.choice(output_index(p.index), logits, summary));
  return choices.size() - 1;
}

// The tokens of a pass are chosen together. A position's choice is for the tokens that stood before
// it: when one of these is replaced in the same pass, the position is gone before its choice is
// looked at.
void Wavefront::judge(const ReadRow& row, const float* logits, const LogitSummary& summary,
                      std::vector<TokenChoice>& choices) {
  Position* const p = find(row);
  if (p == nullptr) return;
  View& view = *p->view;
  if (std::isnan(summary.log_sum)) {
    if (view.guesses) {  // a map that overflows proposes nothing
      view.proposes = view.decides = false;
      view.candidates.clear();
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
  // Logits do not say how likely a token is that a replay gives or a constraint forces.
  if (view.proposes && !request_.replay && request_.constraint == nullptr) {
    view.sureness = LoopOdds::sureness(std::exp(summary.log_probability(summary.best_logit)));
  }
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
      choices[view.proposal].runners_up = runners_up(*p);
    }
  } else if (view.decides && view.reads(ReadLoops::kExit)) {
    Status s = view.readings.read_exit({view.reader.logits(), vocabulary}, view.reader.summary());
    if (!s.ok()) fail(std::move(s));
  }
}

std::optional<int32_t> Wavefront::chosen(const Position& p, const TokenChoice& choice,
                                         size_t rank) {
  const int64_t output = output_index(p.index);
  const int32_t best = rank == 0 ? choice.token : choice.others[rank - 1];
  if (best < 0) {
    const std::string why = request_.constraint ? request_.constraint->why_none() : "";
    fail(invalid_argument(fmt::format(
        "the constraint and the logit biases leave no token for place {} of the output{}{}", output,
        why.empty() ? "" : ": ", why)));
    return std::nullopt;
  }
  if (!request_.replay) return best;
  const int32_t token = request_.replay(output, p.loops, static_cast<int64_t>(rank), best);
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

void Wavefront::settle(const ReadRow& row, std::span<const TokenChoice> choices,
                       std::vector<ReadRow>& rows) {
  Position* const p = find(row);
  if (p == nullptr || !p->view->chooses) return;
  View& view = *p->view;
  // An early loop may find no token where the place before it is a guess: only a decision fails.
  if (view.proposes && choices[view.proposal].token < 0) {
    view.candidates.clear();
  } else if (view.proposes) {
    const std::optional<int32_t> token = chosen(*p, choices[view.proposal], 0);
    if (!token || !keep_candidates(*p, *token, choices[view.proposal])) return;
    view.proposed[static_cast<size_t>(p->loops - 1)] = *token;
    if (view.committed && !view.decides && !keeps_guess(*p)) {
      propose(output_index(p->index), *token, p->loops, false);
    }
  }
  if (view.decides) decide(*p, choices[view.decision]);
  if (!std::exchange(promoted_, false) || finished_) return;
  const Position& last = flight_.back();
  if (!last.view->judged && !last.view->proposes) return;
  early_rows_ += !needed(last);
  rows.push_back(last.row());
}

// Keeps this loop's best tokens, to try those that are not in the queue, and tries no others.
bool Wavefront::keep_candidates(Position& p, int32_t best, const TokenChoice& choice) {
  if (!tries_alternatives()) return true;
  std::vector<int32_t>& candidates = p.view->candidates;
  if (!candidates.empty()) {
    const auto at = std::ranges::find(candidates, best);
    parts_.odds.saw(p.loops - 1, p.view->sureness_before, at - candidates.begin(),
                    static_cast<int64_t>(candidates.size()));
  }
  candidates = {best};
  for (size_t rank = 1; rank <= choice.others.size() && choice.others[rank - 1] >= 0; ++rank) {
    const std::optional<int32_t> token = chosen(p, choice, rank);
    if (!token) return false;
    candidates.push_back(*token);
  }
  drop_alternatives([&](const Alternative& a) {
    return a.position.index == p.index + 1 &&
           std::ranges::find(candidates, a.token) == candidates.end();
  });
  return true;
}

void Wavefront::decide(Position& p, const TokenChoice& choice) {
  View& view = *p.view;
  const int64_t output = output_index(p.index);
  const std::optional<int32_t> id = chosen(p, choice, 0);
  if (!id || !propose(output, *id, p.loops, true)) return;
  drop_alternatives([&p](const Alternative& a) { return a.position.index == p.index + 1; });
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
  retire();
  if (finished_) return;
  report();
  // What would have been read of one that is not chosen cannot be read later.
  drop_alternatives(
      [this](const Alternative& a) { return over_ || a.failed || a.position.view->judged; });
  if (over_ && !(request_.options.plan.reads_prompt() && reading())) finished_ = true;
}

int64_t Wavefront::plain_passes() const {
  return std::max<int64_t>(plain_passes_so_far() - plain_passes_before_, was_reading_ ? 1 : 0);
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
    reported_loops_ += next->token.loops;
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
  drop_alternatives();
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
