// Ids that a tokenizer.json puts around a text: its "post_processor".
#ifndef LOOPLM_TEXT_POST_PROCESSOR_H_
#define LOOPLM_TEXT_POST_PROCESSOR_H_

#include <cstdint>
#include <vector>

#include "looplm/status.h"

#include "base/json.h"

namespace looplm {

struct PostProcessor {
  std::vector<int32_t> before;
  std::vector<int32_t> after;
};

// `node` is the file's "post_processor"; null adds nothing.
Result<PostProcessor> read_post_processor(const Json& node);

}  // namespace looplm

#endif  // LOOPLM_TEXT_POST_PROCESSOR_H_
