// Files of text as they are, or packed: NAME.gz by gzip, NAME.zst by Zstandard.
#ifndef LOOPLM_TEXT_UNPACKED_FILE_H_
#define LOOPLM_TEXT_UNPACKED_FILE_H_

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "looplm/status.h"

namespace looplm {

// How many bytes at the front of `text` can be read by themselves, such as whole lines; 0: none
// yet.
using WholePart = std::function<size_t(std::string_view text)>;
// A part of a text; false: no more is wanted.
using VisitPart = std::function<Result<bool>(std::string_view part)>;

// Maximum bytes of a packed text without a place to cut it.
inline constexpr size_t kMostUnpackedPart = size_t{256} << 20;

// Visits a file's text in order: a plain file's all at once, as it is mapped, a packed one's as it
// is unpacked, so that memory holds a part of it. The last part is what is left, whole or not; the
// text of an empty file is one empty part. An error where a packed file is damaged or cut off, or
// would make a part of more than kMostUnpackedPart bytes, and for .parquet, which nothing in Debian
// 12 reads.
Status read_text_parts(const std::string& path, const WholePart& whole, const VisitPart& visit);

size_t whole_lines(std::string_view text);

// What the name says about the text: "a.jsonl" for "a.jsonl.gz".
std::string_view unpacked_name(std::string_view path);

}  // namespace looplm

#endif  // LOOPLM_TEXT_UNPACKED_FILE_H_
