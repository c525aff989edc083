#include "serve/server.h"

#include <algorithm>
#include <future>
#include <map>
#include <mutex>
#include <optional>
#include <set>

#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/beast/core/string.hpp>
#include <fmt/format.h>
#include <openssl/crypto.h>

#include "serve/absent.h"
#include "serve/api.h"
#include "serve/hosted_model.h"
#include "serve/openapi.h"
#include "serve/page.h"

namespace looplm {
namespace {

// Digests have one length, and all of them are compared, so that time tells nothing.
std::optional<size_t> index_of(const std::vector<Sha256>& keys, std::string_view key) {
  const Sha256 given = sha256_of(key);
  std::optional<size_t> found;
  for (size_t i = 0; i < keys.size(); ++i) {
    if (CRYPTO_memcmp(keys[i].data(), given.data(), given.size()) == 0) found = i;
  }
  return found;
}

std::string_view bearer_of(const HttpCall& call) {
  const std::string_view given = call.header("authorization");
  constexpr std::string_view kBearer = "Bearer ";
  if (given.size() > kBearer.size() &&
      boost::beast::iequals(boost::beast::string_view(given.data(), kBearer.size()), "Bearer ")) {
    return given.substr(kBearer.size());
  }
  return call.header("x-api-key");
}

using Clock = std::chrono::steady_clock;

// The log takes lines of 4 KiB, and JSON writes six bytes for some.
constexpr size_t kMostPath = 400, kMostName = 100, kMostMethod = 32;

// What became of a request.
struct AnswerRecord {
  int status = 0;  // 0: no answer began
  Clock::time_point begun{};
  std::string notes{};  // ,"name":JSON for each
  bool left = false;    // the answer has no end: the client left, or it failed
};

// Adds the headers of cross-origin requests to whatever is answered, and tells what became of the
// request: `begun` when its answer begins, `ended` once, before the client sees the answer's end.
class LoggedReply : public HttpReply, public std::enable_shared_from_this<LoggedReply> {
 public:
  LoggedReply(std::shared_ptr<HttpReply> reply, HttpHeaders extra,
              std::function<void(int status)> begun, std::function<void(const AnswerRecord&)> ended)
      : reply_(std::move(reply)),
        extra_(std::move(extra)),
        begun_(std::move(begun)),
        ended_(std::move(ended)) {}
  ~LoggedReply() override { tell(true); }  // dropped before its end, which cuts the answer

  void send(int status, HttpHeaders headers, std::string body) override {
    start(status, headers);
    tell(false);
    reply_->send(status, std::move(headers), std::move(body));
  }
  void begin(int status, HttpHeaders headers) override {
    start(status, headers);
    reply_->begin(status, std::move(headers));
  }
  void write(std::string piece) override { reply_->write(std::move(piece)); }
  void end() override {
    tell(false);
    reply_->end();
  }
  void on_disconnect(std::function<void()> left) override {
    reply_->on_disconnect([weak = weak_from_this(), left = std::move(left)] {
      if (const auto self = weak.lock()) self->tell(true);
      left();
    });
  }
  void note(const char* name, const std::string& json) override {
    const std::lock_guard lock(mutex_);
    record_.notes += fmt::format(",\"{}\":{}", name, json);
  }

 private:
  void start(int status, HttpHeaders& headers) {
    begun_(status);
    headers.insert(headers.end(), extra_.begin(), extra_.end());
    const std::lock_guard lock(mutex_);
    record_.status = status;
    record_.begun = Clock::now();
  }
  void tell(bool left) {
    AnswerRecord record;
    {
      const std::lock_guard lock(mutex_);
      if (std::exchange(told_, true)) return;
      record = record_;
    }
    record.left = left;
    ended_(record);
  }

  const std::shared_ptr<HttpReply> reply_;
  const HttpHeaders extra_;
  const std::function<void(int)> begun_;
  const std::function<void(const AnswerRecord&)> ended_;
  std::mutex mutex_;
  AnswerRecord record_;  // guarded by mutex_
  bool told_ = false;    // guarded by mutex_
};

}  // namespace

class Server::Impl {
 public:
  explicit Impl(ServeOptions options) : options_(std::move(options)) {
    for (const std::string& key : options_.api_keys) keys_.push_back(sha256_of(key));
    add_routes();
  }
  ~Impl() { stop(std::nullopt); }

  Status listen() {
    LOOPLM_ASSIGN_OR_RETURN(http_, HttpServer::start(
                                       options_.http,
                                       [this](HttpCall call, std::shared_ptr<HttpReply> reply) {
                                         handle(std::move(call), std::move(reply));
                                       },
                                       error_body));
    return {};
  }

  Status add(Model& model, const ServedModelOptions& options) {
    LOOPLM_ASSIGN_OR_RETURN(std::unique_ptr<HostedModel> hosted,
                            HostedModel::create(model, options, options_, texts_, metrics_));
    std::set<std::string> names;
    for (const ServedModel* other : served()) names.insert(other->name);
    for (const ServedModel& one : hosted->served()) {
      if (!names.insert(one.name).second) {
        return invalid_argument(fmt::format("two models are called '{}'", one.name));
      }
    }
    models_.push_back(std::move(hosted));
    return {};
  }
  void open() { ready_.store(true, std::memory_order_release); }

  Status update_weights(const TensorSource& tensors) {
    if (!ready_.load(std::memory_order_acquire)) {
      return invalid_argument("new weights came before a model was served");
    }
    return models_[0]->update_weights(tensors);
  }

  Status failure() const {
    if (!ready_.load(std::memory_order_acquire)) return {};
    for (const auto& hosted : models_) {
      const Status failed = hosted->runner().failure();
      if (!failed.ok()) return failed.with_context("model " + hosted->served()[0].name);
    }
    return {};
  }

  uint16_t port() const { return http_->port(); }

  bool drain(std::chrono::milliseconds at_most) {
    const auto deadline = std::chrono::steady_clock::now() + at_most;
    http_->drain();
    http_->wait_drained(at_most);
    return stop(deadline + kLastReads);
  }

  std::vector<std::pair<std::string, std::string>> routes() const {
    std::vector<std::pair<std::string, std::string>> all;
    for (const auto& [path, route] : routes_) {
      const auto is_path = [&path = path](const EmbeddedFile& f) {
        return page_path(f.name) == path;
      };
      if (std::ranges::none_of(page_files(), is_path)) all.emplace_back(path, route.method);
    }
    return all;
  }

 private:
  using Handler = void (*)(const ApiContext&, const ApiCall&);
  static constexpr std::string_view kOneModel = "/models/";  // a name follows
  // For requests that are being read when the time for answers is over.
  static constexpr std::chrono::seconds kLastReads{1};
  struct Route {
    std::string method;
    Handler handler = nullptr;                        // with a JSON body, on front_
    std::function<void(const ApiCall&)> immediate{};  // without
    bool open = false;                                // without a key, and while loading
  };

  void add_routes() {
    const auto post = [this](const std::string& path, Handler handler) {
      routes_[path] = {"POST", handler};
    };
    // What is asked of the first model alone.
    const auto first = [this](OrderedJson (*json)(const ServedModel&)) {
      return Route{"GET", nullptr,
                   [this, json](const ApiCall& c) { c.answer(json(models_[0]->served()[0])); }};
    };
    for (const char* prefix : {"/v1", ""}) {
      const std::string p = prefix;
      post(p + "/completions", serve_completions);
      post(p + "/chat/completions", serve_chat);
      post(p + "/embeddings", serve_embeddings);
      routes_[p + "/models"] = {"GET", nullptr,
                                [this](const ApiCall& c) { c.answer(models_json(served())); }};
      routes_[p + std::string(kOneModel)] = {"GET", nullptr, [this](const ApiCall& c) {
                                               const Named named = named_by(c);
                                               if (named.served != nullptr)
                                                 c.answer(model_json(*named.served));
                                             }};
    }
    post("/v1/responses", serve_responses);
    post("/v1/messages", serve_messages);
    post("/v1/messages/count_tokens", serve_count_tokens);
    post("/api/chat", serve_ollama_chat);
    post("/api/generate", serve_ollama_generate);
    post("/api/show", serve_ollama_show);
    post("/api/embed", serve_ollama_embed);
    post("/api/embeddings", serve_ollama_embeddings);
    routes_["/api/tags"] = {"GET", nullptr,
                            [this](const ApiCall& c) { c.answer(ollama_tags_json(served())); }};
    routes_["/api/ps"] = {"GET", nullptr,
                          [this](const ApiCall& c) { c.answer(ollama_ps_json(served())); }};
    routes_["/api/version"] = {"GET", nullptr,
                               [](const ApiCall& c) {
                                 c.answer({{"version", LOOPLM_VERSION}});
                               },
                               true};
    post("/tokenize", serve_tokenize);
    post("/detokenize", serve_detokenize);
    post("/apply-template", serve_apply_template);
    routes_["/props"] = first(props_json);
    routes_["/tokenizer_info"] = first(tokenizer_info_json);
    routes_["/metrics"] = {
        "GET", nullptr, [this](const ApiCall& c) {
          c.reply->send(200, {{"Content-Type", "text/plain; version=0.0.4"}}, metrics_text());
        }};
    routes_["/openapi.json"] = {
        "GET", nullptr,
        [this](const ApiCall& c) {
          const bool known = ready_.load(std::memory_order_acquire);
          if (!known) return c.answer(openapi_json(0, false));
          const ServedModel& served = models_[0]->served().front();
          c.answer(openapi_json(served.model->config().vocab_size, !served.tuned.empty()));
        },
        true};
    for (const EmbeddedFile& file : page_files()) {
      routes_[page_path(file.name)] = {
          "GET", nullptr, [&file](const ApiCall& c) { send_page_file(file, *c.reply); }, true};
    }
    const Route health = {
        "GET", nullptr,
        [this](const ApiCall& c) {
          if (!ready_.load(std::memory_order_acquire)) {
            return c.refuse({.status = 503, .message = "the model is loading", .code = "loading"});
          }
          const Status failed = failure();
          if (failed.ok()) return c.answer({{"status", "ok"}});
          c.refuse({.status = 503, .message = failed.message(), .code = "engine_failed"});
        },
        true};
    routes_["/health"] = health;
    routes_["/v1/health"] = health;
  }

  std::vector<const ServedModel*> served() const {
    std::vector<const ServedModel*> all;
    for (const auto& hosted : models_) {
      for (const ServedModel& served : hosted->served()) all.push_back(&served);
    }
    return all;
  }

  // A model or adapter, and what runs it.
  struct Named {
    HostedModel* hosted = nullptr;
    const ServedModel* served = nullptr;  // null: none of that name
  };
  Named find(const std::string& name) const {
    for (const auto& hosted : models_) {
      for (const ServedModel& served : hosted->served()) {
        if (name == served.name || name == served.name + ":latest") return {hosted.get(), &served};
      }
    }
    return {};
  }
  // The one that a request names, or the first. Refuses the call and returns none where there is no
  // such model.
  Named named_by(const ApiCall& call) const {
    const OrderedJson& body = call.body;
    // Ollama's clients once said it so.
    const bool old = call.dialect == &kOllama && body.is_object() && !body.contains("model");
    Fields f(body);
    const std::string name = f.text(old ? "name" : "model", "");
    if (f.failed()) return call.refuse(f.error()), Named{};
    if (name.empty()) return {models_[0].get(), models_[0]->served().data()};
    const Named named = find(name);
    if (named.served == nullptr) {
      std::string names;
      for (const ServedModel* one : served()) {
        names += fmt::format("{}'{}'", names.empty() ? "" : ", ", one->name);
      }
      call.refuse({.status = 404,
                   .message = fmt::format("there is no model '{}' here; expected {}{}", name,
                                          served().size() > 1 ? "one of " : "", names),
                   .param = "model",
                   .code = "model_not_found"});
    }
    return named;
  }

  std::string metrics_text() {
    std::vector<ServeMetrics::Engine> engines;
    for (const auto& hosted : models_) {
      engines.push_back({hosted->served()[0].name, hosted->runner().statistics(),
                         hosted->runner().lane_budget()});
    }
    return metrics_.text(engines, http_->connections());
  }

  void handle(HttpCall call, std::shared_ptr<HttpReply> raw) {
    // A base address that ends with a slash, and a path that begins with one.
    const auto end = std::unique(call.path.begin(), call.path.end(),
                                 [](char before, char c) { return before == '/' && c == '/'; });
    call.path.erase(end, call.path.end());
    HttpHeaders cors;
    const std::string_view origin = call.header("origin");
    for (const std::string& allowed : options_.cors_origins) {
      if (origin.empty() || (allowed != "*" && allowed != origin)) continue;
      cors = {{"Access-Control-Allow-Origin", allowed == "*" ? "*" : std::string(origin)},
              {"Vary", "Origin"}};
    }
    const auto reply = std::make_shared<LoggedReply>(
        std::move(raw), cors, [this](int status) { metrics_.answered(status); },
        [this, came = Clock::now(), method = call.method, path = call.path, peer = call.peer](
            const AnswerRecord& record) { log_request(method, path, peer, came, record); });
    ApiCall api{.body = {}, .tenant = {}, .reply = reply, .dialect = dialect_of(call.path)};
    if (call.method == "OPTIONS") return answer_options(call, !cors.empty(), *reply);
    const Route* route = find_route(call, api);
    if (route == nullptr) return;
    if (const std::string_view coding = call.header("content-encoding");
        !coding.empty() && !boost::beast::iequals({coding.data(), coding.size()}, "identity")) {
      return api.refuse({.status = 415,
                         .message = fmt::format("Content-Encoding is '{}'; expected a body as it "
                                                "is, without one",
                                                coding)});
    }
    if (!route->open && !let_in(call, api)) return;
    if (!route->open && !ready_.load(std::memory_order_acquire)) {
      return api.refuse({.status = 503, .message = "the model is loading", .code = "loading"});
    }
    if (route->immediate) return route->immediate(api);
    boost::asio::post(*front_, [this, handler = route->handler, api = std::move(api),
                                body = std::move(call.body)]() mutable {
      try {
        Result<OrderedJson> json = parse_ordered_json(body, "the request's body");
        if (!json.ok()) return api.refuse(api_error_of(json.status()));
        api.body = std::move(json).value();
        if (!api.body.is_object()) {
          return api.refuse({.status = 400,
                             .message = fmt::format("the request is {}; expected an object",
                                                    shown_json(api.body))});
        }
        const Named named = named_by(api);
        if (named.served == nullptr) return;
        api.reply->note("model", dump_json(Json(named.served->name.substr(0, kMostName))));
        handler({*named.served, named.hosted->exchange(*named.served), options_.max_tokens,
                 options_.max_seconds},
                api);
      } catch (const std::exception& error) {
        api.refuse({.status = 500, .message = std::string("internal error: ") + error.what()});
      }
    });
  }

  // Also of a model's path, whose name comes back in `name`.
  std::map<std::string, Route>::const_iterator route_at(std::string path, std::string& name) const {
    if (path.size() > 1 && path.ends_with('/')) path.pop_back();
    const auto found = routes_.find(path);
    const size_t models = path.find(kOneModel);
    if (found != routes_.end() || models == std::string::npos) return found;
    name = path.substr(models + kOneModel.size());
    return routes_.find(path.substr(0, models) + std::string(kOneModel));
  }

  static std::string methods_of(const Route& route) {
    return route.method == "GET" ? "GET, HEAD, OPTIONS" : route.method + ", OPTIONS";
  }

  // Which methods there are, and to a browser which headers a page may send.
  void answer_options(const HttpCall& call, bool allowed_origin, HttpReply& reply) const {
    std::string name;
    const auto route = route_at(call.path, name);
    const std::string methods =
        route == routes_.end() ? "GET, HEAD, POST, OPTIONS" : methods_of(route->second);
    HttpHeaders headers = {{"Allow", methods}};
    if (allowed_origin) {
      const std::string_view wanted = call.header("access-control-request-headers");
      headers.emplace_back("Access-Control-Allow-Methods", methods);
      headers.emplace_back("Access-Control-Allow-Headers",
                           wanted.empty() ? "Authorization, Content-Type, X-Api-Key" : wanted);
      headers.emplace_back("Access-Control-Max-Age", "86400");
    }
    reply.send(204, std::move(headers), "");
  }

  const Route* find_route(const HttpCall& call, ApiCall& api) {
    std::string name;
    const auto found = route_at(call.path, name);
    if (!name.empty()) api.body = {{"model", name}};
    if (found == routes_.end()) {
      api.refuse(nothing_at(call.path));
      return nullptr;
    }
    const Route& route = found->second;
    const bool fits =
        call.method == route.method || (call.method == "HEAD" && route.method == "GET");
    if (fits) return &route;
    const ApiError error = {
        .status = 405,
        .message = fmt::format("'{}' takes {}, not {}", call.path, route.method, call.method)};
    api.reply->send(405, {{"Content-Type", "application/json"}, {"Allow", methods_of(route)}},
                    api.error_text(error));
    return nullptr;
  }

  bool let_in(const HttpCall& call, ApiCall& api) const {
    if (keys_.empty()) return true;
    const std::optional<size_t> key = index_of(keys_, bearer_of(call));
    if (!key.has_value()) {
      const ApiError error = {
          .status = 401,
          .message = "a valid API key is needed, as 'Authorization: Bearer KEY'",
          .code = "invalid_api_key"};
      api.reply->send(401, {{"Content-Type", "application/json"}, {"WWW-Authenticate", "Bearer"}},
                      api.error_text(error));
      return false;
    }
    if (!options_.share_prefixes_between_keys) api.tenant = fmt::format("key {}", *key);
    return true;
  }

  void log_request(const std::string& method, const std::string& path, const std::string& peer,
                   Clock::time_point came, const AnswerRecord& record) {
    if (!options_.log) return;
    const auto since = [came](Clock::time_point time) {
      return std::chrono::duration_cast<std::chrono::milliseconds>(time - came).count();
    };
    OrderedJson json = {{"time", now_seconds()},
                        {"peer", peer},
                        {"method", method.substr(0, kMostMethod)},
                        {"path", path.substr(0, kMostPath)}};
    if (record.status != 0) {
      json["status"] = record.status;
      json["ms_to_answer"] = since(record.begun);
    }
    json["ms"] = since(Clock::now());
    if (record.left) json["left"] = true;
    std::string line = dump_json(json);
    line.insert(line.size() - 1, record.notes);
    if (!options_.log(line)) metrics_.log_line_lost();
  }

  // False where a request is still being read at the deadline: what it uses stays then.
  bool stop(std::optional<std::chrono::steady_clock::time_point> deadline) {
    if (http_ != nullptr) http_->stop();
    if (front_.has_value()) {  // what they have read goes to the runner
      if (!readers_end_.valid()) {
        readers_end_ = std::async(std::launch::async, [this] { front_->join(); });
      }
      if (deadline.has_value() &&
          readers_end_.wait_until(*deadline) == std::future_status::timeout) {
        return false;
      }
      readers_end_.get();
      front_.reset();
    }
    // Their requests end, and tell the other worker.
    for (const auto& hosted : models_) hosted->stop();
    return true;
  }

  const ServeOptions options_;
  std::vector<Sha256> keys_;
  std::map<std::string, Route> routes_;
  ServeMetrics metrics_;
  std::atomic<bool> ready_{false};                    // release after the last of models_ is there
  std::vector<std::unique_ptr<HostedModel>> models_;  // the first is for requests that name none
  Worker texts_;  // outlives the engines, whose requests tell it of their ends
  // Read requests: several threads, so that one long text or hard schema does not hold up the rest.
  std::optional<boost::asio::thread_pool> front_{std::in_place, 3};
  std::future<void> readers_end_;  // while stop() waits for front_
  std::unique_ptr<HttpServer> http_;
};

Result<std::unique_ptr<Server>> Server::listen(ServeOptions options) {
  auto impl = std::make_unique<Impl>(std::move(options));
  LOOPLM_RETURN_IF_ERROR(impl->listen());
  return std::unique_ptr<Server>(new Server(std::move(impl)));
}

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Server::~Server() = default;

Status Server::add(Model& model, const ServedModelOptions& options) {
  return impl_->add(model, options);
}
void Server::open() { impl_->open(); }
Status Server::serve(Model& model, const ServedModelOptions& options) {
  LOOPLM_RETURN_IF_ERROR(add(model, options));
  open();
  return {};
}
Status Server::update_weights(const TensorSource& tensors) {
  return impl_->update_weights(tensors);
}
Status Server::failure() const { return impl_->failure(); }
uint16_t Server::port() const { return impl_->port(); }
bool Server::drain(std::chrono::milliseconds at_most) { return impl_->drain(at_most); }
std::vector<std::pair<std::string, std::string>> Server::routes() const { return impl_->routes(); }

}  // namespace looplm
