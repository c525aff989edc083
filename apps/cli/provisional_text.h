// Tokens that are not final yet, shown dimly behind the text and replaced as loops revise them.
#ifndef LOOPLM_CLI_PROVISIONAL_TEXT_H_
#define LOOPLM_CLI_PROVISIONAL_TEXT_H_

#include <string>
#include <vector>

#include "looplm/generate.h"
#include "looplm/tokenizer.h"

namespace looplm::cli {

// Returns what to write to a terminal. Always write erase() before anything else is written.
class ProvisionalText {
 public:
  explicit ProvisionalText(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  // After a proposal: what stands behind the final text now.
  std::string propose(const ProvisionalToken& token);
  // Before the final token that comes next is written; redraw() follows it.
  std::string confirm();
  std::string erase();
  std::string redraw();

 private:
  const Tokenizer& tokenizer_;
  std::vector<int32_t> ids_;  // of the output from `first_` on
  int64_t first_ = 0;
  bool drawn_ = false;
};

}  // namespace looplm::cli

#endif  // LOOPLM_CLI_PROVISIONAL_TEXT_H_
