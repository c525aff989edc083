// What operators watch, in Prometheus' text format.
#ifndef LOOPLM_SERVE_SERVE_METRICS_H_
#define LOOPLM_SERVE_SERVE_METRICS_H_

#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>

#include "looplm/engine.h"

namespace prometheus {
class Registry;
}

namespace looplm {

// Of the requests that name one model or adapter. For any threads.
class ModelMetrics {
 public:
  ModelMetrics(std::string model, prometheus::Registry& registry);
  ~ModelMetrics();

  void began(int64_t requests);
  void refused();                    // the queue was full
  void first_token(double seconds);  // since the request came
  void next_token(double seconds);   // since the token before
  void ended(const Generation& generation, double seconds);

 private:
  struct Series;
  const std::unique_ptr<Series> series_;
};

// For any threads.
class ServeMetrics {
 public:
  // A model's engine, which also runs the requests of its adapters.
  struct Engine {
    std::string model;
    EngineStatistics statistics{};
    int64_t lane_budget = 0;
  };

  ServeMetrics();
  ~ServeMetrics();

  // Made when they are first asked for; they stay.
  ModelMetrics& of(const std::string& model);
  void answered(int status);
  void log_line_lost();

  // All series, with the engines' state of now.
  std::string text(std::span<const Engine> engines, int64_t connections);

 private:
  const std::unique_ptr<prometheus::Registry> registry_;
  std::mutex mutex_;
  std::map<std::string, ModelMetrics> models_;  // guarded by mutex_
};

}  // namespace looplm

#endif  // LOOPLM_SERVE_SERVE_METRICS_H_
