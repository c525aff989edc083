// The server's description of itself: OpenAPI 3.1.
#ifndef LOOPLM_SERVE_OPENAPI_H_
#define LOOPLM_SERVE_OPENAPI_H_

#include "base/json.h"

namespace looplm {

OrderedJson openapi_json();

}  // namespace looplm

#endif  // LOOPLM_SERVE_OPENAPI_H_
