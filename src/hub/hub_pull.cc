#include "hub/hub_pull.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <thread>

#include <fmt/format.h>

#include "base/file.h"
#include "hub/hub_cache.h"
#include "hub/model_files.h"
#include "hub/partial_file.h"

namespace looplm {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLongestWait{60'000};
constexpr milliseconds kLook{50};  // between looks at `stop` and at another's lock

Status stopped() { return {StatusCode::kCancelled, "stopped; the next pull goes on from here"}; }

bool stops(const std::atomic<bool>* stop) { return stop != nullptr && stop->load(); }

uint64_t present(const std::string& blob, const HubFile& file) {
  std::error_code error;
  if (std::filesystem::exists(blob, error)) return file.size;
  const uintmax_t partial = std::filesystem::file_size(PartialFile::path_of(blob), error);
  return error || partial > file.size ? 0 : partial;
}

Result<std::string> index_text(const HubSettings& settings, const HubReference& reference,
                               const std::string& commit, const HubFile& file,
                               const std::atomic<bool>* stop) {
  HttpRequest request = hub_file_request(settings, reference, commit, file.path, stop);
  request.response_limit = std::max(file.size, uint64_t{1} << 20);
  LOOPLM_ASSIGN_OR_RETURN(const HttpResponse response, http_get_following(request));
  if (response.status != 200) return hub_refusal(settings, reference, response, file.path);
  FileHash hash(file.etag, file.size);
  hash.add(response.body);
  if (hash.hex() != file.etag) {
    return io_error(
        fmt::format("'{}' has another checksum than the hub named, {}", file.path, file.etag));
  }
  return response.body;
}

std::string size_text(uint64_t bytes) {
  return fmt::format("{:.2f} GiB", static_cast<double>(bytes) / (uint64_t{1} << 30));
}

// One file of a pull.
class Fetch {
 public:
  Fetch(const HubSettings& settings, const PullPlan& plan, const PullOptions& options,
        const HubFile& file, uint64_t before)
      : settings_(settings), plan_(plan), options_(options), file_(file), before_(before) {}

  Status run() {
    const HubCache cache(settings_.cache);
    const std::string& model = plan_.reference.name;
    const std::string blob = cache.blob_path(model, file_.etag);
    LOOPLM_RETURN_IF_ERROR(make_directories(std::filesystem::path(blob).parent_path().string()));
    if (!file_exists(blob)) {
      LOOPLM_ASSIGN_OR_RETURN(const FileLock lock, wait_for(cache.lock_path(model, file_.etag)));
      // Who had the lock may have fetched it.
      if (!file_exists(blob)) LOOPLM_RETURN_IF_ERROR(fetch(blob));
    }
    tell(file_.size, false);
    return cache.link(model, plan_.commit, file_);
  }

 private:
  Result<FileLock> wait_for(const std::string& path) {
    for (;;) {
      LOOPLM_ASSIGN_OR_RETURN(std::optional<FileLock> lock, FileLock::try_lock(path));
      if (lock.has_value()) return std::move(*lock);
      if (stops(options_.stop)) return stopped();
      tell(0, true);
      std::this_thread::sleep_for(kLook);
    }
  }

  Status fetch(const std::string& blob) {
    LOOPLM_ASSIGN_OR_RETURN(PartialFile partial, PartialFile::open(blob, file_));
    const bool resumed = partial.size() > 0;
    LOOPLM_RETURN_IF_ERROR(fill(partial));
    Status finished = partial.finish();
    if (finished.ok() || !resumed) return finished;
    // What an earlier run left may have been wrong.
    LOOPLM_ASSIGN_OR_RETURN(PartialFile again, PartialFile::open(blob, file_));
    LOOPLM_RETURN_IF_ERROR(fill(again));
    return again.finish();
  }

  // Asks until the file is whole.
  Status fill(PartialFile& partial) {
    milliseconds wait = options_.first_wait;
    for (int attempt = 1; !partial.whole();) {
      const uint64_t had = partial.size();
      std::optional<milliseconds> asked;
      const Status status = ask(partial, asked);
      if (stops(options_.stop)) return stopped();
      if (status.ok()) continue;
      // What the server or the line did may pass; a full disk and a refusal will not.
      if (status.code() != StatusCode::kIo || !may_pass_) return status;
      if (partial.size() > had) {
        attempt = 1;
        wait = options_.first_wait;
      } else if (++attempt > options_.attempts) {
        return status;
      }
      LOOPLM_RETURN_IF_ERROR(pause(std::min(asked.value_or(wait), kLongestWait)));
      wait *= 2;
    }
    return {};
  }

  Status ask(PartialFile& partial, std::optional<milliseconds>& wait) {
    HttpRequest request =
        hub_file_request(settings_, plan_.reference, plan_.commit, file_.path, options_.stop);
    request.response_limit = std::max(file_.size, uint64_t{1} << 20);
    const uint64_t from = partial.size();
    if (from > 0) request.headers.emplace_back("Range", fmt::format("bytes={}-", from));
    may_pass_ = true;
    bool begun = false;
    const auto take = [&](const HttpResponse& head, std::string_view piece) -> Status {
      if (head.status != 200 && head.status != 206) return {};
      if (!begun && from > 0 && head.status == 200) {  // all of it, whatever was asked
        LOOPLM_RETURN_IF_ERROR(partial.start_over());
      }
      const std::string range = head.header("Content-Range");
      if (!begun && head.status == 206 && !range.starts_with(fmt::format("bytes {}-", from))) {
        may_pass_ = false;
        return io_error(fmt::format("'{}': asked for the bytes from {}, the server sends '{}'",
                                    file_.path, from, range.substr(0, 100)));
      }
      begun = true;
      const Status appended = partial.append(piece);
      // Too much came, or the file cannot be written: the next attempt would end the same way.
      may_pass_ = appended.ok();
      tell(partial.size(), false);
      return appended;
    };
    LOOPLM_ASSIGN_OR_RETURN(const HttpResponse response, http_get_following(request, take));
    if (response.status == 200 || response.status == 206) {
      if (partial.whole()) return {};
      return io_error(
          fmt::format("'{}' ended after {} of {} bytes", file_.path, partial.size(), file_.size));
    }
    if (response.status == 416 && from > 0) return partial.start_over();
    may_pass_ = response.status == 429 || response.status >= 500;
    const std::string after = response.header("Retry-After");
    int seconds = 0;
    if (std::from_chars(after.data(), after.data() + after.size(), seconds).ec == std::errc()) {
      wait = std::chrono::seconds(std::max(seconds, 0));
    }
    return hub_refusal(settings_, plan_.reference, response, file_.path);
  }

  Status pause(milliseconds time) const {
    const auto end = std::chrono::steady_clock::now() + time;
    while (std::chrono::steady_clock::now() < end) {
      if (stops(options_.stop)) return stopped();
      std::this_thread::sleep_for(std::min(kLook, time));
    }
    return {};
  }

  void tell(uint64_t bytes, bool waiting) const {
    if (options_.on_progress) options_.on_progress({file_, bytes, before_ + bytes, waiting});
  }

  const HubSettings& settings_;
  const PullPlan& plan_;
  const PullOptions& options_;
  const HubFile& file_;
  uint64_t before_;  // bytes of the files before it
  bool may_pass_ = true;
};

Status check_space(const HubSettings& settings, uint64_t missing) {
  LOOPLM_RETURN_IF_ERROR(make_directories(settings.cache));
  std::error_code error;
  const std::filesystem::space_info space = std::filesystem::space(settings.cache, error);
  if (error || space.available >= missing) return {};
  return resource_exhausted(fmt::format("'{}' has {} free; {} more are needed", settings.cache,
                                        size_text(space.available), size_text(missing)));
}

}  // namespace

Result<PullPlan> plan_pull(const HubSettings& settings, const HubReference& reference,
                           const std::atomic<bool>* stop) {
  LOOPLM_RETURN_IF_ERROR(settings.check_cache());
  if (settings.offline) {
    return invalid_argument("HF_HUB_OFFLINE forbids asking the hub for " + reference.text());
  }
  LOOPLM_ASSIGN_OR_RETURN(const HubListing listing, list_hub_model(settings, reference, stop));
  std::set<std::string> paths;
  std::map<std::string, const HubFile*> by_path;
  for (const HubFile& file : listing.files) {
    paths.insert(file.path);
    by_path[file.path] = &file;
  }
  LOOPLM_ASSIGN_OR_RETURN(const ModelFiles chosen,
                          choose_model_files(
                              paths, reference.file,
                              [&] {
                                return index_text(settings, reference, listing.commit,
                                                  *by_path["model.safetensors.index.json"], stop);
                              },
                              reference.name));
  PullPlan plan{.reference = reference, .commit = listing.commit, .files = {}, .gguf = chosen.gguf};
  const HubCache cache(settings.cache);
  for (const std::string& path : chosen.needed) {
    const HubFile& file = *by_path[path];
    plan.files.push_back(file);
    plan.bytes += file.size;
    plan.missing += file.size - present(cache.blob_path(reference.name, file.etag), file);
  }
  return plan;
}

Result<std::string> pull(const HubSettings& settings, const PullPlan& plan,
                         const PullOptions& options) {
  LOOPLM_RETURN_IF_ERROR(check_space(settings, plan.missing));
  const HubCache cache(settings.cache);
  // Programs that make copies of disks leave such a directory out (bford.info/cachedir).
  const std::string tag = settings.cache + "/CACHEDIR.TAG";
  if (!file_exists(tag)) {
    LOOPLM_RETURN_IF_ERROR(write_text_file(tag, "Signature: 8a477f597d28d172789f06886806bc55\n"));
  }
  uint64_t before = 0;
  for (const HubFile& file : plan.files) {
    LOOPLM_RETURN_IF_ERROR(
        Fetch(settings, plan, options, file, before).run().with_context(plan.reference.text()));
    before += file.size;
  }
  // Last, so that a pull that is cut off leaves the revision that was whole.
  LOOPLM_RETURN_IF_ERROR(
      cache.set_revision(plan.reference.name, plan.reference.revision, plan.commit));
  const std::string snapshot = cache.snapshot_path(plan.reference.name, plan.commit);
  return plan.gguf.empty() ? snapshot : snapshot + "/" + plan.gguf;
}

}  // namespace looplm
