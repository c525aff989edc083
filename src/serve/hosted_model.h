// A model on the server: what requests of it are read with, and the engine that runs it.
#ifndef LOOPLM_SERVE_HOSTED_MODEL_H_
#define LOOPLM_SERVE_HOSTED_MODEL_H_

#include <memory>
#include <optional>
#include <vector>

#include "serve/exchange.h"
#include "serve/generation_request.h"
#include "serve/server.h"

namespace looplm {

class HostedModel {
 public:
  // Fails where the context does not fit the model, or the memory for keys and values.
  static Result<std::unique_ptr<HostedModel>> create(Model& model,
                                                     const ServedModelOptions& options,
                                                     const ServeOptions& server, Worker& texts,
                                                     ServeMetrics& metrics);

  // The model, and then its adapters.
  const std::vector<ServedModel>& served() const { return served_; }
  const EngineRunner& runner() const { return *runner_; }
  // For requests of one of served().
  ExchangeServices& exchange(const ServedModel& served) {
    return exchanges_[static_cast<size_t>(&served - served_.data())];
  }
  // Between two passes of the engine.
  Status update_weights(const TensorSource& tensors);
  // Ends the engine and its requests. Their output so far may still be read.
  void stop() { runner_.reset(); }

 private:
  HostedModel(std::vector<ServedModel> served, Model& model, const EngineOptions& engine,
              const ServeOptions& server, Worker& texts, ServeMetrics& metrics);

  const std::vector<ServedModel> served_;
  std::optional<EngineRunner> runner_;
  std::vector<ExchangeServices> exchanges_;  // of each of served_
};

}  // namespace looplm

#endif  // LOOPLM_SERVE_HOSTED_MODEL_H_
