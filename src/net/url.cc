#include "net/url.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

namespace looplm {
namespace {

Status wrong(const std::string& url, const std::string& why) {
  return invalid_argument(
      fmt::format("URL '{}': {}; expected http://host[:port]/path or https://", url, why));
}

}  // namespace

Result<Url> parse_url(const std::string& url) {
  for (char c : url) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte <= 0x20 || byte >= 0x7f) return wrong(url, "holds a space or a byte beyond ASCII");
  }
  if (url.find('#') != std::string::npos) return wrong(url, "has a fragment");
  Url parsed;
  std::string rest;
  if (url.starts_with("http://")) {
    rest = url.substr(7);
  } else if (url.starts_with("https://")) {
    parsed.tls = true;
    rest = url.substr(8);
  } else {
    return wrong(url, "has another scheme");
  }
  const size_t path = std::min(rest.find_first_of("/?"), rest.size());
  std::string authority = rest.substr(0, path);
  const bool rooted = path < rest.size() && rest[path] == '/';
  parsed.target = fmt::format("{}{}", rooted ? "" : "/", rest.substr(path));
  if (authority.find('@') != std::string::npos) return wrong(url, "names a user");

  std::string port = parsed.tls ? "443" : "80";
  size_t colon = std::string::npos;
  if (authority.starts_with('[')) {
    const size_t close = authority.find(']');
    if (close == std::string::npos) return wrong(url, "has no closing bracket");
    parsed.host = authority.substr(1, close - 1);
    if (close + 1 < authority.size()) {
      if (authority[close + 1] != ':') return wrong(url, "has text after the bracket");
      colon = close + 1;
    }
  } else {
    colon = authority.find(':');
    parsed.host = authority.substr(0, colon);
  }
  if (colon != std::string::npos) port = authority.substr(colon + 1);
  if (parsed.host.empty()) return wrong(url, "names no host");
  uint32_t number = 0;
  const char* end = port.data() + port.size();
  const auto [stopped, error] = std::from_chars(port.data(), end, number);
  if (error != std::errc() || stopped != end || number < 1 || number > 65535) {
    return wrong(url, fmt::format("port '{}' is not a number from 1 to 65535", port));
  }
  parsed.port = std::to_string(number);
  return parsed;
}

Result<std::string> resolve_url(const std::string& base, const std::string& place) {
  if (place.starts_with("http://") || place.starts_with("https://")) return place;
  LOOPLM_ASSIGN_OR_RETURN(const Url url, parse_url(base));
  const std::string scheme = url.tls ? "https:" : "http:";
  if (place.starts_with("//")) return scheme + place;
  const size_t authority = scheme.size() + 2;
  const size_t path = std::min(base.find_first_of("/?", authority), base.size());
  if (place.starts_with('/')) return base.substr(0, path) + place;
  const std::string without_query = base.substr(0, base.find('?'));
  if (place.starts_with('?')) return without_query + place;
  const size_t slash = without_query.rfind('/');
  return (slash < authority ? without_query + "/" : without_query.substr(0, slash + 1)) + place;
}

}  // namespace looplm
