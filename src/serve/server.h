// The server: OpenAI's API over a model, with the loop as a dial.
#ifndef LOOPLM_SERVE_SERVER_H_
#define LOOPLM_SERVE_SERVER_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "looplm/chat.h"
#include "looplm/engine.h"
#include "looplm/status.h"

#include "infer/tuned_depth.h"
#include "net/http_server.h"

namespace looplm {

struct ServeOptions {
  HttpServerOptions http{};
  std::string model_name;               // what clients call the (first) model
  std::vector<std::string> api_keys{};  // one of them must be given; none: everybody is let in
  // Keys and values of one key's prompts may serve another's. They tell whether somebody has sent
  // the same beginning, by its speed.
  bool share_prefixes_between_keys = false;
  std::vector<std::string> cors_origins{};  // "*": all
  EngineOptions engine{};
  int64_t request_limit = 512;  // generations that run or wait; beyond, 429
  int64_t max_tokens = 0;       // of one answer; 0: what the context allows
  double max_seconds = 0;       // of one answer; 0: no limit
  // Positions of prompt and answer; 0: the model's. At most what the keys' and values' memory
  // holds.
  int64_t context = 0;
  std::chrono::milliseconds ping_every{15'000};
  // Gets a line of JSON per request; from any thread. False where the line is lost, which is
  // counted. Null: no log.
  std::function<bool(const std::string& line)> log{};
};

struct ServedModelOptions {
  std::string name{};                        // empty: ServeOptions::model_name
  SpeculateOptions speculate{};              // for requests that do not say
  std::shared_ptr<const ChatTemplate> chat;  // null: no conversations
  std::vector<TunedDepth> tuned{};           // read_tuned_depths(); requests start from the first
  uint64_t kv_bytes = 0;                     // for keys and values; 0: as the engine's options say
  // Adapters of the model (Model::add_adapter), which requests may name in its place.
  struct Adapter {
    std::string name;
    std::shared_ptr<const ChatTemplate> chat{};  // null: the model's
  };
  std::vector<Adapter> adapters{};
};

class Server {
 public:
  // Listens at once; until serve() is called all but /health, which says 503, are told to wait.
  static Result<std::unique_ptr<Server>> listen(ServeOptions options);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Models that requests may name, each name once. They must outlive the server, and nothing else
  // may run them meanwhile. Each has an engine, keys and values of its own.
  Status add(Model& model, const ServedModelOptions& options = {});
  // Takes requests from now on; add() nothing afterwards.
  void open();
  // Both, for one model.
  Status serve(Model& model, const ServedModelOptions& options = {});

  // New weights for the first model, as Model::update_weights takes them, between two passes.
  // Answers under way go on under the new weights, and no kept prefix outlives the old ones. From
  // any thread, after serve().
  Status update_weights(const TensorSource& tensors);

  // Why a model can answer no more; ok while all can. Requests then end with this error, and
  // /health says it with 503. Only a new server helps.
  Status failure() const;

  uint16_t port() const;
  // Takes no new connections and waits for the answers under way, at most so long; then cuts the
  // rest. False where a request is still being read after that: the destructor waits for it, so a
  // program that must end does not destroy this.
  bool drain(std::chrono::milliseconds at_most);

  // Paths and the method of each, but for the page's files. A path that ends with '/' takes a name.
  std::vector<std::pair<std::string, std::string>> routes() const;

  class Impl;

 private:
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace looplm

#endif  // LOOPLM_SERVE_SERVER_H_
