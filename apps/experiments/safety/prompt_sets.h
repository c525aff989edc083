// Prompts that come in categories, from files that the user brings.
#ifndef LOOPLM_EXPERIMENTS_SAFETY_PROMPT_SETS_H_
#define LOOPLM_EXPERIMENTS_SAFETY_PROMPT_SETS_H_

#include <string>
#include <vector>

#include "looplm/status.h"

namespace looplm {

struct CategorisedPrompt {
  std::string category;
  std::string prompt;
};

// Reads
//
//   a folder        one category per file (.txt, .csv or .jsonl), named by the file less its
//   ending;
//                   in the order of the names, numbers in them counted (category_2 before
//                   category_10): HEx-PHI's layout
//   .txt            a prompt per line; empty lines are skipped
//   .csv            one prompt per record, quoted as in RFC 4180 where it holds commas, quotes or
//                   line breaks; no header
//   .jsonl          {"prompt": ..., "category": ...} per line; without the category, the file's
//   name
//
// At most `per_category` of each, the first ones; 0: all. Errors name file and line; a source
// without prompts is one.
Result<std::vector<CategorisedPrompt>> read_prompts(const std::string& path, int64_t per_category);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_SAFETY_PROMPT_SETS_H_
