// Answers for paths that looplm does not serve: which API was meant, and what to do instead.
#ifndef LOOPLM_SERVE_ABSENT_H_
#define LOOPLM_SERVE_ABSENT_H_

#include <string>

#include "serve/api.h"

namespace looplm {

// Of the API to which the path belongs, whether there is something or not; null: OpenAI's own.
const Dialect* dialect_of(const std::string& path);

ApiError nothing_at(const std::string& path);

}  // namespace looplm

#endif  // LOOPLM_SERVE_ABSENT_H_
