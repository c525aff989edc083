#include "serve/serve_metrics.h"

#include <utility>

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
using prometheus::Counter;
using prometheus::Gauge;
using prometheus::Histogram;
using prometheus::Labels;
using prometheus::Registry;

const Histogram::BucketBoundaries kLatency = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                              0.5,   1,      2.5,   5,    10,    30,   60};

// A registry has one family of a name, and a family one series of the same labels.
prometheus::Family<Counter>& counters(Registry& registry, const char* name, const char* help) {
  return BuildCounter().Name(name).Help(help).Register(registry);
}
prometheus::Family<Counter>& responses(Registry& registry) {
  return counters(registry, "looplm_responses_total", "Answers by HTTP status.");
}
Counter& lost_lines(Registry& registry) {
  return counters(registry, "looplm_log_lines_lost_total",
                  "Lines of the log that could not be written.")
      .Add({});
}
void set(Registry& registry, const Labels& labels, const char* name, const char* help,
         double value) {
  BuildGauge().Name(name).Help(help).Register(registry).Add(labels).Set(value);
}
void count_to(Registry& registry, const Labels& labels, const char* name, const char* help,
              int64_t value) {
  Counter& counter = counters(registry, name, help).Add(labels);
  counter.Increment(static_cast<double>(value) - counter.Value());
}

}  // namespace

struct ModelMetrics::Series {
  Counter& counter(const char* name, const char* help) const {
    return counters(registry, name, help).Add({{"model", model}});
  }
  Histogram& histogram(const char* name, const char* help) const {
    return BuildHistogram().Name(name).Help(help).Register(registry).Add({{"model", model}},
                                                                         kLatency);
  }

  std::string model;
  Registry& registry;
  Counter& requests =
      counter("looplm_requests_total", "Generations begun, each choice of each prompt.");
  Counter& refusals =
      counter("looplm_requests_refused_total", "Requests refused because the queue was full.");
  prometheus::Family<Counter>& finished =
      counters(registry, "looplm_finished_total", "Generations by reason of their end.");
  Counter& prompt_tokens = counter("looplm_prompt_tokens_total", "Tokens of prompts.");
  Counter& cached_tokens =
      counter("looplm_prompt_tokens_cached_total", "Tokens of prompts found in the prefix cache.");
  Counter& completion_tokens = counter("looplm_completion_tokens_total", "Tokens generated.");
  prometheus::Family<Counter>& exits =
      counters(registry, "looplm_exits_total", "Tokens generated, by the loop that chose them.");
  Counter& loops = counter("looplm_loops_total",
                           "Loops that chose tokens, summed: over tokens, the mean depth.");
  Counter& proposed =
      counter("looplm_speculation_proposed_total", "Tokens committed before their last loop.");
  Counter& revised =
      counter("looplm_speculation_revised_total", "Of those, tokens that a later loop took back.");
  Histogram& first_token = histogram("looplm_time_to_first_token_seconds",
                                     "From a request's arrival to its first token.");
  Histogram& next_token =
      histogram("looplm_inter_token_seconds", "Between two tokens of a choice.");
  Histogram& whole = histogram("looplm_request_seconds", "From a request's arrival to its end.");
};

ModelMetrics::ModelMetrics(std::string model, Registry& registry)
    : series_(new Series{std::move(model), registry}) {}
ModelMetrics::~ModelMetrics() = default;

void ModelMetrics::began(int64_t requests) {
  series_->requests.Increment(static_cast<double>(requests));
}
void ModelMetrics::refused() { series_->refusals.Increment(); }
void ModelMetrics::first_token(double seconds) { series_->first_token.Observe(seconds); }
void ModelMetrics::next_token(double seconds) { series_->next_token.Observe(seconds); }

void ModelMetrics::ended(const Generation& generation, double seconds) {
  Series& s = *series_;
  s.whole.Observe(seconds);
  s.finished.Add({{"model", s.model}, {"reason", finish_reason_name(generation.finish_reason)}})
      .Increment();
  s.prompt_tokens.Increment(static_cast<double>(generation.statistics.prompt_tokens));
  s.cached_tokens.Increment(static_cast<double>(generation.statistics.cached_prompt_tokens));
  s.completion_tokens.Increment(static_cast<double>(generation.tokens.size()));
  s.proposed.Increment(static_cast<double>(generation.statistics.provisional_tokens));
  s.revised.Increment(static_cast<double>(generation.statistics.revised_tokens));
  std::map<int64_t, int64_t> exits;
  for (const GeneratedToken& token : generation.tokens) ++exits[token.loops];
  for (const auto& [loop, tokens] : exits) {
    s.exits.Add({{"model", s.model}, {"loop", std::to_string(loop)}})
        .Increment(static_cast<double>(tokens));
    s.loops.Increment(static_cast<double>(loop * tokens));
  }
}

ServeMetrics::ServeMetrics() : registry_(std::make_unique<Registry>()) { lost_lines(*registry_); }
ServeMetrics::~ServeMetrics() = default;

ModelMetrics& ServeMetrics::of(const std::string& model) {
  const std::lock_guard lock(mutex_);
  return models_.try_emplace(model, model, *registry_).first->second;
}
void ServeMetrics::answered(int status) {
  responses(*registry_).Add({{"status", std::to_string(status)}}).Increment();
}
void ServeMetrics::log_line_lost() { lost_lines(*registry_).Increment(); }

std::string ServeMetrics::text(std::span<const Engine> engines, int64_t connections) {
  const std::lock_guard lock(mutex_);  // what is counted up to the engine's count
  Registry& r = *registry_;
  for (const auto& [model, engine, lane_budget] : engines) {
    const Labels labels = {{"model", model}};
    const auto number = [](auto value) { return static_cast<double>(value); };
    set(r, labels, "looplm_requests_running", "Generations in the passes.", number(engine.running));
    set(r, labels, "looplm_requests_waiting", "Generations that wait for room.",
        number(engine.waiting));
    set(r, labels, "looplm_kv_bytes", "Bytes of keys and values.", number(engine.kv_bytes));
    set(r, labels, "looplm_prefix_bytes", "Of them, kept for requests that begin alike.",
        number(engine.prefix_bytes));
    set(r, labels, "looplm_lane_budget", "Lanes up to which a pass speculates.",
        number(lane_budget));
    count_to(r, labels, "looplm_passes_total", "Passes over the weights.", engine.passes);
    count_to(r, labels, "looplm_lanes_total", "Lanes in all passes.", engine.lanes);
    count_to(r, labels, "looplm_preemptions_total",
             "Generations that made way and were computed again.", engine.preemptions);
  }
  set(r, {}, "looplm_connections", "Open connections.", static_cast<double>(connections));
  return prometheus::TextSerializer().Serialize(r.Collect());
}

}  // namespace looplm
