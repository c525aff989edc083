#include "hub/hub_reference.h"

#include <algorithm>
#include <cstdlib>

#include "base/file.h"

namespace looplm {
namespace {

constexpr size_t kMostNameBytes = 96;

bool is_word(std::string_view text, std::string_view marks) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           marks.find(c) != std::string_view::npos;
  });
}

// No part of a path that leads elsewhere; "--" stands for the slash in the cache.
bool is_part(std::string_view text) {
  return text.size() <= kMostNameBytes && is_word(text, "-_.") && text[0] != '.' &&
         text[0] != '-' && text.back() != '.' && text.find("--") == std::string_view::npos;
}

bool is_relative_path(const std::string& text) {
  return is_word(text, "-_./ +") && text[0] != '/' && text.back() != '/' &&
         ("/" + text + "/").find("/../") == std::string::npos &&
         ("/" + text + "/").find("/./") == std::string::npos &&
         text.find("//") == std::string::npos;
}

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string first_of(const std::string& a, const std::string& b) { return a.empty() ? b : a; }

// "~/x" under the home directory.
std::string expanded(const std::string& path) {
  if (path != "~" && !path.starts_with("~/")) return path;
  const std::string home = variable("HOME");
  return home.empty() ? path : home + path.substr(1);
}

std::string trimmed(const std::string& text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string::npos) return "";
  return text.substr(first, text.find_last_not_of(" \t\r\n") + 1 - first);
}

bool is_true(const std::string& value) {
  std::string upper = value;
  for (char& c : upper) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  return upper == "1" || upper == "ON" || upper == "YES" || upper == "TRUE";
}

}  // namespace

bool is_hex(std::string_view text, size_t digits) {
  return text.size() == digits && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

std::string HubReference::text() const {
  return name + (revision == "main" ? "" : "@" + revision) + (file.empty() ? "" : ":" + file);
}

std::optional<HubReference> hub_reference(const std::string& text) {
  HubReference reference;
  std::string rest = text;
  if (const size_t colon = rest.find(':'); colon != std::string::npos) {
    reference.file = rest.substr(colon + 1);
    rest.resize(colon);
    if (!is_relative_path(reference.file)) return std::nullopt;
  }
  if (const size_t at = rest.find('@'); at != std::string::npos) {
    reference.revision = rest.substr(at + 1);
    rest.resize(at);
    if (!is_relative_path(reference.revision)) return std::nullopt;
  }
  const size_t slash = rest.find('/');
  if (slash == std::string::npos || !is_part(std::string_view(rest).substr(0, slash)) ||
      !is_part(std::string_view(rest).substr(slash + 1))) {
    return std::nullopt;
  }
  reference.name = rest;
  return reference;
}

HubSettings HubSettings::from_environment() {
  HubSettings s;
  if (const std::string endpoint = trimmed(variable("HF_ENDPOINT")); !endpoint.empty()) {
    s.endpoint = endpoint.substr(0, endpoint.find_last_not_of('/') + 1);
  }
  const std::string user = variable("HOME").empty() ? "" : variable("HOME") + "/.cache";
  const std::string caches = first_of(variable("XDG_CACHE_HOME"), user);
  std::string home = expanded(variable("HF_HOME"));
  if (home.empty() && !caches.empty()) home = caches + "/huggingface";
  s.cache = expanded(first_of(variable("HF_HUB_CACHE"), variable("HUGGINGFACE_HUB_CACHE")));
  if (s.cache.empty() && !home.empty()) s.cache = home + "/hub";
  s.token = trimmed(first_of(variable("HF_TOKEN"), variable("HUGGING_FACE_HUB_TOKEN")));
  if (s.token.empty()) {
    const std::string path = first_of(expanded(variable("HF_TOKEN_PATH")), home + "/token");
    if (file_exists(path)) {
      const auto text = read_text_file(path);
      if (text.ok()) s.token = trimmed(text.value());
    }
  }
  s.offline = is_true(variable("HF_HUB_OFFLINE")) || is_true(variable("TRANSFORMERS_OFFLINE"));
  return s;
}

Status HubSettings::check_cache() const {
  if (!cache.empty()) return {};
  return invalid_argument("there is no place for models: set HOME, HF_HOME or HF_HUB_CACHE");
}

}  // namespace looplm
