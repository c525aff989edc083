// What the hub says about a model, over its HTTP interface:
//   GET /api/models/ORG/NAME/revision/REVISION?blobs=true   the commit and its files
//   GET /ORG/NAME/resolve/COMMIT/FILE                       a file, often on another host
#ifndef LOOPLM_HUB_HUB_CLIENT_H_
#define LOOPLM_HUB_HUB_CLIENT_H_

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "looplm/status.h"

#include "hub/hub_reference.h"
#include "net/http_client.h"

namespace looplm {

struct HubFile {
  std::string path;
  uint64_t size = 0;
  // What the file is called in the cache, and its checksum: the SHA-256 of a large file (64
  // digits), git's SHA-1 of another (40 digits).
  std::string etag;
};

struct HubListing {
  std::string commit;  // 40 digits
  std::vector<HubFile> files;
};

// Errors say what to do: a model that is not there, private or gated, a token that is refused, a
// revision that is not there.
Result<HubListing> list_hub_model(const HubSettings& settings, const HubReference& reference,
                                  const std::atomic<bool>* stop);

// A GET of a file with the headers that the hub wants. The caller adds to it.
HttpRequest hub_file_request(const HubSettings& settings, const HubReference& reference,
                             const std::string& commit, const std::string& path,
                             const std::atomic<bool>* stop);

// What an answer other than 200 and 206 means for the model.
Status hub_refusal(const HubSettings& settings, const HubReference& reference,
                   const HttpResponse& response, const std::string& what);

}  // namespace looplm

#endif  // LOOPLM_HUB_HUB_CLIENT_H_
