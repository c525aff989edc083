// looplm serve: an OpenAI-compatible server.
#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <thread>
#include <utility>

#include <fmt/format.h>
#include <unistd.h>

#include "base/count_text.h"
#include "base/file.h"
#include "base/memory.h"
#include "cli/commands.h"
#include "cli/model_choice.h"
#include "common/interrupt.h"
#include "infer/speculation_text.h"
#include "model/chat_model.h"
#include "serve/line_log.h"
#include "serve/server.h"
#include "tensor/memory_plan.h"
#include "text/lines.h"

namespace looplm::cli {
namespace {

constexpr char kKeyOption[] = "--api-key";
constexpr char kKeyFileOption[] = "--api-key-file";

struct ServeCommandOptions {
  ModelChoice model;
  std::string name;
  std::vector<std::string> more;
  std::vector<std::string> adapters;
  std::string host = "127.0.0.1";
  int64_t port = 8080;
  std::string api_key_file;
  std::string api_key;
  Option* has_api_key = nullptr;
  Option* has_api_key_file = nullptr;
  bool share_prefixes = false;
  std::vector<std::string> cors;
  std::string certificate;
  std::string key;
  int64_t context = 0;
  int64_t requests = 512;
  int64_t max_tokens = 0;
  double kv_gib = 0;
  double prefix_gib = 1;
  int64_t prompt_lanes = 256;
  std::string speculate = "auto";
  double body_mib = 32;
  double header_kib = 32;
  double read_seconds = 30;
  double idle_seconds = 75;
  double max_seconds = 0;
  int64_t connections = 4096;
  double drain_seconds = 30;
  std::string log = "requests";
};

// "--max-body-mib" is LOOPLM_MAX_BODY_MIB.
std::string variable_of(const std::string& option) {
  std::string variable = "LOOPLM_";
  for (char c : option.substr(2)) {
    const bool small = c >= 'a' && c <= 'z';
    variable += c == '-' ? '_' : small ? static_cast<char>(c - 'a' + 'A') : c;
  }
  return variable;
}

// An empty key may come from a variable that somebody forgot to set. It must not open the server;
// beside another key it does no harm.
Status check_no_key_is_meant(const ServeCommandOptions& o) {
  const char* rest = "it is empty; to serve without a key, leave it out";
  for (const auto& [name, given] : {std::pair{kKeyOption, o.has_api_key->given()},
                                    std::pair{kKeyFileOption, o.has_api_key_file->given()}}) {
    if (given) return invalid_argument(rest).with_context(name);
    // The command line takes an empty variable for one that is not set.
    const std::string variable = variable_of(name);
    if (std::getenv(variable.c_str()) == nullptr) continue;
    return invalid_argument(rest).with_context(variable);
  }
  return {};
}

// One key per line, without blanks around it; empty lines and those that begin with '#' are left
// out.
Result<std::vector<std::string>> read_keys(const ServeCommandOptions& o) {
  std::vector<std::string> keys;
  if (!o.api_key.empty()) keys.push_back(o.api_key);
  if (o.api_key_file.empty() && keys.empty()) {
    LOOPLM_RETURN_IF_ERROR(check_no_key_is_meant(o));
  }
  if (o.api_key_file.empty()) return keys;
  std::ifstream file(o.api_key_file);
  if (!file || is_directory(o.api_key_file)) {
    return io_error(fmt::format(
        "--api-key-file: cannot read '{}'; expected a file with one key per line", o.api_key_file));
  }
  bool first = true;
  for (std::string line; std::getline(file, line); first = false) {
    std::string_view key = first ? without_byte_order_mark(line) : line;
    constexpr const char* kBlanks = " \t\r";
    key.remove_prefix(std::min(key.find_first_not_of(kBlanks), key.size()));
    key = key.substr(0, key.find_last_not_of(kBlanks) + 1);
    if (!key.empty() && key[0] != '#') keys.emplace_back(key);
  }
  if (keys.empty()) {
    return invalid_argument(fmt::format("--api-key-file: '{}' has no key", o.api_key_file));
  }
  return keys;
}

// Speculation pays where a pass is bound by reading the weights, not by what fits in the cache.
constexpr int64_t kParametersWorthGuessing = 100'000'000;

Result<SpeculateOptions> speculation(const std::string& text, const ModelConfig& config) {
  if (text == "off") return SpeculateOptions{};
  if (text == "auto") {
    const bool worth = config.loops > 1 && config.parameter_count() >= kParametersWorthGuessing;
    return worth ? SpeculateOptions{CommitKind::kAuto} : SpeculateOptions{};
  }
  Result<SpeculateOptions> speculate = speculation_from_text(text);
  if (!speculate.ok()) return invalid_argument("--speculate " + speculate.status().message());
  return speculate;
}

// A full disk, or a reader that has gone, costs the line and not the server.
void say(std::FILE* file, const std::string& line) {
  std::fprintf(file, "%s\n", line.c_str());
  std::fflush(file);
}

Status check_origin(const std::string& value) {
  const size_t colon = value.find("://");  // between a scheme and a host
  const bool whole = colon != std::string::npos && colon > 0 && colon + 3 < value.size() &&
                     value.find('/', colon + 3) == std::string::npos &&
                     value.find_first_of(" *?#") == std::string::npos;
  if (whole || value == "*" || value == "null") return {};
  return invalid_argument(fmt::format(
      "'{}' is not an origin; expected one such as https://a.org, or null, or *", value));
}

std::chrono::milliseconds milliseconds_of(double seconds) {
  return std::chrono::milliseconds(static_cast<int64_t>(seconds * 1e3));
}

// For each model's keys and values. Without a word about it, three quarters of what is free once
// the models are loaded, so that many long requests wait instead of ending the process.
uint64_t kv_bytes(double gib, size_t models) {
  if (gib > 0) return static_cast<uint64_t>(gib * static_cast<double>(uint64_t{1} << 30));
  const Result<MachineMemory> memory = machine_memory();
  return memory.ok() ? memory.value().free / 4 * 3 / models : 0;
}

struct NamedFolder {
  std::string name;
  std::string path;
};

struct NamedModel : NamedFolder {
  std::vector<NamedFolder> adapters{};
};

// NAME=DIR, or a path that gives its name, of `option`.
Result<NamedFolder> named_folder(const std::string& option, const std::string& text) {
  std::error_code error;
  const bool bare = std::filesystem::exists(text, error);
  const size_t equals = bare ? std::string::npos : text.find('=');
  if (equals == 0 || equals + 1 == text.size() || text.empty()) {
    return invalid_argument(
        fmt::format("{} is '{}'; expected NAME=FOLDER or FOLDER", option, text));
  }
  if (equals == std::string::npos) return NamedFolder{"", text};
  return NamedFolder{text.substr(0, equals), text.substr(equals + 1)};
}

// Adds it to the model that stands behind an '@' in its name, or to the first.
Status add_adapter(const std::string& text, std::vector<NamedModel>& models) {
  LOOPLM_ASSIGN_OR_RETURN(NamedFolder adapter, named_folder("--lora", text));
  if (adapter.name.empty()) adapter.name = model_title(adapter.path);
  size_t owner = 0;
  const size_t at = adapter.name.rfind('@');
  if (at != std::string::npos) {
    const std::string name = adapter.name.substr(at + 1);
    std::string names;
    for (owner = 0; owner < models.size() && models[owner].name != name; ++owner) {
      names += fmt::format("{}'{}'", owner == 0 ? "" : ", ", models[owner].name);
    }
    if (owner == models.size()) {
      return invalid_argument(
          fmt::format("--lora is '{}', and there is no model '{}'; expected {}{}", text, name,
                      owner > 1 ? "one of " : "", names));
    }
    adapter.name.resize(at);
  }
  models[owner].adapters.push_back(std::move(adapter));
  return {};
}

// The model of the command line, those of --model, and their adapters. Without any it is the
// bundled one.
Result<std::vector<NamedModel>> models_to_serve(const ServeCommandOptions& o) {
  std::vector<NamedModel> named;
  if (!o.model.directory.empty() || o.more.empty()) {
    LOOPLM_ASSIGN_OR_RETURN(const std::string path, locate_model(o.model.directory));
    named.push_back({{o.name.empty() ? model_title(path) : o.name, path}});
  } else if (!o.name.empty()) {
    return invalid_argument(
        fmt::format("--name is '{}' and names MODEL, which is missing; --model NAME=DIR has a name "
                    "of its own",
                    o.name));
  }
  for (const std::string& text : o.more) {
    LOOPLM_ASSIGN_OR_RETURN(NamedFolder model, named_folder("--model", text));
    Result<std::string> path = locate_named_model(model.path);
    LOOPLM_RETURN_IF_ERROR(path.status().with_context("--model"));
    model.path = std::move(*path);
    if (model.name.empty()) model.name = model_title(model.path);
    named.push_back({std::move(model)});
  }
  for (const std::string& text : o.adapters) LOOPLM_RETURN_IF_ERROR(add_adapter(text, named));
  // Before anything is loaded.
  std::vector<std::string> names;
  for (const NamedModel& one : named) {
    names.push_back(one.name);
    for (const NamedFolder& adapter : one.adapters) names.push_back(adapter.name);
  }
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end()) {
    return invalid_argument(
        fmt::format("two models are called '{}'; NAME=FOLDER gives another name", *twice));
  }
  return named;
}

Status add_model(Server& server, const NamedModel& named, Model& model,
                 const ServeCommandOptions& o, uint64_t kv_bytes) {
  ServedModelOptions served;
  served.name = named.name;
  served.kv_bytes = kv_bytes;
  LOOPLM_ASSIGN_OR_RETURN(served.speculate, speculation(o.speculate, model.config()));
  LOOPLM_ASSIGN_OR_RETURN(served.tuned, read_tuned_depths(named.path, model.config()));
  if (!served.tuned.empty()) {
    const TunedDepth& t = served.tuned[0];
    say(stderr,
        fmt::format("note: {} exits by {} {:.4g}, as tuned on {} (mean {:.2f} of {} there); "
                    "a request's \"loop\" object overrides it",
                    named.name, exit_kind_name(t.kind), t.threshold, t.task, t.mean_loops,
                    count_text(t.loops, "loop")));
  }
  if (const Tokenizer* tokenizer = model.tokenizer()) {
    LOOPLM_ASSIGN_OR_RETURN(ChatTemplate chat, load_chat_template(named.path, *tokenizer));
    for (const std::string& note : chat.notes()) {
      say(stderr, fmt::format("note: {}: {}", named.name, note));
    }
    served.chat = std::make_shared<const ChatTemplate>(std::move(chat));
  }
  for (const NamedFolder& adapter : named.adapters) {
    served.adapters.push_back({.name = adapter.name});
    if (model.tokenizer() == nullptr) continue;
    LOOPLM_ASSIGN_OR_RETURN(ChatTemplate chat,
                            load_chat_template(named.path, *model.tokenizer(), adapter.path));
    served.adapters.back().chat = std::make_shared<const ChatTemplate>(std::move(chat));
  }
  LOOPLM_RETURN_IF_ERROR(server.add(model, served));
  if (kv_bytes > 0) {
    say(stderr, fmt::format("note: {}: up to {} of memory for keys and values (--kv-gib)",
                            named.name, bytes_text(kv_bytes)));
  }
  return {};
}

Status serve(const ServeCommandOptions& o) {
  std::signal(SIGPIPE, SIG_IGN);  // a reader of the log that goes away
  ServeOptions options;
  options.http.host = o.host;
  options.http.port = static_cast<uint16_t>(o.port);
  options.http.certificate_file = o.certificate;
  options.http.key_file = o.key;
  options.http.body_limit = static_cast<uint64_t>(o.body_mib * 1024 * 1024);
  options.http.header_limit = static_cast<uint32_t>(o.header_kib * 1024);
  options.http.header_timeout = milliseconds_of(o.read_seconds);
  options.http.body_timeout = milliseconds_of(o.read_seconds);
  options.http.idle_timeout = milliseconds_of(o.idle_seconds);
  options.http.connection_limit = o.connections;
  LOOPLM_ASSIGN_OR_RETURN(options.api_keys, read_keys(o));
  options.share_prefixes_between_keys = o.share_prefixes;
  options.cors_origins = o.cors;
  options.engine.prefix_bytes = static_cast<uint64_t>(o.prefix_gib * (uint64_t{1} << 30));
  options.engine.prompt_lanes = o.prompt_lanes;
  options.request_limit = o.requests;
  options.max_tokens = o.max_tokens;
  options.max_seconds = o.max_seconds;
  options.context = o.context;
  if (o.log == "requests") {
    const auto log = std::make_shared<LineLog>(STDERR_FILENO);
    options.log = [log](const std::string& line) { return log->write(line); };
  }

  LOOPLM_ASSIGN_OR_RETURN(std::vector<NamedModel> named, models_to_serve(o));
  options.model_name = named[0].name;

  std::vector<std::unique_ptr<Model>> models;  // outlive the server
  LOOPLM_ASSIGN_OR_RETURN(std::unique_ptr<Server> server, Server::listen(options));
  for (const NamedModel& one : named) {
    LOOPLM_ASSIGN_OR_RETURN(std::unique_ptr<Model> model, Model::load(one.path, o.model.options()));
    for (const NamedFolder& adapter : one.adapters) {
      LOOPLM_RETURN_IF_ERROR(
          model->add_adapter(adapter.name, adapter.path)
              .with_context(fmt::format("--lora {}={}: as an adapter of the model '{}'",
                                        adapter.name, adapter.path, one.name)));
    }
    models.push_back(std::move(model));
  }
  for (size_t i = 0; i < models.size(); ++i) {
    const uint64_t memory = kv_bytes(o.kv_gib, models.size());
    LOOPLM_RETURN_IF_ERROR(add_model(*server, named[i], *models[i], o, memory));
  }
  const std::atomic<bool>& stop = stop_on_interrupt();  // before anybody can know that it runs
  server->open();
  const bool v6 = o.host.find(':') != std::string::npos;
  say(stdout, fmt::format("listening on {}://{}:{}", o.certificate.empty() ? "http" : "https",
                          v6 ? "[" + o.host + "]" : o.host, server->port()));
  if (::isatty(STDOUT_FILENO) == 1) {
    say(stderr, "note: that address in a browser opens a page to talk with the model; Ctrl-C ends");
  }
  Status failure;
  while (!stop.load() && failure.ok()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    failure = server->failure();
  }
  // At once: other models' answers may take their time.
  if (!failure.ok()) say(stderr, "looplm: " + failure.message() + "; no new connections are taken");
  if (!server->drain(milliseconds_of(o.drain_seconds))) {
    fmt::print(stderr, "looplm: a request was still being read; its client gets no answer\n");
    std::fflush(nullptr);
    std::_Exit(failure.ok() ? EXIT_SUCCESS : EXIT_FAILURE);
  }
  return failure;
}

}  // namespace

void add_serve_command(Program& program) {
  auto o = std::make_shared<ServeCommandOptions>();
  Command* c = program.app().add_subcommand(
      "serve", "Serve models over HTTP: OpenAI's API, with a dial for the depth");
  c->read_config("--config", "Options as a TOML file: port = 8080");
  const auto option = [&](const std::string& name, auto& value, const std::string& help) {
    return c->add_option(name, value, help)->environment(variable_of(name));
  };
  add_model_argument(*c, o->model.directory, "MODEL");
  add_memory_options(*c, o->model);
  option("--host", o->host, "Address to listen on; 0.0.0.0 for all")->capture_default_str();
  option("--port", o->port, "Port; 0 picks a free one")
      ->check(range(0, 65535))
      ->capture_default_str();
  option("--name", o->name, "What clients call MODEL (default: the name of its file or folder)");
  c->add_option("--model", o->more,
                "Serve another model too: NAME=DIR, or DIR for its own name; repeatable")
      ->allow_extra_args(false)
      ->environment("LOOPLM_MODELS")
      ->delimiter(',');
  option("--lora", o->adapters,
         "Serve a LoRA adapter of MODEL too: NAME=FOLDER, or FOLDER for its own name; "
         "NAME@OTHER=FOLDER is one of the model OTHER; repeatable. A request's \"model\" chooses")
      ->allow_extra_args(false)
      ->delimiter(',');
  o->has_api_key = option(kKeyOption, o->api_key, "Key that clients must give");
  o->has_api_key_file = option(kKeyFileOption, o->api_key_file, "File with one key per line");
  c->add_flag("--share-prefixes", o->share_prefixes,
              "Let clients with different keys share cached prompts")
      ->environment("LOOPLM_SHARE_PREFIXES");
  option("--cors", o->cors,
         "Web origins that may call the server, such as https://a.org,https://b.org; * for all")
      ->delimiter(',')
      ->check(read_by(check_origin, ""));
  option("--tls-certificate", o->certificate, "PEM file; with --tls-key serves HTTPS");
  option("--tls-key", o->key, "PEM file with the certificate's key");
  option("--context", o->context, "Maximum tokens of prompt and answer (0: the model's)")
      ->check(not_negative("the model's"))
      ->capture_default_str();
  option("--max-requests", o->requests,
         "Maximum generations that run or wait; a request beyond it gets 429")
      ->check(range(int64_t{1}, int64_t{1} << 20))
      ->capture_default_str();
  option("--max-tokens", o->max_tokens, "Maximum tokens of one answer (0: the context's)")
      ->check(not_negative("the context's"))
      ->capture_default_str();
  option("--kv-gib", o->kv_gib,
         "Memory for keys and values in GiB (0: three quarters of what is free)")
      ->check(range(0.0, 1e6))
      ->capture_default_str();
  option("--prefix-gib", o->prefix_gib, "Part of --kv-gib that caches the beginnings of prompts")
      ->check(range(0.0, 1e6))
      ->capture_default_str();
  option("--prompt-lanes", o->prompt_lanes, "Maximum prompt positions in a pass, over all requests")
      ->check(range(int64_t{1}, int64_t{1} << 20))
      ->capture_default_str();
  option("--speculate", o->speculate,
         "Start the next token early: auto, off, loop:N, q:THRESHOLD or margin:THRESHOLD, as in "
         "looplm run")
      ->capture_default_str();
  option("--max-body-mib", o->body_mib, "Largest request in MiB")
      ->check(range(0.001, 1e5))
      ->capture_default_str();
  option("--max-header-kib", o->header_kib, "Largest header of a request in KiB")
      ->check(range(0.25, 1e5))
      ->capture_default_str();
  option("--read-seconds", o->read_seconds,
         "Time a client has to send a header, and again for a body")
      ->check(range(0.001, 1e6))
      ->capture_default_str();
  option("--idle-seconds", o->idle_seconds, "Time a connection may stay open without a request")
      ->check(range(0.001, 1e6))
      ->capture_default_str();
  option("--max-seconds", o->max_seconds, "Maximum time of one answer (0: no limit)")
      ->check(range(0.0, 1e6))
      ->capture_default_str();
  option("--max-connections", o->connections, "Maximum open connections")
      ->check(range(int64_t{1}, int64_t{1} << 20))
      ->capture_default_str();
  option("--drain-seconds", o->drain_seconds, "Time to finish answers after SIGTERM")
      ->check(range(0.0, 1e6))
      ->capture_default_str();
  option("--log", o->log,
         "Log on standard error: requests (a line of JSON for each, without its text) or off")
      ->check(one_of({"requests", "off"}))
      ->capture_default_str();
  program.on(c, [o] { return serve(*o); });
}

}  // namespace looplm::cli
