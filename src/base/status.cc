#include "looplm/status.h"

#include "base/check.h"

namespace looplm {

void die_of_bad_result(const Status& status) {
  throw CheckError("value() of a failed Result: " + status.message());
}

void check_failed(const char* file, int line, const char* condition, const std::string& details) {
  throw CheckError(fmt::format("{}:{}: check failed: {}{}{}", file, line, condition,
                               details.empty() ? "" : ": ", details));
}

}  // namespace looplm
