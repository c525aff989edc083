#include "looplm/engine.h"

#include <algorithm>
#include <exception>
#include <limits>
#include <map>
#include <set>
#include <unordered_map>

#include <fmt/format.h>

#include "base/check.h"
#include "base/count_text.h"
#include "base/timer.h"
#include "infer/parts.h"
#include "infer/prefix_cache.h"
#include "infer/request.h"
#include "infer/row_reader.h"
#include "infer/wavefront.h"

namespace looplm {
namespace {

// Rows read out at once: enough per read of the head, the largest matrix, few enough that the
// logits of a large vocabulary stay small.
constexpr int64_t kReadOutRows = 64;
// More than are ever worth it.
constexpr int64_t kMaxLanes = 1024;

// Pages of a (loop, layer) times planes that the request may come to hold, alone.
int64_t most_planes_pages(const Request& r, int64_t loops, bool shares) {
  const auto prompt = static_cast<int64_t>(r.prompt.size());
  const int64_t all = pages_for(prompt + std::max<int64_t>(0, r.options.max_tokens - 1));
  if (kv_planes(r.options.kv, 2) > 1) return all * loops;
  if (r.options.prompt_kv == PromptKv::kAsDecoded) return all;
  // The mean is written over the first loop's pages; where a kept prefix owns them too, to copies.
  const bool copies = shares && r.options.kv == KvPolicy::kMean;
  // A page of output may be taken before those of the other loops are given back.
  const int64_t first_page = r.options.max_tokens > 1 ? 1 : 0;
  return std::max(pages_for(prompt) * (loops + (copies ? 1 : 0)) + first_page, all);
}

// The first to be served stands first: by priority, then by arrival. (~p orders as -p does.)
using Rank = std::pair<int64_t, int64_t>;

// A request on its way.
struct Entry {
  int64_t id = 0;
  int64_t loops = 0;
  Request request;                       // until the wavefront has it
  std::unique_ptr<Wavefront> wavefront;  // from the first try to admit it
  int64_t priority = 0;
  std::optional<std::chrono::steady_clock::time_point> deadline;
  std::optional<FinishReason> ended{};  // while it waited
  bool began = false;                   // was admitted before
  PrefixCache::Chain chain{};           // pinned: its pages are in use
  // Another request that computes so many positions which this one will share; until then it has no
  // lanes.
  int64_t leader = 0;
  int64_t leader_positions = 0;

  Rank rank() const { return {~priority, id}; }
};

// Whose kept keys and values the request shares: what one adapter has computed is another's no more
// than another tenant's.
std::string sharer(const Request& r) {
  return fmt::format("{} {}{}", r.adapter.size(), r.adapter, r.tenant);
}

size_t common_prefix(std::span<const int32_t> a, std::span<const int32_t> b) {
  return static_cast<size_t>(std::ranges::mismatch(a, b).in1 - a.begin());
}

}  // namespace

class Engine::Impl {
 public:
  Impl(Model& model, const EngineOptions& options)
      : model_(model),
        options_(options),
        runner_(*model.parts().runner),
        pages_(model.parts().pages.layout()),
        prefixes_(pages_, model.config().layers),
        arena_(model.config()),
        reader_(model.parts(), arena_),
        weights_version_(model.weights_version()) {
    options_.prompt_lanes = std::max<int64_t>(1, options_.prompt_lanes);
    if (options_.lane_budget > 0) budget_.emplace(options_.lane_budget);
  }

  ~Impl() {
    closing_ = true;
    while (!running_.empty()) end(take_out(running_, running_.begin()), FinishReason::kCancelled);
    while (!waiting_.empty()) end(take_waiting(waiting_.begin()), FinishReason::kCancelled);
    while (!ended_.empty()) end(take_out(ended_, ended_.begin()), FinishReason::kCancelled);
  }

  Result<int64_t> submit(Request request) {
    if (closing_) return Status(StatusCode::kCancelled, "the engine is being destroyed");
    LOOPLM_ASSIGN_OR_RETURN(const int64_t loops, check_request(request, model_));
    const int64_t pages =
        most_planes_pages(request, loops, options_.share_prefixes) * model_.config().layers;
    if (pages > capacity()) {
      return resource_exhausted(fmt::format(
          "a prompt of {} and {} more need {} bytes for keys and values at {}; expected at most "
          "{}",
          count_text(request.prompt.size(), "token"), request.options.max_tokens,
          static_cast<uint64_t>(pages) * pages_.page_bytes(), count_text(loops, "loop"),
          options_.kv_bytes));
    }
    auto entry = std::make_unique<Entry>();
    entry->id = ++last_id_;
    entry->loops = loops;
    entry->priority = request.priority;
    entry->deadline = request.deadline;
    entry->request = std::move(request);
    entries_[entry->id] = entry.get();
    if (entry->deadline) deadlines_.insert({*entry->deadline, entry->id});
    waiting_.emplace(entry->rank(), std::move(entry));
    return last_id_;
  }

  void cancel(int64_t id) { end_early(id, FinishReason::kCancelled); }

  bool step() {
    LOOPLM_CHECK(!stepping_, "step() was called by a callback");
    struct Stepping {
      explicit Stepping(bool& f) : flag(f) { flag = true; }
      ~Stepping() { flag = false; }
      bool& flag;
    } const stepping(stepping_);
    notice_weights();
    expire();
    end_finished();
    admit();
    const bool any = !running_.empty() || !lingering_.empty();
    if (any) {
      run_pass();
      end_finished();
    }
    if (thrown_) std::rethrow_exception(std::exchange(thrown_, nullptr));
    return any;
  }

  EngineStatistics statistics() const {
    EngineStatistics s = statistics_;
    s.running = static_cast<int64_t>(running_.size());
    s.waiting = static_cast<int64_t>(waiting_.size());
    s.kv_bytes = bytes_of(pages_.pages_in_use());
    s.prefix_bytes = bytes_of(prefixes_.evictable_pages());
    return s;
  }

  int64_t lane_budget() { return costs().knee(); }

  void drop_prefixes() { prefixes_.clear(); }

 private:
  using Entries = std::vector<std::unique_ptr<Entry>>;
  using Waiting = std::map<Rank, std::unique_ptr<Entry>>;

  uint64_t bytes_of(int64_t pages) const {
    return static_cast<uint64_t>(pages) * pages_.page_bytes();
  }
  int64_t capacity() const {
    if (options_.kv_bytes == 0) return std::numeric_limits<int64_t>::max() / 2;
    return static_cast<int64_t>(options_.kv_bytes / pages_.page_bytes());
  }
  // Pages that could be had without taking them from a request.
  int64_t room() const { return capacity() - pages_.pages_in_use() + prefixes_.evictable_pages(); }

  static std::unique_ptr<Entry> take_out(Entries& from, Entries::iterator at) {
    std::unique_ptr<Entry> entry = std::move(*at);
    from.erase(at);
    return entry;
  }
  std::unique_ptr<Entry> take_waiting(Waiting::iterator at) {
    std::unique_ptr<Entry> entry = std::move(at->second);
    waiting_.erase(at);
    return entry;
  }

  Wavefront& wavefront_of(Entry& e) {
    if (e.wavefront == nullptr) {
      e.wavefront = std::make_unique<Wavefront>(EngineParts{.model = model_,
                                                            .runner = runner_,
                                                            .pages = pages_,
                                                            .arena = arena_,
                                                            .odds = model_.parts().loop_odds},
                                                std::move(e.request), e.loops);
    }
    return *e.wavefront;
  }

  // ---- Ends

  void end_early(int64_t id, FinishReason reason) {
    const auto found = entries_.find(id);
    if (found == entries_.end()) return;
    Entry& e = *found->second;
    const auto waits = waiting_.find(e.rank());
    if (waits == waiting_.end()) {
      if (!e.ended) e.wavefront->end(reason);
      return;
    }
    e.ended = reason;
    ended_.push_back(take_waiting(waits));
  }

  void expire() {
    if (deadlines_.empty()) return;
    const auto now = std::chrono::steady_clock::now();
    while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
      const int64_t id = deadlines_.begin()->second;
      deadlines_.erase(deadlines_.begin());
      end_early(id, FinishReason::kDeadline);
    }
  }

  // One at a time: a done() may end others, running or waiting.
  void end_finished() {
    for (;;) {
      const auto finished =
          std::ranges::find_if(running_, [](const auto& r) { return r->wavefront->finished(); });
      if (!ended_.empty()) {
        std::unique_ptr<Entry> e = take_out(ended_, ended_.begin());
        const FinishReason reason = *e->ended;
        end(std::move(e), reason);
      } else if (finished != running_.end()) {
        finish(take_out(running_, finished));
      } else {
        return;
      }
    }
  }

  void end(std::unique_ptr<Entry> e, FinishReason reason) {
    wavefront_of(*e).end(reason);
    finish(std::move(e));
  }

  // The request has left all lists.
  void finish(std::unique_ptr<Entry> e) {
    entries_.erase(e->id);
    if (e->deadline) deadlines_.erase({*e->deadline, e->id});
    Wavefront& w = *e->wavefront;
    Generation result = w.take();
    const std::function<void(Generation)> done = w.take_done();
    const bool ran_out = result.finish_reason == FinishReason::kStop ||
                         result.finish_reason == FinishReason::kLength;
    if (closing_) {
      unpin(*e);
    } else if (options_.share_prefixes && ran_out && w.linger()) {
      lingering_.push_back(std::move(e));
    } else {
      if (result.finish_reason != FinishReason::kError) keep_prefix(*e);
      leave(*e);
      e.reset();
      trim_prefixes();
    }
    if (!done) return;
    try {
      done(std::move(result));
    } catch (...) {
      if (!thrown_) thrown_ = std::current_exception();
    }
  }

  // What the request computed is kept; nothing of it runs.
  void leave(Entry& e) {
    unpin(e);
    e.wavefront->drop_positions();
    for (const std::unique_ptr<Entry>& r : running_) {
      if (r->leader != e.id) continue;
      unpin(*r);
      r->leader = 0;
      begin_text(*r);
    }
  }

  // Nothing that older weights have computed is used.
  void notice_weights() {
    if (model_.weights_version() == weights_version_) return;
    weights_version_ = model_.weights_version();
    const auto restart = [](Entry& e) {
      if (e.wavefront != nullptr) e.wavefront->restart(/*readings=*/true);
    };
    for (const auto& [rank, e] : waiting_) restart(*e);
    for (const auto& e : running_) {
      unpin(*e);
      restart(*e);
      e->leader = e->id;  // until it begins: an earlier one must not wait for it
    }
    while (!lingering_.empty()) leave(*take_out(lingering_, lingering_.end() - 1));
    prefixes_.clear();
    for (const auto& e : running_) begin_text(*e);
  }

  // ---- Prefixes

  void unpin(Entry& e) {
    prefixes_.unpin(e.chain);
    e.chain = {};
  }
  void pin(Entry& e, const PrefixCache::Chain& chain) {
    prefixes_.pin(chain);
    prefixes_.unpin(e.chain);
    e.chain = chain;
  }

  // Puts what the request has computed into the tree.
  void keep_prefix(Entry& e) {
    if (!options_.share_prefixes) return;
    Wavefront& w = *e.wavefront;
    pin(e, prefixes_.insert(sharer(w.request()), w.shareable(), w.cache(), e.loops));
  }

  void trim_prefixes() {
    const auto most = static_cast<int64_t>(options_.prefix_bytes / pages_.page_bytes());
    while (prefixes_.pages() > most && prefixes_.evict()) {
    }
  }

  // Where the beginning of a request's text comes from: kept pages, or another request that is
  // reading the same. A page less is not worth waiting for.
  struct Beginning {
    PrefixCache::Chain chain;
    int64_t leader = 0;
    int64_t positions = 0;  // then
  };
  Beginning find_beginning(const Entry& e) {
    Beginning b;
    Wavefront& w = *e.wavefront;
    if (!options_.share_prefixes || w.adoptable_positions() == 0) return b;
    const std::vector<int32_t> text = w.text();
    const std::span<const int32_t> wanted = {text.data(),
                                             static_cast<size_t>(w.adoptable_positions())};
    const std::string own = sharer(w.request());
    b.chain = prefixes_.find(own, wanted, e.loops);
    b.positions = b.chain.positions();
    const auto consider = [&](const Entry& other) {
      Wavefront& o = *other.wavefront;
      // Of two that wait for a leader the later one may follow the earlier: so there is no circle.
      const bool before = other.leader == 0 || other.rank() < e.rank();
      if (&other == &e || !before || other.loops < e.loops || !o.will_share() ||
          sharer(o.request()) != own) {
        return;
      }
      const auto common = static_cast<int64_t>(common_prefix(wanted, o.text()));
      const int64_t least = b.leader == 0 ? b.positions + kPagePositions : b.positions + 1;
      if (common < least) return;
      b.leader = other.id;
      b.positions = common;
    };
    for (const auto& other : running_) consider(*other);
    for (const auto& other : lingering_) consider(*other);
    return b;
  }

  // For a request that has computed nothing.
  void begin_text(Entry& e) {
    const Beginning b = find_beginning(e);
    pin(e, b.chain);
    start_text(e, b);
  }

  void start_text(Entry& e, const Beginning& b) {
    Wavefront& w = *e.wavefront;
    e.leader = b.leader;
    e.leader_positions = b.positions;
    if (e.leader != 0) return;
    prefixes_.adopt(e.chain, w.cache(), e.loops);
    w.adopted(e.chain.positions());
    count_beginning(e, e.chain.positions(), 0);
  }

  void count_beginning(Entry& e, int64_t cached, int64_t shared) {
    if (e.began) return;
    e.began = true;
    statistics_.prompt_tokens += e.wavefront->prompt_positions();
    statistics_.cached_prompt_tokens += cached;
    statistics_.shared_prompt_tokens += shared;
  }

  // The request has read its text: others may begin with it.
  void share_text(Entry& e) {
    keep_prefix(e);
    const std::vector<int32_t> have = e.wavefront->shareable();
    for (const std::unique_ptr<Entry>& r : running_) {
      if (r->leader != e.id) continue;
      Wavefront& w = *r->wavefront;
      const std::vector<int32_t> text = w.text();
      const std::span<const int32_t> wanted = {text.data(),
                                               static_cast<size_t>(w.adoptable_positions())};
      const auto common = static_cast<int64_t>(common_prefix(wanted, have));
      const int64_t cached = r->chain.positions();
      w.cache().fork(e.wavefront->cache(), common);
      w.adopted(common);
      pin(*r,
          prefixes_.find(sharer(w.request()), wanted.first(static_cast<size_t>(common)), r->loops));
      r->leader = 0;
      count_beginning(*r, std::min(cached, common), std::max<int64_t>(0, common - cached));
    }
  }

  // ---- Admission

  void admit() {
    while (!waiting_.empty()) {
      Entry& e = *waiting_.begin()->second;
      Wavefront& w = wavefront_of(e);
      if (w.finished()) {  // it asks for nothing
        run(take_waiting(waiting_.begin()));
        continue;
      }
      const Beginning b = find_beginning(e);
      pin(e, b.chain);
      int64_t pages = pages_soon(e, b.positions);
      for (const auto& r : running_) pages += pages_soon(*r, r->leader_positions);
      if (pages > room() && !running_.empty()) {
        unpin(e);
        if (!preempt_for(e)) return;
        continue;
      }
      start_text(e, b);
      run(take_waiting(waiting_.begin()));
    }
  }

  void run(std::unique_ptr<Entry> e) {
    const auto rank_of = [](const std::unique_ptr<Entry>& r) { return r->rank(); };
    running_.insert(std::ranges::upper_bound(running_, e->rank(), {}, rank_of), std::move(e));
  }

  // Pages that the request will take, of which those of its first `positions` are there or will be.
  int64_t pages_soon(const Entry& e, int64_t positions) const {
    const bool none_yet = e.wavefront->cache().pages() == 0;
    const int64_t there =
        none_yet ? positions / kPagePositions * e.loops * model_.config().layers : 0;
    return std::max<int64_t>(0, e.wavefront->pages_soon() - there);
  }

  // Takes the pages of a less urgent request, if all of those together have enough. False when
  // there is none.
  bool preempt_for(const Entry& e) {
    if (running_.back()->priority >= e.priority) return false;
    int64_t others = 0;
    for (const auto& r : running_) {
      if (r->priority < e.priority) break;
      others += r->wavefront->cache().pages() + r->wavefront->pages_soon();
    }
    if (others + e.wavefront->pages_soon() > capacity()) return false;
    preempt_last();
    return true;
  }

  // The last in rank waits, and is computed again when there is room.
  void preempt_last() {
    std::unique_ptr<Entry> e = take_out(running_, running_.end() - 1);
    keep_prefix(*e);
    leave(*e);
    trim_prefixes();
    e->leader = 0;
    e->wavefront->restart(/*readings=*/false);
    ++statistics_.preemptions;
    waiting_.emplace(e->rank(), std::move(e));
  }

  // ---- The pass

  // How many text positions a request may start; of all requests together at most prompt_lanes are
  // in flight.
  int64_t text_quota() const {
    int64_t quota = options_.prompt_lanes;
    for (const auto& r : running_) quota -= r->wavefront->text_in_flight();
    return quota;
  }

  int64_t pages_for_pass() {
    int64_t pages = 0;
    int64_t quota = text_quota();
    for (const auto& r : running_) {
      if (r->leader != 0 || r->wavefront->finished()) continue;
      const int64_t mine = std::max<int64_t>(0, quota);
      pages += r->wavefront->pages_for_pass(mine);
      quota -= r->wavefront->next_chunk(mine);
    }
    for (const auto& r : lingering_) pages += r->wavefront->pages_for_pass(0);
    return pages;
  }

  bool drop_alternatives() {
    bool any = false;
    for (const auto& r : running_) any |= r->wavefront->drop_alternatives();
    return any;
  }

  // Frees what the pass will take: tokens tried beside others, kept prefixes that nobody runs on,
  // where that is enough; else those that only finish their pages for others; else the last in
  // rank.
  int64_t make_room() {
    if (options_.kv_bytes == 0) return 0;
    for (;;) {
      const int64_t pages = pages_for_pass();
      const auto fits = [&] { return has_room(pages); };
      if (!fits() && drop_alternatives()) continue;
      while (!fits() && pages <= room() && prefixes_.evict()) {
      }
      if (fits()) return pages;
      if (!lingering_.empty()) {
        end_lingering(lingering_.end() - 1);
      } else if (running_.size() > 1) {
        preempt_last();
      } else {
        // Alone it fits: submit() has seen to that. What it stands on may have planes that it does
        // not use.
        unpin(*running_.front());
        prefixes_.clear();
        LOOPLM_CHECK(fits(), "{} pages of {} and {} more", pages_.pages_in_use(), capacity(),
                     pages);
        return pages;
      }
    }
  }

  void start_positions(int64_t pages) {
    new_ids_.clear();
    int64_t quota = text_quota();
    bool speculates = false;
    const Effort effort = this->effort();
    // Before any start, since new lanes are the arena's last ones.
    for (const auto& r : running_) {
      Wavefront& w = *r->wavefront;
      if (!w.tries_alternatives()) continue;
      if (effort == Effort::kAlternatives) {
        w.drop_unlikely(least_chance());
      } else {
        w.drop_alternatives();
      }
    }
    for (const auto& r : running_) {
      Wavefront& w = *r->wavefront;
      if (r->leader != 0 || w.finished()) continue;
      const int64_t before = w.text_in_flight();
      w.start_certain(std::max<int64_t>(0, quota), new_ids_);
      quota -= w.text_in_flight() - before;
      // The pages of its prompt are no longer what it runs on.
      if (w.cache().shared()) unpin(*r);
      const CommitKind kind = w.request().options.speculate.kind;
      const bool plain = kind == CommitKind::kAuto && effort == Effort::kPlain;
      speculates = speculates || (kind != CommitKind::kNever && !plain);
      if (plain) w.set_bounds({.effort = effort});
    }
    if (!speculates) return;
    // One position each, then as many as the text suggests, then other tokens beside these.
    for (const auto& r : running_) speculate(*r, 1, pages);
    for (const auto& r : running_) speculate(*r, kMaxLanes, pages);
    if (effort == Effort::kAlternatives) {
      for (const auto& r : running_) try_alternatives(*r, pages);
    }
    const auto to_read = [this](int64_t rows) {
      return costs().least_chance_to_read(arena_.used(), sharers(), rows);
    };
    const SpeculationBounds bounds = {effort, least_chance(), to_read(0), to_read(1)};
    for (const auto& r : running_) r->wavefront->set_bounds(bounds);
  }

  LaneCosts& costs() { return budget_ ? *budget_ : model_.parts().lane_costs; }
  Effort effort() const { return budget_ ? Effort::kAlternatives : model_.parts().effort.now(); }
  int64_t sharers() const { return static_cast<int64_t>(running_.size()); }

  // Of one lane more in the next pass.
  double least_chance() { return costs().least_chance(arena_.used(), sharers()); }
  // Whether a lane is free for what has this chance. A rule that was named starts whatever it may
  // where lanes are nearly free.
  bool worth_a_lane(const Wavefront& w, double chance) {
    if (!w.counts()) return arena_.used() < lane_budget();
    return effort() != Effort::kPlain && chance > least_chance();
  }
  bool has_room(int64_t pages) const { return pages_.pages_in_use() + pages <= capacity(); }

  // Starts at most `most` provisional positions, while lanes are worth it and pages there.
  void speculate(Entry& e, int64_t most, int64_t& pages) {
    Wavefront& w = *e.wavefront;
    if (e.leader != 0) return;
    for (int64_t i = 0; i < most; ++i) {
      if (!w.may_speculate()) {
        bool drafted = false;
        if (most == 1 || !worth_a_lane(w, w.draft_chance())) return;
        guard(e, [&] { drafted = w.draft() && w.may_speculate(); });
        if (!drafted) return;
      } else if (!worth_a_lane(w, w.chance())) {
        return;
      }
      const int64_t more = w.pages_to_speculate();
      if (!has_room(pages + more)) return;
      pages += more;
      w.start_provisional(new_ids_);
    }
  }

  void try_alternatives(Entry& e, int64_t& pages) {
    Wavefront& w = *e.wavefront;
    const int64_t more = w.pages_of_alternative();
    while (e.leader == 0 && has_room(pages + more) &&
           w.start_alternative(least_chance(), new_ids_)) {
      pages += more;
    }
  }

  // What the pass took, and what plain decoding would have taken to come as far: the pass with the
  // lanes and the rows that are there without speculation, and for an average request some later
  // ones, which have a lane each: a text's lanes have ended by then.
  void learn(int64_t lanes, int64_t early_lanes) {
    if (budget_) return;
    int64_t plain_passes = 0, requests = 0, early_rows = 0;
    bool counts = false, reads = false;
    for (const auto& r : running_) {
      const Wavefront& w = *r->wavefront;
      if (r->leader != 0) continue;
      reads = reads || w.reading();
      ++requests;
      plain_passes += w.counts() ? w.plain_passes() : 1;
      early_rows += w.counts() ? w.early_rows() : 0;
      counts = counts || w.counts();
    }
    // The first passes, which are plain, are to show what few lanes cost. A prompt has many.
    if (!counts || (reads && effort() == Effort::kPlain)) return;
    const double passes = static_cast<double>(plain_passes) / static_cast<double>(requests);
    const auto rows = static_cast<int64_t>(rows_.size());
    model_.parts().effort.saw(costs().of_pass(lanes) + costs().of_read_out(rows_read_),
                              std::min(1.0, passes) * costs().of_pass(lanes - early_lanes) +
                                  std::max(0.0, passes - 1) * costs().of_pass(requests) +
                                  costs().of_read_out(rows - early_rows));
  }

  void run_pass() {
    const Timer timer;
    start_positions(make_room());
    const int64_t lanes = arena_.used();
    if (lanes == 0) {
      const auto finished = [](const auto& r) { return r->wavefront->finished(); };
      LOOPLM_CHECK(std::ranges::all_of(running_, finished), "a request has nothing to run");
      return;
    }
    lanes_.assign(static_cast<size_t>(lanes), {});
    for (const auto& r : running_) r->wavefront->fill(lanes_);
    for (const auto& r : lingering_) r->wavefront->fill(lanes_);
    int64_t early_lanes = 0;
    for (const auto& r : running_) {
      if (r->wavefront->counts()) early_lanes += r->wavefront->early_lanes();
    }
    runner_.embed(new_ids_, arena_.state(lanes - static_cast<int64_t>(new_ids_.size())));
    runner_.run(arena_, lanes_);
    ++statistics_.passes;
    statistics_.lanes += lanes;
    observe();
    const double until_rows = timer.seconds();
    read_out();
    costs().saw_pass(lanes, until_rows);
    if (rows_read_ > 0) costs().saw_read_out(rows_read_, timer.seconds() - until_rows);
    for (size_t i = 0; i < running_.size(); ++i) {
      Entry& e = *running_[i];
      guard(e, [&] { e.wavefront->end_pass(); });
      if (!e.wavefront->failed() && e.wavefront->take_text_end() && options_.share_prefixes) {
        share_text(e);
      }
    }
    learn(lanes, early_lanes);
    for (size_t i = lingering_.size(); i-- > 0;) {
      Entry& e = *lingering_[i];
      e.wavefront->end_pass();
      if (e.wavefront->take_text_end()) share_text(e);
      if (!e.wavefront->in_flight()) end_lingering(lingering_.begin() + static_cast<ptrdiff_t>(i));
    }
  }

  void end_lingering(Entries::iterator at) {
    const std::unique_ptr<Entry> e = take_out(lingering_, at);
    keep_prefix(*e);
    leave(*e);
    e->wavefront.reset();
    trim_prefixes();
  }

  // What a request's callbacks throw ends that request.
  template <typename F>
  void guard(Entry& e, F&& f) {
    try {
      f();
    } catch (const std::exception& x) {
      e.wavefront->fail(internal_error(fmt::format("a callback threw: {}", x.what())));
    } catch (...) {
      e.wavefront->fail(internal_error("a callback threw something that is not a std::exception"));
    }
  }

  void observe() {
    rows_.clear();
    maybe_.clear();
    found_.clear();
    found_maybe_.clear();
    const auto observe = [&](Entry& e) {
      e.wavefront->observe(lanes_, found_, found_maybe_);
      for (size_t i = rows_.size(); i < found_.size(); ++i) rows_.push_back({&e, found_[i]});
      for (size_t i = maybe_.size(); i < found_maybe_.size(); ++i) {
        maybe_.push_back({&e, found_maybe_[i]});
      }
    };
    for (const auto& r : running_) observe(*r);
    for (const auto& r : lingering_) observe(*r);
    // The head is read once for both, if at all.
    const int64_t room = rows_.empty() ? 0 : std::max<int64_t>(0, kReadOutRows - std::ssize(rows_));
    if (std::ssize(maybe_) > room) maybe_.resize(static_cast<size_t>(room));
  }

  void read_out() {
    rows_read_ = 0;
    reader_.begin();
    // Settling may give slots back, but a slot's row stays as it is until positions start.
    for (size_t first = 0, count = 0; first < rows_.size(); first += count) {
      count = std::min<size_t>(kReadOutRows, rows_.size() - first);
      const std::span<const Row> rows = std::span(rows_).subspan(first, count);
      const auto there = [this](const Row& r) { return reader_.has(r.entry, r.row); };
      if (!std::ranges::all_of(rows, there)) {
        reader_.begin();
        for (const Row& r : rows) reader_.add(r.entry, r.row);
        for (const Row& r : maybe_) reader_.add(r.entry, r.row);
        reader_.read();
        ++statistics_.read_outs;
        rows_read_ += static_cast<int64_t>(count + maybe_.size());
        maybe_.clear();
      }
      choices_.clear();
      for (const Row& r : rows) {
        guard(*r.entry, [&] {
          r.entry->wavefront->judge(r.row, reader_.logits(r.entry, r.row),
                                    reader_.summary(r.entry, r.row), choices_);
        });
      }
      choose_tokens(choices_, model_.config().vocab_size, runner_.device());
      for (size_t i = 0; i < count; ++i) {
        const Row row = rows_[first + i];
        found_.clear();
        guard(*row.entry, [&] { row.entry->wavefront->settle(row.row, choices_, found_); });
        for (const ReadRow& more : found_) rows_.push_back({row.entry, more});
      }
    }
  }

  Model& model_;
  EngineOptions options_;
  std::optional<LaneCosts> budget_;  // none: as learnt
  PassRunner& runner_;
  PagePool pages_;
  PrefixCache prefixes_;
  LaneArena arena_;
  RowReader reader_;
  EngineStatistics statistics_;
  uint64_t weights_version_;
  int64_t last_id_ = 0;
  bool stepping_ = false;
  bool closing_ = false;
  std::exception_ptr thrown_;  // by a done()

  // A request stands in exactly one of these lists. Those of the first three are in entries_ too;
  // those that linger have been reported.
  Waiting waiting_;
  Entries ended_;      // while they waited
  Entries running_;    // by rank
  Entries lingering_;  // their last positions end their loops, so that their pages can be kept
  std::unordered_map<int64_t, Entry*> entries_;
  std::set<std::pair<std::chrono::steady_clock::time_point, int64_t>> deadlines_;

  // Of a pass.
  struct Row {
    Entry* entry;
    ReadRow row;
  };
  std::vector<int32_t> new_ids_;
  std::vector<Lane> lanes_;
  std::vector<ReadRow> found_, found_maybe_;
  std::vector<Row> rows_;
  std::vector<Row> maybe_;  // may be asked for while others settle
  int64_t rows_read_ = 0;
  std::vector<TokenChoice> choices_;
};

Engine::Engine(Model& model, const EngineOptions& options) : impl_(new Impl(model, options)) {}
Engine::~Engine() = default;

Result<int64_t> Engine::submit(Request request) { return impl_->submit(std::move(request)); }
void Engine::cancel(int64_t request) { impl_->cancel(request); }
bool Engine::step() { return impl_->step(); }
EngineStatistics Engine::statistics() const { return impl_->statistics(); }
int64_t Engine::lane_budget() { return impl_->lane_budget(); }
void Engine::drop_prefixes() { impl_->drop_prefixes(); }

}  // namespace looplm
