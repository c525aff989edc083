#include "serve/api_error.h"

namespace looplm {
namespace {

const char* type_of(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 429:
      return "rate_limit_error";
    default:
      return status < 500 ? "invalid_request_error" : "server_error";
  }
}

}  // namespace

OrderedJson ApiError::json() const {
  OrderedJson error;
  error["message"] = message;
  error["type"] = type_of(status);
  error["param"] = param.empty() ? OrderedJson() : OrderedJson(param);
  error["code"] = code.empty() ? OrderedJson() : OrderedJson(code);
  OrderedJson body;
  body["error"] = std::move(error);
  return body;
}

std::vector<std::pair<std::string, std::string>> ApiError::headers() const {
  std::vector<std::pair<std::string, std::string>> list = {{"Content-Type", "application/json"}};
  if (status == 429 || status == 503) list.emplace_back("Retry-After", "1");
  return list;
}

ApiError api_error_of(const Status& status) {
  switch (status.code()) {
    case StatusCode::kInvalidArgument:
    case StatusCode::kUnsupported:
      return {.status = 400, .message = status.message()};
    case StatusCode::kNotFound:
      return {.status = 404, .message = status.message()};
    case StatusCode::kResourceExhausted:
      return {.status = 503, .message = status.message()};
    default:
      return {.status = 500, .message = status.message()};
  }
}

std::string error_body(int status, const std::string& message) {
  return dump_json(ApiError{.status = status, .message = message}.json());
}

}  // namespace looplm
