// One HTTP/1.1 exchange over TCP or TLS: connects, sends, reads the answer, closes.
//
// Certificates are verified against the system's (OpenSSL's SSL_CERT_FILE and SSL_CERT_DIR count).
// Proxies are not used.
#ifndef LOOPLM_NET_HTTP_CLIENT_H_
#define LOOPLM_NET_HTTP_CLIENT_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "looplm/status.h"

#include "net/url.h"

namespace looplm {

struct HttpRequest {
  std::string method = "GET";
  std::string url;
  std::vector<std::pair<std::string, std::string>> headers;  // besides Host and Content-Length
  std::string body;
  std::chrono::milliseconds connect_timeout{10'000};
  // For the whole exchange, connecting included; 0: no limit.
  std::chrono::milliseconds total_timeout{120'000};
  std::chrono::milliseconds idle_timeout{0};     // without a byte of the answer; 0: not watched
  uint64_t response_limit = uint64_t{16} << 20;  // bytes of the answer's body
  const std::atomic<bool>* stop = nullptr;       // when true, gives up within 100 ms
};

struct HttpResponse {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;

  // The first header of this name, whatever its case; empty where there is none.
  std::string header(const std::string& name) const;
};

// Takes the answer's body in pieces as it comes; `head` has the status and the headers. An error
// ends the exchange and is what the exchange returns.
using HttpBodySink = std::function<Status(const HttpResponse& head, std::string_view piece)>;

// Any answer is a response, whatever its status; a redirect too. kIo where there was none (no such
// host, refused, cut off, too slow, a certificate that does not verify), naming the host and the
// step; kInvalidArgument for a request that cannot be sent; kCancelled when stopped. With a sink,
// the response's body stays empty.
Result<HttpResponse> http_exchange(const HttpRequest& request, const HttpBodySink& sink = {});

// A GET that follows up to ten redirects. Another scheme, host or port does not get the
// Authorization header. The sink gets only the last answer's body.
Result<HttpResponse> http_get_following(HttpRequest request, const HttpBodySink& sink = {});

}  // namespace looplm

#endif  // LOOPLM_NET_HTTP_CLIENT_H_
