// Speculation as people write it.
#ifndef LOOPLM_INFER_SPECULATION_TEXT_H_
#define LOOPLM_INFER_SPECULATION_TEXT_H_

#include <string>

#include "looplm/generate.h"

namespace looplm {

// "auto", "loop:1", "q:0.3", "margin:0.3", or a rule alone with its usual threshold.
Result<SpeculateOptions> speculation_from_text(const std::string& text);

}  // namespace looplm

#endif  // LOOPLM_INFER_SPECULATION_TEXT_H_
