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

// Whole UTF-8 characters of both ends.
std::string ends_of(const std::string& text) {
  constexpr size_t kFirst = 800;
  constexpr size_t kLast = 400;
  if (text.size() <= kFirst + kLast) return text;
  const auto inside = [&](size_t at) {
    return (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80;
  };
  size_t end = kFirst;
  while (end > 0 && inside(end)) --end;
  size_t begin = text.size() - kLast;
  while (begin < text.size() && inside(begin)) ++begin;
  return text.substr(0, end) + " ... " + text.substr(begin);
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

ApiError ApiError::bounded() const {
  return {.status = status, .message = ends_of(message), .param = ends_of(param), .code = code};
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
