#include "text/unicode.h"

#include <limits>
#include <stdexcept>

#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/uchar.h>

namespace looplm {
namespace {

// ICU counts in int32.
constexpr size_t kPiece = std::numeric_limits<int32_t>::max() / 4;

const icu::Normalizer2* instance(Normalization form) {
  UErrorCode error = U_ZERO_ERROR;
  const icu::Normalizer2* n = nullptr;
  switch (form) {
    case Normalization::kNone:
      return nullptr;
    case Normalization::kNfc:
      n = icu::Normalizer2::getNFCInstance(error);
      break;
    case Normalization::kNfd:
      n = icu::Normalizer2::getNFDInstance(error);
      break;
    case Normalization::kNfkc:
      n = icu::Normalizer2::getNFKCInstance(error);
      break;
    case Normalization::kNfkd:
      n = icu::Normalizer2::getNFKDInstance(error);
      break;
  }
  if (U_FAILURE(error)) throw std::runtime_error(u_errorName(error));
  return n;
}

icu::StringPiece piece(std::string_view text) {
  if (text.size() > kPiece) throw std::runtime_error("a text of more than 512 MiB in one piece");
  return {text.data(), static_cast<int32_t>(text.size())};
}

}  // namespace

bool is_numeric(uint32_t c) {
  if (c < 0x80) return c >= '0' && c <= '9';
  return (U_GET_GC_MASK(static_cast<UChar32>(c)) & U_GC_N_MASK) != 0;
}

bool is_white_space(uint32_t c) {
  return u_hasBinaryProperty(static_cast<UChar32>(c), UCHAR_WHITE_SPACE) != 0;
}

bool is_word_character(uint32_t c) {
  const auto code = static_cast<UChar32>(c);
  return (U_GET_GC_MASK(code) & (U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK)) != 0 ||
         u_hasBinaryProperty(code, UCHAR_ALPHABETIC) != 0 ||
         u_hasBinaryProperty(code, UCHAR_JOIN_CONTROL) != 0;
}

bool is_normalized(Normalization form, std::string_view text) {
  const icu::Normalizer2* n = instance(form);
  if (n == nullptr) return true;
  UErrorCode error = U_ZERO_ERROR;
  return n->isNormalizedUTF8(piece(text), error) != 0 && U_SUCCESS(error);
}

std::string normalize(Normalization form, std::string_view text) {
  const icu::Normalizer2* n = instance(form);
  if (n == nullptr) return std::string(text);
  std::string out;
  icu::StringByteSink<std::string> sink(&out);
  UErrorCode error = U_ZERO_ERROR;
  n->normalizeUTF8(0, piece(text), sink, nullptr, error);
  if (U_FAILURE(error)) throw std::runtime_error(u_errorName(error));
  return out;
}

}  // namespace looplm
