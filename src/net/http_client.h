// One HTTP/1.1 exchange over TCP or TLS: connects, sends, reads the whole answer, closes.
//
// Certificates are verified against the system's (OpenSSL's SSL_CERT_FILE and SSL_CERT_DIR count).
// Redirects are answers like any other. Proxies are not used.
#ifndef LOOPLM_NET_HTTP_CLIENT_H_
#define LOOPLM_NET_HTTP_CLIENT_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
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
  std::chrono::milliseconds total_timeout{120'000};  // of everything, connecting too
  uint64_t response_limit = uint64_t{16} << 20;      // bytes of the answer's body
  const std::atomic<bool>* stop = nullptr;           // when true, gives up within 100 ms
};

struct HttpResponse {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;

  // The first header of this name, whatever its case; empty where there is none.
  std::string header(const std::string& name) const;
};

// Any answer is a response, whatever its status. kIo where there was none (no such host, refused,
// cut off, too slow, a certificate that does not verify), naming the host and the step;
// kInvalidArgument for a request that cannot be sent; kCancelled when stopped.
Result<HttpResponse> http_exchange(const HttpRequest& request);

}  // namespace looplm

#endif  // LOOPLM_NET_HTTP_CLIENT_H_
