// What operators watch, in Prometheus' text format.
#ifndef LOOPLM_SERVE_SERVE_METRICS_H_
#define LOOPLM_SERVE_SERVE_METRICS_H_

#include <memory>
#include <string>

#include "looplm/engine.h"

namespace looplm {

// For any threads.
class ServeMetrics {
 public:
  ServeMetrics();
  ~ServeMetrics();

  void began(int64_t requests);
  void refused();  // the queue was full
  void answered(int status);
  void log_line_lost();
  void first_token(double seconds);  // since the request came
  void next_token(double seconds);   // since the token before
  void ended(const Generation& generation, double seconds);

  // All series, with the engine's state of now.
  std::string text(const EngineStatistics& engine, int64_t lane_budget, int64_t connections);

 private:
  class Series;
  std::unique_ptr<Series> series_;
};

}  // namespace looplm

#endif  // LOOPLM_SERVE_SERVE_METRICS_H_
