// A stand-in for the Hugging Face hub inside a test: its HTTP interface for models as far as
// clients that download use it, on two ports, since the hub keeps large files on another host. What
// goes wrong, and when, is said before.
#ifndef LOOPLM_TESTS_SUPPORT_HUB_STAND_IN_H_
#define LOOPLM_TESTS_SUPPORT_HUB_STAND_IN_H_

#include <charconv>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "base/json.h"
#include "hub/file_hash.h"
#include "net/http_server.h"

namespace looplm {

class HubStandIn {
 public:
  // What happens to the next answer with a file's bytes.
  struct Fault {
    enum Kind { kNone, kCut, kStatus, kWrongBytes, kNoRange, kWrongRange, kTooLong, kHold } kind;
    uint64_t after = 0;  // kCut, kHold: bytes sent before
    int status = 503;
  };

  struct File {
    std::string bytes;
    bool large = false;
    std::string etag() const {
      FileHash hash(std::string(large ? 64 : 40, '0'), bytes.size());
      hash.add(bytes);
      return hash.hex();
    }
  };

  explicit HubStandIn(uint16_t port = 0) {
    const auto refusal = [](int, const std::string& message) { return message; };
    cdn_ = HttpServer::start(
               {.threads = 1},
               [this](const HttpCall& call, const auto& reply) { cdn(call, reply); }, refusal)
               .value();
    hub_ = HttpServer::start(
               {.port = port, .threads = 1},
               [this](const HttpCall& call, const auto& reply) { hub(call, reply); }, refusal)
               .value();
  }

  std::string url() const { return fmt::format("http://127.0.0.1:{}", hub_->port()); }

  void add(const std::string& model, const std::string& path, std::string bytes, bool large) {
    const std::lock_guard lock(mutex_);
    models_[model][path] = {std::move(bytes), large};
  }
  void require_token(const std::string& token) { token_ = token; }
  // Listings hold this instead of what is there.
  void list_as(const std::string& model, const std::string& text) { listings_[model] = text; }
  void fail_next(std::vector<Fault> faults) {
    const std::lock_guard lock(mutex_);
    faults_.insert(faults_.end(), faults.begin(), faults.end());
  }
  // Ends the answers that kHold keeps, cutting them.
  void let_go() {
    const std::lock_guard lock(mutex_);
    held_.clear();
  }
  // "GET /ORG/NAME/resolve/...", and behind it the range asked for.
  std::vector<std::string> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }
  uint64_t bytes_sent() const {
    const std::lock_guard lock(mutex_);
    return bytes_sent_;
  }

  static std::string commit() { return "0123456789abcdef0123456789abcdef01234567"; }

 private:
  using Reply = std::shared_ptr<HttpReply>;
  using Files = std::map<std::string, File>;

  void note(const HttpCall& call) {
    requests_.push_back(
        call.method + " " + call.path +
        (call.header("range").empty() ? "" : " " + std::string(call.header("range"))));
  }

  static void refuse(const Reply& reply, int status, const std::string& code) {
    reply->send(status, {{"X-Error-Code", code}, {"X-Error-Message", code}}, "");
  }

  void hub(const HttpCall& call, const Reply& reply) {
    const std::lock_guard lock(mutex_);
    note(call);
    const bool api = call.path.starts_with("/api/models/");
    const std::string path = call.path.substr(api ? 12 : 1);  // ORG/NAME/...
    const size_t end = path.find('/', path.find('/') + 1);
    const std::string model = path.substr(0, end);
    const std::string rest = end == std::string::npos ? "" : path.substr(end + 1);
    const auto found = models_.find(model);
    if (!token_.empty() && call.header("authorization") != "Bearer " + token_) {
      return refuse(reply, 401, found == models_.end() ? "RepoNotFound" : "GatedRepo");
    }
    if (found == models_.end()) return refuse(reply, 404, "RepoNotFound");
    if (api) return list(model, found->second, rest, reply);
    const size_t slash = rest.find('/', rest.find('/') + 1);
    const std::string revision = rest.substr(0, slash);
    if (revision != "resolve/main" && revision != "resolve/" + commit()) {
      return refuse(reply, 404, "RevisionNotFound");
    }
    const auto file = found->second.find(rest.substr(slash + 1));
    if (file == found->second.end()) return refuse(reply, 404, "EntryNotFound");
    const std::string etag = '"' + file->second.etag() + '"';
    HttpHeaders headers = {{"X-Repo-Commit", commit()}, {"ETag", etag}};
    if (!file->second.large) return send(call, reply, file->second.bytes, headers);
    headers.emplace_back("X-Linked-ETag", etag);
    headers.emplace_back("X-Linked-Size", std::to_string(file->second.bytes.size()));
    headers.emplace_back("Location", fmt::format("http://127.0.0.1:{}/{}/{}?signed=1", cdn_->port(),
                                                 model, file->first));
    reply->send(302, headers, "");
  }

  void list(const std::string& model, const Files& files, const std::string& rest,
            const Reply& reply) {
    if (const auto own = listings_.find(model); own != listings_.end()) {
      return reply->send(200, {}, own->second);
    }
    const bool tree = rest.starts_with("tree/");
    const std::string revision = rest.substr(std::min(rest.find('/') + 1, rest.size()));
    if (!rest.empty() && revision != "main" && revision != commit()) {
      return refuse(reply, 404, "RevisionNotFound");
    }
    OrderedJson entries = OrderedJson::array();
    for (const auto& [path, file] : files) {
      const std::string id = file.large ? std::string(40, '7') : file.etag();
      OrderedJson entry = {{tree ? "path" : "rfilename", path},
                           {"size", file.bytes.size()},
                           {tree ? "oid" : "blobId", id}};
      if (tree) entry["type"] = "file";
      if (file.large) {
        entry["lfs"] = {{tree ? "oid" : "sha256", file.etag()},
                        {"size", file.bytes.size()},
                        {"pointerSize", 134}};
      }
      entries.push_back(entry);
    }
    OrderedJson whole = {
        {"_id", "1"},       {"id", model},    {"modelId", model}, {"sha", commit()},
        {"private", false}, {"downloads", 0}, {"likes", 0},       {"tags", OrderedJson::array()}};
    whole["siblings"] = entries;
    reply->send(200, {{"Content-Type", "application/json"}}, (tree ? entries : whole).dump());
  }

  void cdn(const HttpCall& call, const Reply& reply) {
    const std::lock_guard lock(mutex_);
    note(call);
    // A token must not go to another host.
    if (!call.header("authorization").empty()) return reply->send(400, {}, "a token came here");
    const size_t end = call.path.find('/', call.path.find('/', 1) + 1);
    const File& file = models_.at(call.path.substr(1, end - 1)).at(call.path.substr(end + 1));
    send(call, reply, file.bytes, {{"ETag", '"' + file.etag() + '"'}});
  }

  void send(const HttpCall& call, const Reply& reply, const std::string& all, HttpHeaders headers) {
    Fault fault{Fault::kNone};
    if (call.method == "GET" && !faults_.empty()) {
      fault = faults_.front();
      faults_.pop_front();
    }
    if (fault.kind == Fault::kStatus)
      return reply->send(fault.status, {{"Retry-After", "0"}}, "no");
    std::string bytes = all;
    int status = 200;
    const std::string range(call.header("range"));
    if (range.starts_with("bytes=") && fault.kind != Fault::kNoRange) {
      uint64_t from = 0;
      std::from_chars(range.data() + 6, range.data() + range.size(), from);
      if (from >= all.size()) return reply->send(416, {}, "");
      bytes = all.substr(from);
      status = 206;
      headers.emplace_back("Content-Range", fmt::format("bytes {}-{}/{}",
                                                        fault.kind == Fault::kWrongRange ? 0 : from,
                                                        all.size() - 1, all.size()));
    }
    if (fault.kind == Fault::kWrongBytes) bytes[bytes.size() / 2] ^= 1;
    if (fault.kind == Fault::kTooLong) bytes += "more";
    if (fault.kind == Fault::kCut || fault.kind == Fault::kHold) {
      reply->begin(status, headers);
      reply->write(bytes.substr(0, fault.after));
      bytes_sent_ += fault.after;
      if (fault.kind == Fault::kHold) held_.push_back(reply);
      return;  // dropped: the connection is cut
    }
    if (call.method == "GET") bytes_sent_ += bytes.size();
    reply->send(status, headers, bytes);
  }

  mutable std::mutex mutex_;
  std::map<std::string, Files> models_;
  std::map<std::string, std::string> listings_;
  std::string token_;
  std::deque<Fault> faults_;
  std::vector<Reply> held_;
  std::vector<std::string> requests_;
  uint64_t bytes_sent_ = 0;
  std::unique_ptr<HttpServer> cdn_;
  std::unique_ptr<HttpServer> hub_;
};

}  // namespace looplm

#endif  // LOOPLM_TESTS_SUPPORT_HUB_STAND_IN_H_
