#include "hub/hub_client.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/json.h"
#include "base/percent.h"
#include "net/url.h"

namespace looplm {
namespace {

constexpr uint64_t kMostListingBytes = uint64_t{64} << 20;
constexpr size_t kMostFiles = 100'000;
constexpr int64_t kMostBytes = int64_t{1} << 50;
constexpr std::chrono::milliseconds kIdle{30'000};

// A file's path may not lead out of the folder that it is put in.
bool is_inside(const std::string& path) {
  if (path.empty() || path.size() > 1000) return false;
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string part = path.substr(begin, end - begin);
    if (part.empty() || part == "." || part == "..") return false;
    begin = end + 1;
  }
  return std::none_of(path.begin(), path.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f || c == '\\';
  });
}

Result<HubFile> read_file(const Json& entry) {
  if (!entry.is_object()) return invalid_argument("'siblings' holds something other than objects");
  HubFile file;
  LOOPLM_ASSIGN_OR_RETURN(file.path, json_string(entry, "rfilename", ""));
  if (!is_inside(file.path)) {
    return invalid_argument(fmt::format(
        "'rfilename' is {}; expected a path inside the model",
        entry.contains("rfilename") ? dump_json(entry["rfilename"]).substr(0, 300) : "missing"));
  }
  LOOPLM_ASSIGN_OR_RETURN(const int64_t size, json_int(entry, "size", -1, -1, kMostBytes));
  LOOPLM_ASSIGN_OR_RETURN(file.etag, json_string(entry, "blobId", ""));
  size_t digits = 40;
  if (const auto lfs = entry.find("lfs"); lfs != entry.end() && lfs->is_object()) {
    LOOPLM_ASSIGN_OR_RETURN(file.etag, json_string(*lfs, "sha256", ""));
    digits = 64;
  }
  if (size < 0 || !is_hex(file.etag, digits)) {
    return invalid_argument(
        fmt::format("'{}' has size {} and checksum '{}'; expected a size and {} digits", file.path,
                    size, file.etag.substr(0, 100), digits));
  }
  file.size = static_cast<uint64_t>(size);
  return file;
}

Result<HubListing> read_listing(const std::string& text) {
  LOOPLM_ASSIGN_OR_RETURN(const Json json, parse_json(text, "the list of files"));
  if (!json.is_object()) return invalid_argument("expected an object");
  HubListing listing;
  LOOPLM_ASSIGN_OR_RETURN(listing.commit, json_string(json, "sha", ""));
  if (!is_hex(listing.commit, 40)) {
    return invalid_argument(
        fmt::format("'sha' is '{}'; expected 40 digits", listing.commit.substr(0, 100)));
  }
  const auto files = json.find("siblings");
  if (files == json.end() || !files->is_array() || files->size() > kMostFiles) {
    return invalid_argument(
        fmt::format("'siblings' is not a list of at most {} files", kMostFiles));
  }
  for (const Json& entry : *files) {
    LOOPLM_ASSIGN_OR_RETURN(HubFile file, read_file(entry));
    listing.files.push_back(std::move(file));
  }
  return listing;
}

HttpRequest hub_request(const HubSettings& settings, const std::string& path,
                        const std::atomic<bool>* stop) {
  HttpRequest request;
  request.url = settings.endpoint + path;
  request.total_timeout = std::chrono::milliseconds(0);
  request.idle_timeout = kIdle;
  request.stop = stop;
  request.headers.emplace_back("Accept-Encoding", "identity");
  if (!settings.token.empty()) {
    request.headers.emplace_back("Authorization", "Bearer " + settings.token);
  }
  return request;
}

}  // namespace

Status hub_refusal(const HubSettings& settings, const HubReference& reference,
                   const HttpResponse& response, const std::string& what) {
  const std::string page = settings.endpoint + "/" + reference.name;
  const std::string code = response.header("X-Error-Code");
  const auto refused = [&](StatusCode status, const std::string& why) {
    return Status(status, fmt::format("{}: {} (status {})", what, why, response.status));
  };
  if (code == "GatedRepo") {
    return refused(StatusCode::kNotFound,
                   fmt::format("its owners ask for consent first: accept their terms at {}{}", page,
                               settings.token.empty() ? ", and set HF_TOKEN to your token" : ""));
  }
  if (code == "RevisionNotFound") {
    return refused(StatusCode::kNotFound,
                   fmt::format("the model has no revision '{}'", reference.revision));
  }
  if (code == "EntryNotFound") {
    return refused(StatusCode::kNotFound, "the model has no such file");
  }
  if (response.status == 401 || response.status == 403) {
    return refused(StatusCode::kNotFound,
                   settings.token.empty()
                       ? "no such model, or a private one: set HF_TOKEN to a token that may read it"
                       : "no such model, or the token in use may not read it");
  }
  if (response.status == 404) {
    return refused(StatusCode::kNotFound,
                   settings.token.empty()
                       ? fmt::format("no such model at {}", settings.endpoint)
                       : fmt::format("no such model at {}, or the token in use may not read it",
                                     settings.endpoint));
  }
  if (response.status == 429) {
    return refused(StatusCode::kIo, "the hub asks to wait, too many requests came from here");
  }
  return refused(StatusCode::kIo, fmt::format("{} answers with an error", settings.endpoint));
}

HttpRequest hub_file_request(const HubSettings& settings, const HubReference& reference,
                             const std::string& commit, const std::string& path,
                             const std::atomic<bool>* stop) {
  return hub_request(
      settings, fmt::format("/{}/resolve/{}/{}", reference.name, commit, percent_encoded(path)),
      stop);
}

Result<HubListing> list_hub_model(const HubSettings& settings, const HubReference& reference,
                                  const std::atomic<bool>* stop) {
  // The slashes of a branch's name are encoded too.
  std::string revision = percent_encoded(reference.revision);
  for (size_t at = 0; (at = revision.find('/', at)) != std::string::npos;) {
    revision.replace(at, 1, "%2F");
  }
  HttpRequest request = hub_request(
      settings, fmt::format("/api/models/{}/revision/{}?blobs=true", reference.name, revision),
      stop);
  request.response_limit = kMostListingBytes;
  LOOPLM_ASSIGN_OR_RETURN(const HttpResponse response, http_get_following(request));
  if (response.status != 200) {
    return hub_refusal(settings, reference, response, reference.text());
  }
  const Result<HubListing> listing = read_listing(response.body);
  if (!listing.ok()) {
    return listing.status().with_context(settings.endpoint + ", asked for " + reference.text());
  }
  return listing;
}

}  // namespace looplm
