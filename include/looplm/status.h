// How the library reports wrong input: a Status, or a Result<T> that holds a value or a Status.
//
// A message names the thing that is wrong, the value found and what was expected. Broken invariants
// in looplm's own code are not reported this way; they throw (see LOOPLM_CHECK).
#ifndef LOOPLM_STATUS_H_
#define LOOPLM_STATUS_H_

#include <optional>
#include <string>
#include <utility>

namespace looplm {

enum class StatusCode {
  kOk,
  kInvalidArgument,    // a request, option, file or config that says something impossible
  kNotFound,           // a file, tensor, preset or token that is not there
  kIo,                 // the operating system refused to read or write
  kUnsupported,        // valid, but looplm does not do it
  kResourceExhausted,  // memory, pages or disk ran out
  kCancelled,          // the caller asked to stop
  kInternal,           // a caller's function threw, or a model's arithmetic overflowed
};

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(StatusCode code, std::string message) : code_(code), message_(std::move(message)) {}

  bool ok() const { return code_ == StatusCode::kOk; }
  StatusCode code() const { return code_; }
  const std::string& message() const { return message_; }

  // The same status with "context: " in front, so that a reader learns which file or step the error
  // came from.
  Status with_context(const std::string& context) const {
    return ok() ? *this : Status(code_, context + ": " + message_);
  }

 private:
  StatusCode code_ = StatusCode::kOk;
  std::string message_;
};

inline Status invalid_argument(std::string m) {
  return {StatusCode::kInvalidArgument, std::move(m)};
}
inline Status not_found(std::string m) { return {StatusCode::kNotFound, std::move(m)}; }
inline Status io_error(std::string m) { return {StatusCode::kIo, std::move(m)}; }
inline Status unsupported(std::string m) { return {StatusCode::kUnsupported, std::move(m)}; }
inline Status internal_error(std::string m) { return {StatusCode::kInternal, std::move(m)}; }
inline Status resource_exhausted(std::string m) {
  return {StatusCode::kResourceExhausted, std::move(m)};
}

// Aborts with the message: somebody called value() on a Result that holds an error.
[[noreturn]] void die_of_bad_result(const Status& status);

// A value, or the reason why there is none.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}          // NOLINT: implicit by design
  Result(Status status) : status_(std::move(status)) {}  // NOLINT: implicit by design

  bool ok() const { return value_.has_value(); }
  const Status& status() const { return status_; }

  T& value() & { return checked(); }
  const T& value() const& { return const_cast<Result*>(this)->checked(); }
  T&& value() && { return std::move(checked()); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(checked()); }

 private:
  T& checked() {
    if (!value_.has_value()) die_of_bad_result(status_);
    return *value_;
  }

  std::optional<T> value_;
  Status status_;
};

// Returns the status from the enclosing function when it is an error.
#define LOOPLM_RETURN_IF_ERROR(expression)           \
  do {                                               \
    ::looplm::Status looplm_status_ = (expression);  \
    if (!looplm_status_.ok()) return looplm_status_; \
  } while (false)

// LOOPLM_ASSIGN_OR_RETURN(auto x, f()): x is f()'s value, or the enclosing function returns f()'s
// error.
#define LOOPLM_CONCAT_INNER_(a, b) a##b
#define LOOPLM_CONCAT_(a, b) LOOPLM_CONCAT_INNER_(a, b)
#define LOOPLM_ASSIGN_OR_RETURN(declaration, expression) \
  LOOPLM_ASSIGN_OR_RETURN_(LOOPLM_CONCAT_(looplm_result_, __LINE__), declaration, expression)
#define LOOPLM_ASSIGN_OR_RETURN_(result, declaration, expression) \
  auto result = (expression);                                     \
  if (!result.ok()) return result.status();                       \
  declaration = std::move(result).value()

}  // namespace looplm

#endif  // LOOPLM_STATUS_H_
