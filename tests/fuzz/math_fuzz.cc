// Two answers, a line each: compared by every rule. A comparison ends soon, is the same twice, and
// an answer is the same as itself.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/check.h"
#include "eval/answer_text.h"
#include "eval/ascii.h"
#include "eval/numbers.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace looplm;
  const std::string text(reinterpret_cast<const char*>(data), size);
  const size_t cut = std::min(text.find('\n'), text.size());
  const std::string a = text.substr(0, cut), b = text.substr(std::min(cut + 1, text.size()));
  for (const Comparison rule :
       {Comparison::kExact, Comparison::kText, Comparison::kNumber, Comparison::kMath}) {
    const bool same = same_answer(rule, a, b);
    LOOPLM_CHECK(same == same_answer(rule, a, b));
    LOOPLM_CHECK(rule == Comparison::kNumber || same_answer(rule, a, a));
  }
  if (const auto box = last_boxed(text)) LOOPLM_CHECK(!stripped(*box).empty());
  for (const FoundNumber& n : numbers_in(text)) LOOPLM_CHECK(n.begin < n.end && n.end <= size);
  return 0;
}
