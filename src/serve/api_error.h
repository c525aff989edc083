// Errors as clients of OpenAI's API expect them: a status and {"error": {message, type, param,
// code}}.
#ifndef LOOPLM_SERVE_API_ERROR_H_
#define LOOPLM_SERVE_API_ERROR_H_

#include <string>
#include <utility>
#include <vector>

#include "looplm/status.h"

#include "base/json.h"

namespace looplm {

struct ApiError {
  int status = 400;
  std::string message{};
  std::string param{};  // the field that is wrong; empty: none
  std::string code{};   // empty: null

  OrderedJson json() const;
  // A request's own words come back in errors: of long ones, in `message` and `param`, the
  // beginning and the end, together at most 1,205 bytes.
  ApiError bounded() const;
  // Its content type, and when to try again where that may help.
  std::vector<std::pair<std::string, std::string>> headers() const;
};

// Wrong input is 400, what is missing 404, no room 503, the rest 500.
ApiError api_error_of(const Status& status);

// The body of an error that has a status and a message alone.
std::string error_body(int status, const std::string& message);

}  // namespace looplm

#endif  // LOOPLM_SERVE_API_ERROR_H_
