#include "serve/absent.h"

#include <array>

#include <fmt/format.h>

namespace looplm {
namespace {

struct Absent {
  const char* begins;  // the path
  const char* instead;
};

// What Ollama does over HTTP with the models themselves, and what OpenAI and Anthropic keep.
constexpr std::array<Absent, 8> kAbsent = {
    {{"/api/pull",
      "'looplm pull ORG/NAME' fetches a model from the hub, and the server serves what it was "
      "started with: 'looplm serve ORG/NAME', '--model NAME=DIR'"},
     {"/api/push", "a model is a directory; copy it, or upload it with the hub's own tools"},
     {"/api/create",
      "system prompts and options stand in each request; 'looplm quantize' and 'looplm train' make "
      "models, and '--model NAME=DIR' serves one under a name"},
     {"/api/blobs", "'--model NAME=DIR' serves a model's files from where they lie"},
     {"/api/copy", "'--model NAME=DIR' serves a model under another name"},
     {"/api/delete",
      "'looplm rm ORG/NAME' removes a model from the hub's cache; a running server keeps what it "
      "was started with"},
     {"/v1/responses/",
      "nothing is kept here: a response stands in the answer to its request and nowhere else"},
     {"/v1/messages/batches",
      "there are no batches; send the requests at once instead, and they "
      "share the model's passes"}}};

}  // namespace

const Dialect* dialect_of(const std::string& path) {
  if (path.starts_with("/api/")) return &kOllama;
  return path.starts_with("/v1/messages") ? &kAnthropic : nullptr;
}

ApiError nothing_at(const std::string& path) {
  for (const Absent& absent : kAbsent) {
    if (!path.starts_with(absent.begins)) continue;
    return {.status = 501,
            .message = fmt::format("'{}' is not done here: {}", path, absent.instead)};
  }
  return {.status = 404, .message = fmt::format("there is nothing at '{}'", path)};
}

}  // namespace looplm
