// Addresses of HTTP servers, and the text inside them.
#ifndef LOOPLM_NET_URL_H_
#define LOOPLM_NET_URL_H_

#include <string>

#include "looplm/status.h"

namespace looplm {

struct Url {
  bool tls = false;
  std::string host;    // without the brackets of an IPv6 address
  std::string port;    // a number
  std::string target;  // path and query, "/" at least
};

// http://host[:port][/path] or https://. User names, spaces, control characters and fragments are
// refused.
Result<Url> parse_url(const std::string& url);

// Where `place`, an absolute or relative reference as in a Location header, leads from `base`.
Result<std::string> resolve_url(const std::string& base, const std::string& place);

}  // namespace looplm

#endif  // LOOPLM_NET_URL_H_
