// Token ids on the command line, and tokens on the screen.
#ifndef LOOPLM_CLI_TOKEN_TEXT_H_
#define LOOPLM_CLI_TOKEN_TEXT_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "looplm/model.h"
#include "looplm/status.h"

namespace looplm::cli {

// Help for an option that names a tokenizer.
inline constexpr const char* kTokenizerPlace = "Directory with a tokenizer.json, or GGUF file";

// "1,2,3", spaces allowed; `option` is for messages.
Result<std::vector<int32_t>> parse_ids(const std::string& option, const std::string& text);

// The ids of `text`; an error that names --ids as the way out when the model has no tokenizer.
Result<std::vector<int32_t>> encode_prompt(Model& model, const std::string& text);

// A token's bytes as it may stand in a line: in quotes, control characters and broken UTF-8 as \n
// or \x1b.
std::string quoted(std::string_view bytes);
// The same for a text of several lines: no quotes, and line ends and tabs as they are.
std::string shown(std::string_view bytes);

}  // namespace looplm::cli

#endif  // LOOPLM_CLI_TOKEN_TEXT_H_
