#include "looplm/engine.h"

#include <algorithm>
#include <deque>

#include <fmt/format.h>

#include "infer/knee.h"
#include "infer/parts.h"
#include "infer/prefix_cache.h"
#include "infer/request.h"
#include "infer/wavefront.h"

namespace looplm {

class Engine::Impl {
 public:
  Impl(Model& model, const EngineOptions& options)
      : model_(model),
        options_(options),
        runner_(*model.parts().runner),
        pages_(model.parts().pages.layout()),
        prefixes_(pages_, model.config().layers) {
    options_.prompt_lanes = std::max<int64_t>(1, options_.prompt_lanes);
  }

  Result<int64_t> submit(Request request) {
    LOOPLM_ASSIGN_OR_RETURN(const int64_t loops,
                            check_request(request.prompt, request.options, model_));
    const int64_t pages = pages_needed(request, loops);
    if (options_.kv_bytes > 0 && pages > capacity()) {
      return resource_exhausted(fmt::format(
          "a prompt of {} tokens and {} more need {} bytes for keys and values at {} loops; "
          "expected at most {}",
          request.prompt.size(), request.options.max_tokens,
          static_cast<uint64_t>(pages) * pages_.page_bytes(), loops, options_.kv_bytes));
    }
    waiting_.push_back({++last_id_, pages, loops, std::move(request)});
    return last_id_;
  }

  void cancel(int64_t id) {
    for (Running& r : running_) {
      if (r.id == id) r.wavefront->cancel();
    }
    for (Waiting& w : waiting_) {
      if (w.id == id) w.cancelled = true;
    }
  }

  bool step() {
    end_finished();
    admit();
    if (running_.empty()) return false;
    gather_lanes();
    if (!lanes_.empty()) {
      runner_.run(lanes_);
      ++statistics_.passes;
      statistics_.lanes += static_cast<int64_t>(lanes_.size());
      read_out();
    }
    end_finished();
    return true;
  }

  EngineStatistics statistics() const {
    EngineStatistics s = statistics_;
    s.running = static_cast<int64_t>(running_.size());
    s.waiting = static_cast<int64_t>(waiting_.size());
    s.kv_bytes = static_cast<uint64_t>(pages_.pages_in_use()) * pages_.page_bytes();
    return s;
  }

  int64_t lane_budget() {
    if (options_.lane_budget == 0) {
      options_.lane_budget = measure_knee(model_.parts().weights, runner_.device());
    }
    return options_.lane_budget;
  }

 private:
  struct Waiting {
    int64_t id;
    int64_t pages;
    int64_t loops;
    Request request;
    bool cancelled = false;
  };
  struct Running {
    int64_t id;
    int64_t pages;  // that it may come to hold
    std::unique_ptr<Wavefront> wavefront;
  };

  int64_t most_prefix_pages() const {
    return static_cast<int64_t>(options_.prefix_bytes / pages_.page_bytes());
  }
  int64_t capacity() const { return static_cast<int64_t>(options_.kv_bytes / pages_.page_bytes()); }

  // At most: a prompt has a plane per loop under every policy.
  int64_t pages_needed(const Request& r, int64_t loops) const {
    const auto positions =
        static_cast<int64_t>(r.prompt.size()) + std::max<int64_t>(0, r.options.max_tokens - 1);
    const int64_t layers = model_.config().layers;
    int64_t pages = (positions + kPagePositions - 1) / kPagePositions * loops * layers;
    // The mean is written over the first loop's pages, which the kept prefix owns too: copies.
    if (options_.share_prefixes && r.options.kv == KvPolicy::kMean) {
      pages += static_cast<int64_t>(r.prompt.size()) / kPagePositions * layers;
    }
    return pages;
  }

  // Whether `pages` more are free beside what those running may still take. Forgets prefixes to
  // make room.
  bool make_room(int64_t pages) {
    if (options_.kv_bytes == 0) return true;
    int64_t promised = pages;
    for (const Running& r : running_) {
      promised += r.pages - r.wavefront->cache().pages();
    }
    while (pages_.pages_in_use() + promised > capacity()) {
      if (!prefixes_.evict()) return false;
    }
    return true;
  }

  void admit() {
    // The cancelled need no room.
    std::stable_partition(waiting_.begin(), waiting_.end(),
                          [](const Waiting& w) { return w.cancelled; });
    while (!waiting_.empty()) {
      Waiting& next = waiting_.front();
      if (!next.cancelled && !make_room(next.pages)) return;
      Running r = {next.id, next.pages,
                   std::make_unique<Wavefront>(model_, runner_, pages_, std::move(next.request),
                                               next.loops)};
      if (next.cancelled) r.wavefront->cancel();
      waiting_.pop_front();
      if (options_.share_prefixes && r.wavefront->takes_prefixes()) adopt_prefix(*r.wavefront);
      running_.push_back(std::move(r));
    }
  }

  void adopt_prefix(Wavefront& w) {
    // The last prompt position always runs: its read-out chooses the first token.
    const std::vector<int32_t>& prompt = w.request().prompt;
    const std::vector<const PrefixCache::Node*> chain =
        prefixes_.find({prompt.data(), prompt.size() - 1}, w.max_loops());
    if (chain.empty()) return;
    w.adopt_prefix(static_cast<int64_t>(chain.size()), [&](int64_t loop, int64_t layer, int64_t i) {
      return chain[static_cast<size_t>(i)]->page(loop, layer, prefixes_.layers());
    });
    statistics_.cached_prompt_tokens += static_cast<int64_t>(chain.size()) * kPagePositions;
  }

  void gather_lanes() {
    lanes_.clear();
    int64_t prompt_quota = options_.prompt_lanes;
    for (const Running& r : running_) prompt_quota -= r.wavefront->prompt_positions_in_flight();
    bool speculates = false;
    for (const Running& r : running_) {
      if (r.wavefront->finished()) continue;
      const int64_t before = r.wavefront->prompt_positions_in_flight();
      r.wavefront->add_lanes(std::max<int64_t>(0, prompt_quota), lanes_);
      prompt_quota -= r.wavefront->prompt_positions_in_flight() - before;
      speculates =
          speculates || r.wavefront->request().options.speculate.kind != CommitKind::kNever;
    }
    if (!speculates) return;
    for (const Running& r : running_) {
      if (static_cast<int64_t>(lanes_.size()) >= lane_budget()) return;
      if (!r.wavefront->finished()) r.wavefront->add_speculative_lane(lanes_);
    }
  }

  void read_out() {
    rows_.clear();
    first_row_.clear();
    for (const Running& r : running_) {
      first_row_.push_back(rows_.size());
      if (!r.wavefront->finished()) r.wavefront->observe(lanes_, rows_);
    }
    const auto width = static_cast<size_t>(model_.config().hidden_size);
    const auto vocabulary = static_cast<size_t>(model_.config().vocab_size);
    normed_.resize(rows_.size() * width);
    logits_.resize(rows_.size() * vocabulary);
    summaries_.resize(rows_.size());
    for (size_t i = 0; i < rows_.size(); ++i) {
      std::copy_n(rows_[i], width, normed_.data() + i * width);
    }
    if (!rows_.empty()) {
      runner_.read_out(normed_.data(), static_cast<int64_t>(rows_.size()), logits_.data(),
                       summaries_.data());
    }
    choices_.clear();
    for (size_t i = 0; i < running_.size(); ++i) {
      Wavefront& w = *running_[i].wavefront;
      if (w.finished()) continue;
      w.judge(logits_.data() + first_row_[i] * vocabulary, summaries_.data() + first_row_[i],
              choices_);
    }
    choose_tokens(choices_, model_.config().vocab_size, runner_.device());
    for (size_t i = 0; i < running_.size(); ++i) {
      Wavefront& w = *running_[i].wavefront;
      if (w.finished()) continue;  // cancelled from another request's callback
      w.settle(choices_);
      if (w.take_prompt_end() && options_.share_prefixes) {
        prefixes_.insert(w.request().prompt, w.cache(), w.max_loops());
        while (prefixes_.pages() > most_prefix_pages() && prefixes_.evict()) {
        }
      }
    }
  }

  void end_finished() {
    for (size_t i = 0; i < running_.size();) {
      if (!running_[i].wavefront->finished()) {
        ++i;
        continue;
      }
      // Out of the list first: done() may submit or cancel.
      const std::unique_ptr<Wavefront> ended = std::move(running_[i].wavefront);
      running_.erase(running_.begin() + static_cast<ptrdiff_t>(i));
      if (ended->request().done) ended->request().done(ended->take());
    }
  }

  Model& model_;
  EngineOptions options_;
  PassRunner& runner_;
  PagePool pages_;
  PrefixCache prefixes_;
  std::deque<Waiting> waiting_;
  std::vector<Running> running_;
  int64_t last_id_ = 0;
  EngineStatistics statistics_;

  std::vector<Lane> lanes_;
  std::vector<const float*> rows_;
  std::vector<size_t> first_row_;
  std::vector<float> normed_;
  std::vector<float> logits_;
  std::vector<LogitSummary> summaries_;
  std::vector<TokenChoice> choices_;
};

Engine::Engine(Model& model, const EngineOptions& options) : impl_(new Impl(model, options)) {}
Engine::~Engine() = default;

Result<int64_t> Engine::submit(Request request) { return impl_->submit(std::move(request)); }
void Engine::cancel(int64_t request) { impl_->cancel(request); }
bool Engine::step() { return impl_->step(); }
EngineStatistics Engine::statistics() const { return impl_->statistics(); }
int64_t Engine::lane_budget() { return impl_->lane_budget(); }

}  // namespace looplm
