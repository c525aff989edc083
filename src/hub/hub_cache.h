// Models in the cache that Python's huggingface_hub uses too
// (https://huggingface.co/docs/hub/local-cache):
//
//   CACHE/models--ORG--NAME/refs/main                the commit of a branch
//   CACHE/models--ORG--NAME/snapshots/COMMIT/FILE    a link to ../../blobs/ETAG
//   CACHE/models--ORG--NAME/blobs/ETAG               a file; ETAG.incomplete while it comes
//   CACHE/.locks/models--ORG--NAME/ETAG.lock         flock()ed by who fetches it
#ifndef LOOPLM_HUB_HUB_CACHE_H_
#define LOOPLM_HUB_HUB_CACHE_H_

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "looplm/status.h"

#include "base/file_lock.h"
#include "hub/hub_client.h"
#include "hub/hub_reference.h"

namespace looplm {

struct CachedModel {
  std::string name;    // as it is typed: "ORG/NAME", or "ORG/NAME:FILE" for one of GGUF files
  uint64_t bytes = 0;  // of its files that are here, and of what has come of others
  enum class State { kReady, kIncomplete, kForeign } state = State::kReady;
};

class HubCache {
 public:
  explicit HubCache(std::string directory) : directory_(std::move(directory)) {}

  const std::string& directory() const { return directory_; }
  std::string blob_path(const std::string& model, const std::string& etag) const;
  std::string lock_path(const std::string& model, const std::string& etag) const;
  std::string snapshot_path(const std::string& model, const std::string& commit) const;

  // Where the model can be loaded from, a folder or a GGUF file; kNotFound where it is not here as
  // a whole, and kInvalidArgument where FILE is none of its files or is needed.
  Result<std::string> find(const HubReference& reference) const;

  // The other way round: "ORG/NAME" or "ORG/NAME:FILE" for a path in a snapshot; empty for others.
  static std::string name_of(const std::string& path);

  // Puts a file whose blob is here into a snapshot.
  Status link(const std::string& model, const std::string& commit, const HubFile& file) const;
  // Records the commit of a branch: the last step of a download.
  Status set_revision(const std::string& model, const std::string& revision,
                      const std::string& commit) const;

  // By name. Data sets and other things in the cache are left out.
  std::vector<CachedModel> list() const;

  // Removes a model, or one of its GGUF files. Returns the bytes that became free. Fails where the
  // model is being fetched.
  Result<uint64_t> remove(const HubReference& reference) const;

 private:
  std::string folder(const std::string& model) const;
  // The commit of a revision; empty where it is not known.
  std::string commit_of(const HubReference& reference) const;

  std::string directory_;
};

// All files under a folder, relative to it, links to files that are there among them.
std::set<std::string> files_under(const std::string& folder);

}  // namespace looplm

#endif  // LOOPLM_HUB_HUB_CACHE_H_
