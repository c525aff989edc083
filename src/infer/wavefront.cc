#include "infer/wavefront.h"

#include <algorithm>

#include "base/check.h"
#include "infer/softmax.h"

namespace looplm {

// How a position's token comes about. Only positions whose token is to be chosen have one: the
// prompt's last and the generated ones.
struct Wavefront::View {
  View(const ModelConfig& config, const ExitRule& exit_rule,
       const std::optional<ExitRule>& commit_rule, const GenerateOptions& o, int64_t max_loops)
      : commit(commit_rule), reader(config, exit_rule, o.read_out, o.exit.min_loops, max_loops) {}

  std::optional<ExitRule> commit;  // none without speculation
  PositionReader reader;
  bool committed = false;         // a token was proposed
  bool judged = false;            // the reader needs this loop's logits
  bool proposes = false;          // speculation does
  std::vector<int32_t> proposed;  // each loop's token, -1 where it was not read
};

struct Wavefront::Position {
  int64_t index = 0;
  int64_t loops = 0;         // ended
  int64_t lane = -1;         // in the pass that runs
  std::vector<float> state;  // (2, E): carried to the next loop; normed
  std::unique_ptr<View> view;
};

Wavefront::Wavefront(Model& model, PassRunner& runner, PagePool& pages, Request request,
                     int64_t max_loops)
    : model_(model),
      runner_(runner),
      request_(std::move(request)),
      max_loops_(max_loops),
      width_(model.config().hidden_size),
      cache_(pages, model.config().layers, max_loops),
      position_kv_(request_.options.kv, cache_, model.config()),
      sampler_(request_.options.sampling, request_.prompt),
      output_(request_.options, model, request_.callbacks.token) {
  statistics_.prompt_tokens = prompt_size();
  statistics_.loop_reads.assign(static_cast<size_t>(max_loops), 0);
  statistics_.loop_agreements.assign(static_cast<size_t>(max_loops), 0);
  finished_ = request_.options.max_tokens == 0;
  if (reads_as_decoded()) cache_.share_planes(request_.options.kv);
}

Wavefront::~Wavefront() = default;

std::unique_ptr<Wavefront::View> Wavefront::make_view() {
  if (spare_views_.empty()) {
    const GenerateOptions& o = request_.options;
    const bool gate = model_.config().exit_gate;
    const auto exit = make_exit_rule(o.exit, gate);
    const auto commit = make_commit_rule(o.speculate, gate, max_loops_);
    LOOPLM_CHECK(exit.ok() && commit.ok());  // check_request() has made them
    spare_views_.push_back(std::make_unique<View>(model_.config(), exit.value(), commit.value(), o, max_loops_));
  }
  std::unique_ptr<View> view = std::move(spare_views_.back());
  spare_views_.pop_back();
  view->reader.begin();
  if (view->commit) view->commit->reset();
  view->committed = false;
  view->proposed.assign(static_cast<size_t>(max_loops_), -1);
  return view;
}

// ---- Lanes

void Wavefront::start(int64_t index, int32_t token) {
  auto p = std::make_unique<Position>();
  p->index = index;
  p->state.resize(static_cast<size_t>(2 * width_));
  runner_.embed({&token, 1}, p->state.data());
  if (index >= prompt_size() - 1) p->view = make_view();
  if (under_policy(index)) position_kv_.begin(index);
  flight_.push_back(std::move(p));
}

void Wavefront::add_lane(Position& p, std::vector<Lane>& lanes) {
  p.lane = static_cast<int64_t>(lanes.size());
  lanes.push_back({&cache_, p.index, p.loops, p.state.data(), p.state.data() + width_, 0.0f});
  statistics_.decode_lanes += p.index >= prompt_size();
}

void Wavefront::begin_chunk(int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    start(prompt_started_, request_.prompt[static_cast<size_t>(prompt_started_)]);
    ++prompt_started_;
    ++prompt_flying_;
  }
}

int64_t Wavefront::prompt_positions_in_flight() const { return prompt_flying_; }

void Wavefront::add_lanes(int64_t prompt_quota, std::vector<Lane>& lanes) {
  if (flight_.empty() && prompt_started_ < prompt_size()) {
    const int64_t chunk = reads_as_decoded() ? 1 : request_.options.prompt_chunk;
    begin_chunk(std::min({chunk, prompt_quota, prompt_size() - prompt_started_}));
  } else if (started_ < emitted_ && (keeps_all_loops() || flight_.empty())) {
    if (!keeps_all_loops() && started_ == 0) cache_.share_planes(request_.options.kv);
    ++started_;
    start(prompt_size() + started_ - 1, tokens_[static_cast<size_t>(started_ - 1)]);
  }
  for (const std::unique_ptr<Position>& p : flight_) add_lane(*p, lanes);
  const bool decoding = !flight_.empty() && flight_.back()->index >= prompt_size();
  statistics_.decode_passes += decoding && emitted_ > 0;
  statistics_.passes += !flight_.empty();
}

bool Wavefront::add_speculative_lane(std::vector<Lane>& lanes) {
  const auto proposed = static_cast<int64_t>(tokens_.size());
  if (request_.options.speculate.kind == CommitKind::kNever || started_ >= proposed) return false;
  if (started_ < emitted_ || started_ + 1 >= request_.options.max_tokens) return false;
  const int32_t token = tokens_[static_cast<size_t>(started_)];
  if (output_.is_stop_id(token)) return false;
  const bool decoding = !flight_.empty() && flight_.back()->index >= prompt_size();
  statistics_.decode_passes += !decoding && emitted_ > 0;
  ++statistics_.decode_lanes;
  ++statistics_.provisional_tokens;
  ++started_;
  start(prompt_size() + started_ - 1, token);
  add_lane(*flight_.back(), lanes);
  return true;
}

// ---- Results

void Wavefront::observe(std::span<const Lane> lanes, std::vector<const float*>& rows) {
  const size_t rows_before = rows.size();
  for (const std::unique_ptr<Position>& p : flight_) {
    LOOPLM_CHECK(p->lane >= 0, "position {} was not in the pass", p->index);
    const Lane& lane = lanes[static_cast<size_t>(p->lane)];
    p->lane = -1;
    ++p->loops;
    if (under_policy(p->index)) position_kv_.after_loop(p->loops - 1);
    if (p->view == nullptr) continue;
    View& view = *p->view;
    view.judged = false;
    view.proposes = false;
    if (view.reader.decided()) continue;
    const float* normed = p->state.data() + width_;
    view.judged = view.reader.observe(p->loops, normed, lane.gate_logit);
    if (view.commit) {
      const LoopFigures seen = {.loop = p->loops, .gate_logit = lane.gate_logit};
      view.proposes = view.committed || view.commit->needs_logits() || view.commit->enough(seen);
    }
    if (view.judged || view.proposes) rows.push_back(normed);
  }
  read_outs_ += emitted_ > 0 && rows.size() > rows_before;
}

// What a loop would put at `output`, given the tokens before it.
int32_t Wavefront::choose(int64_t output, std::span<const float> logits) {
  const auto first = static_cast<size_t>(output);
  for (size_t i = first; i < tokens_.size(); ++i) sampler_.forget(tokens_[i]);
  const int32_t token = sampler_.choose(logits, prompt_size() + output);
  for (size_t i = first; i < tokens_.size(); ++i) sampler_.accept(tokens_[i]);
  return token;
}

void Wavefront::take_back(int64_t output) {
  const int64_t last_position = output + prompt_size() - 1;
  while (static_cast<int64_t>(tokens_.size()) > output) {
    sampler_.forget(tokens_.back());
    tokens_.pop_back();
  }
  if (static_cast<int64_t>(finals_.size()) > output - emitted_) {
    finals_.resize(static_cast<size_t>(output - emitted_));
  }
  if (started_ > output) {
    statistics_.revised_tokens += started_ - output;
    started_ = output;
  }
  while (flight_.back()->index > last_position) {
    if (flight_.back()->view != nullptr) spare_views_.push_back(std::move(flight_.back()->view));
    flight_.pop_back();
  }
  cache_.truncate(last_position + 1);
}

// Puts a token at `output`, in place of another if need be. False when the request's screening
// stops it.
bool Wavefront::propose(int64_t output, int32_t token, int64_t loop, bool final) {
  const bool has = static_cast<int64_t>(tokens_.size()) > output;
  const bool same = has && tokens_[static_cast<size_t>(output)] == token;
  const bool revision = has && !same;
  if (request_.callbacks.screen && (!same || final) &&
      !request_.callbacks.screen({output, token, loop, revision, final})) {
    screened_ = true;
    return false;
  }
  if (same) return true;
  if (revision) take_back(output);
  tokens_.push_back(token);
  sampler_.accept(token);
  return true;
}

void Wavefront::decide(Position& position) {
  View& view = *position.view;
  const int64_t output = output_index(position.index);
  const std::vector<float>& logits = view.reader.logits();
  GeneratedToken token;
  token.id = choose(output, logits);
  if (request_.replay) token.id = request_.replay(output, position.loops, token.id);
  token.loops = view.reader.loops();
  token.log_probability = static_cast<float>(
      static_cast<double>(logits[static_cast<size_t>(token.id)]) - log_sum_exp(logits));
  if (!propose(output, token.id, position.loops, true)) return;
  for (size_t t = 0; t < view.proposed.size(); ++t) {
    if (view.proposed[t] < 0) continue;
    ++statistics_.loop_reads[t];
    statistics_.loop_agreements[t] += view.proposed[t] == token.id;
  }
  if (request_.options.speculate.kind != CommitKind::kNever) token.proposals = view.proposed;
  const auto at = static_cast<size_t>(output - emitted_);
  if (finals_.size() <= at) finals_.resize(at + 1);
  finals_[at] = std::move(token);
}

// Returns false when screening has ended the request.
bool Wavefront::judge_position(Position& position, std::span<const float> logits) {
  View& view = *position.view;
  if (view.judged) view.reader.judge(logits);
  if (view.proposes) {
    const int64_t output = output_index(position.index);
    int32_t token = choose(output, logits);
    if (request_.replay) token = request_.replay(output, position.loops, token);
    view.proposed[static_cast<size_t>(position.loops - 1)] = token;
    if (!view.committed && view.commit->needs_logits()) {
      view.committed =
          view.commit->enough({.loop = position.loops, .margin = summarize_softmax(logits).margin});
    } else {
      view.committed = true;
    }
    if (view.committed && !view.reader.decided() &&
        !propose(output, token, position.loops, false)) {
      return false;
    }
  }
  if (view.reader.decided()) decide(position);
  return !screened_;
}

void Wavefront::judge(const float* logits) {
  const auto vocabulary = static_cast<size_t>(model_.config().vocab_size);
  // A position that takes tokens back removes the ones after it: hence no iterators.
  for (size_t i = 0; i < flight_.size(); ++i) {
    Position& p = *flight_[i];
    if (p.view == nullptr || !(p.view->judged || p.view->proposes)) continue;
    if (!judge_position(p, {logits, vocabulary})) break;
    logits += vocabulary;
  }
  emit();
  if (screened_ && !finished_) cancel();
  retire();
}

void Wavefront::emit() {
  while (!finished_ && !finals_.empty() && finals_.front().has_value()) {
    if (emitted_ == 0) {
      statistics_.prompt_seconds = timer_.seconds();
      timer_.restart();
    }
    ++emitted_;
    const bool over = output_.add(*std::move(finals_.front()));
    finished_ = finished_ || over;  // the callback may have cancelled
    finals_.pop_front();
  }
}

// Positions that will run no more loops leave.
void Wavefront::retire() {
  while (!flight_.empty()) {
    Position& p = *flight_.front();
    const bool generated = p.index >= prompt_size();
    const bool enough = generated && !keeps_all_loops() && p.view->reader.decided();
    if (p.loops < max_loops_ && !enough) return;
    if (under_policy(p.index)) position_kv_.finish(p.loops);
    if (!generated) --prompt_flying_;
    if (p.view != nullptr) spare_views_.push_back(std::move(p.view));
    flight_.pop_front();
  }
}

bool Wavefront::take_prompt_end() {
  if (prompt_end_taken_ || !prompt_ended() || reads_as_decoded()) return false;
  prompt_end_taken_ = true;
  return true;
}

void Wavefront::cancel() {
  if (finished_) return;
  output_.cancel();
  finished_ = true;
}

Generation Wavefront::take() {
  Generation generation;
  if (emitted_ > 0) {
    statistics_.decode_seconds = timer_.seconds();
  } else {
    statistics_.prompt_seconds = timer_.seconds();
  }
  statistics_.kv_bytes = cache_.bytes();
  const ModelWeights& weights = runner_.weights();
  statistics_.weight_bytes =
      static_cast<uint64_t>(statistics_.decode_passes) * weights.block_bytes() +
      static_cast<uint64_t>(read_outs_) * weights.head_bytes();
  generation.statistics = std::move(statistics_);
  output_.move_into(generation);
  return generation;
}

}  // namespace looplm
