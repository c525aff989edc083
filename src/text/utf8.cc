#include "text/utf8.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

namespace looplm {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

// Bytes at the front that are ASCII, eight at a time.
size_t ascii_prefix(std::string_view text) {
  constexpr uint64_t kHighBits = 0x8080808080808080ULL;
  size_t i = 0;
  for (; i + 8 <= text.size(); i += 8) {
    uint64_t word;
    std::memcpy(&word, text.data() + i, 8);
    if ((word & kHighBits) != 0) break;
  }
  while (i < text.size() && static_cast<unsigned char>(text[i]) < 0x80) ++i;
  return i;
}

// UTF-16 of plain text without a byte order mark, which is UTF-8 of another text.
bool alternates_with_zero(std::string_view text) {
  constexpr size_t kMost = 64;
  const size_t size = std::min(text.size(), kMost) / 2 * 2;
  size_t zeros[2] = {0, 0};
  for (size_t i = 0; i < size; ++i) zeros[i % 2] += text[i] == '\0' ? 1 : 0;
  return size >= 4 && (zeros[0] + zeros[1] == size / 2) && (zeros[0] == 0 || zeros[1] == 0);
}

}  // namespace

Utf8Step utf8_step(std::string_view text) {
  using Kind = Utf8Step::Kind;
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned lead = byte(0);
  if (lead < 0x80) return {Kind::kCharacter, 1};
  if (lead < 0xC2 || lead > 0xF4) return {Kind::kBroken, 1};
  const size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  // The second byte's range keeps out overlong forms, surrogates and numbers above U+10FFFF.
  const unsigned low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  const unsigned high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  for (size_t i = 1; i < length; ++i) {
    if (i == text.size()) return {Kind::kIncomplete, i};
    const bool fits =
        i == 1 ? byte(1) >= low && byte(1) <= high : byte(i) >= 0x80 && byte(i) <= 0xBF;
    if (!fits) return {Kind::kBroken, i};
  }
  return {Kind::kCharacter, length};
}

uint32_t utf8_decode(std::string_view character) {
  const auto byte = [&](size_t i) {
    return static_cast<uint32_t>(static_cast<unsigned char>(character[i]));
  };
  switch (character.size()) {
    case 1:
      return byte(0);
    case 2:
      return (byte(0) & 0x1F) << 6 | (byte(1) & 0x3F);
    case 3:
      return (byte(0) & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
    default:
      return (byte(0) & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 |
             (byte(3) & 0x3F);
  }
}

void utf8_append(std::string& text, uint32_t c) {
  const auto put = [&](uint32_t byte) { text.push_back(static_cast<char>(byte)); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | c >> 6);
    put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | c >> 12);
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | c >> 18);
    put(0x80 | (c >> 12 & 0x3F));
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  }
}

size_t first_broken_utf8(std::string_view text) {
  std::string_view rest = text;
  while (true) {
    rest.remove_prefix(ascii_prefix(rest));
    if (rest.empty()) return text.size();
    const Utf8Step step = utf8_step(rest);
    if (step.kind != Utf8Step::Kind::kCharacter) return text.size() - rest.size();
    rest.remove_prefix(step.size);
  }
}

bool is_utf8(std::string_view text) { return first_broken_utf8(text) == text.size(); }

Status check_utf8(std::string_view text) {
  using namespace std::string_view_literals;
  // UTF-32's mark in little-endian order begins with that of UTF-16.
  constexpr std::pair<std::string_view, const char*> kMarks[] = {{"\xFF\xFE\0\0"sv, "UTF-32"},
                                                                 {"\0\0\xFE\xFF"sv, "UTF-32"},
                                                                 {"\xFF\xFE"sv, "UTF-16"},
                                                                 {"\xFE\xFF"sv, "UTF-16"}};
  for (const auto& [mark, name] : kMarks) {
    if (text.starts_with(mark)) {
      return invalid_argument(
          fmt::format("begins with the byte order mark of {}; expected UTF-8", name));
    }
  }
  if (alternates_with_zero(text)) {
    return invalid_argument(
        fmt::format("byte {} (in line 1) is zero: every second byte is 0, as in UTF-16; expected "
                    "UTF-8",
                    text.find('\0')));
  }
  const size_t at = first_broken_utf8(text);
  if (at == text.size()) return {};
  const auto line =
      1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\n');
  return invalid_argument(fmt::format("byte {} (0x{:02X}, in line {}) is not UTF-8; expected UTF-8",
                                      at, static_cast<unsigned char>(text[at]), line));
}

void take_decided_utf8(std::string& pending, std::string& out) {
  std::string_view rest = pending;
  while (true) {
    const size_t ascii = ascii_prefix(rest);
    out += rest.substr(0, ascii);
    rest.remove_prefix(ascii);
    if (rest.empty()) break;
    const Utf8Step step = utf8_step(rest);
    if (step.kind == Utf8Step::Kind::kIncomplete) break;
    out += step.kind == Utf8Step::Kind::kCharacter ? rest.substr(0, step.size) : kReplacement;
    rest.remove_prefix(step.size);
  }
  pending.erase(0, pending.size() - rest.size());
}

std::string repair_utf8(std::string_view text) {
  std::string pending(text);
  std::string out;
  out.reserve(text.size());
  take_decided_utf8(pending, out);
  if (!pending.empty()) out += kReplacement;
  return out;
}

}  // namespace looplm
