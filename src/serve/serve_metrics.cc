#include "serve/serve_metrics.h"

#include <map>

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

namespace looplm {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildGauge;
using prometheus::BuildHistogram;
using prometheus::Histogram;

const Histogram::BucketBoundaries kLatency = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                              0.5,   1,      2.5,   5,    10,    30,   60};

}  // namespace

class ServeMetrics::Series {
 public:
  prometheus::Counter& counter(const char* name, const char* help) {
    return BuildCounter().Name(name).Help(help).Register(registry).Add({});
  }
  prometheus::Gauge& gauge(const char* name, const char* help) {
    return BuildGauge().Name(name).Help(help).Register(registry).Add({});
  }
  Histogram& histogram(const char* name, const char* help) {
    return BuildHistogram().Name(name).Help(help).Register(registry).Add({}, kLatency);
  }

  prometheus::Registry registry;
  prometheus::Counter& requests =
      counter("looplm_requests_total", "Generations begun, each choice of each prompt.");
  prometheus::Counter& refusals =
      counter("looplm_requests_refused_total", "Requests refused because the queue was full.");
  prometheus::Family<prometheus::Counter>& responses = BuildCounter()
                                                           .Name("looplm_responses_total")
                                                           .Help("Answers by HTTP status.")
                                                           .Register(registry);
  prometheus::Counter& lost_lines =
      counter("looplm_log_lines_lost_total", "Lines of the log that could not be written.");
  prometheus::Family<prometheus::Counter>& finished =
      BuildCounter()
          .Name("looplm_finished_total")
          .Help("Generations by reason of their end.")
          .Register(registry);
  prometheus::Counter& prompt_tokens = counter("looplm_prompt_tokens_total", "Tokens of prompts.");
  prometheus::Counter& cached_tokens =
      counter("looplm_prompt_tokens_cached_total", "Tokens of prompts found in the prefix cache.");
  prometheus::Counter& completion_tokens =
      counter("looplm_completion_tokens_total", "Tokens generated.");
  prometheus::Family<prometheus::Counter>& exits =
      BuildCounter()
          .Name("looplm_exits_total")
          .Help("Tokens generated, by the loop that chose them.")
          .Register(registry);
  prometheus::Counter& loops = counter(
      "looplm_loops_total", "Loops that chose tokens, summed: over tokens, the mean depth.");
  prometheus::Counter& proposed =
      counter("looplm_speculation_proposed_total", "Tokens committed before their last loop.");
  prometheus::Counter& revised =
      counter("looplm_speculation_revised_total", "Of those, tokens that a later loop took back.");
  Histogram& first_token = histogram("looplm_time_to_first_token_seconds",
                                     "From a request's arrival to its first token.");
  Histogram& next_token =
      histogram("looplm_inter_token_seconds", "Between two tokens of a choice.");
  Histogram& whole = histogram("looplm_request_seconds", "From a request's arrival to its end.");
  prometheus::Gauge& running = gauge("looplm_requests_running", "Generations in the passes.");
  prometheus::Gauge& waiting = gauge("looplm_requests_waiting", "Generations that wait for room.");
  prometheus::Gauge& kv_bytes = gauge("looplm_kv_bytes", "Bytes of keys and values.");
  prometheus::Gauge& prefix_bytes =
      gauge("looplm_prefix_bytes", "Of them, kept for requests that begin alike.");
  prometheus::Gauge& passes = gauge("looplm_passes_total", "Passes over the weights.");
  prometheus::Gauge& lanes = gauge("looplm_lanes_total", "Lanes in all passes.");
  prometheus::Gauge& preemptions =
      gauge("looplm_preemptions_total", "Generations that made way and were computed again.");
  prometheus::Gauge& lane_budget =
      gauge("looplm_lane_budget", "Lanes up to which a pass speculates.");
  prometheus::Gauge& connections = gauge("looplm_connections", "Open connections.");
};

ServeMetrics::ServeMetrics() : series_(std::make_unique<Series>()) {}
ServeMetrics::~ServeMetrics() = default;

void ServeMetrics::began(int64_t requests) {
  series_->requests.Increment(static_cast<double>(requests));
}
void ServeMetrics::refused() { series_->refusals.Increment(); }
void ServeMetrics::answered(int status) {
  series_->responses.Add({{"status", std::to_string(status)}}).Increment();
}
void ServeMetrics::log_line_lost() { series_->lost_lines.Increment(); }
void ServeMetrics::first_token(double seconds) { series_->first_token.Observe(seconds); }
void ServeMetrics::next_token(double seconds) { series_->next_token.Observe(seconds); }

void ServeMetrics::ended(const Generation& generation, double seconds) {
  Series& s = *series_;
  s.whole.Observe(seconds);
  s.finished.Add({{"reason", finish_reason_name(generation.finish_reason)}}).Increment();
  s.prompt_tokens.Increment(static_cast<double>(generation.statistics.prompt_tokens));
  s.cached_tokens.Increment(static_cast<double>(generation.statistics.cached_prompt_tokens));
  s.completion_tokens.Increment(static_cast<double>(generation.tokens.size()));
  s.proposed.Increment(static_cast<double>(generation.statistics.provisional_tokens));
  s.revised.Increment(static_cast<double>(generation.statistics.revised_tokens));
  std::map<int64_t, int64_t> exits;
  for (const GeneratedToken& token : generation.tokens) ++exits[token.loops];
  for (const auto& [loop, tokens] : exits) {
    s.exits.Add({{"loop", std::to_string(loop)}}).Increment(static_cast<double>(tokens));
    s.loops.Increment(static_cast<double>(loop * tokens));
  }
}

std::string ServeMetrics::text(const EngineStatistics& engine, int64_t lane_budget,
                               int64_t connections) {
  Series& s = *series_;
  s.running.Set(static_cast<double>(engine.running));
  s.waiting.Set(static_cast<double>(engine.waiting));
  s.kv_bytes.Set(static_cast<double>(engine.kv_bytes));
  s.prefix_bytes.Set(static_cast<double>(engine.prefix_bytes));
  s.passes.Set(static_cast<double>(engine.passes));
  s.lanes.Set(static_cast<double>(engine.lanes));
  s.preemptions.Set(static_cast<double>(engine.preemptions));
  s.lane_budget.Set(static_cast<double>(lane_budget));
  s.connections.Set(static_cast<double>(connections));
  return prometheus::TextSerializer().Serialize(s.registry.Collect());
}

}  // namespace looplm
