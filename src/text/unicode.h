// The few Unicode properties that tokenizer files rely on, from ICU.
#ifndef LOOPLM_TEXT_UNICODE_H_
#define LOOPLM_TEXT_UNICODE_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "looplm/status.h"

namespace looplm {

bool is_numeric(uint32_t code_point);  // general category Nd, Nl or No
bool is_white_space(uint32_t code_point);
bool is_word_character(uint32_t code_point);  // alphabetic, mark, decimal digit, connector, joiner

enum class Normalization { kNone, kNfc, kNfd, kNfkc, kNfkd };

// True when `text`, valid UTF-8, is in the form already, as most text is.
bool is_normalized(Normalization form, std::string_view text);
std::string normalize(Normalization form, std::string_view text);

}  // namespace looplm

#endif  // LOOPLM_TEXT_UNICODE_H_
