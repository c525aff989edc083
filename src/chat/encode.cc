// A rendered chat as ids.
#include "looplm/chat.h"

#include "base/check.h"

namespace looplm {
namespace {

// Stretches of spans of a kind, in order and apart.
std::vector<TextRange> ranges_of(const RenderedChat& chat, bool ChatSpan::*kind) {
  std::vector<TextRange> ranges;
  size_t at = 0;
  for (const ChatSpan& span : chat.spans) {
    if (span.*kind && !ranges.empty() && ranges.back().end == at) {
      ranges.back().end += span.size;
    } else if (span.*kind) {
      ranges.push_back({at, at + span.size});
    }
    at += span.size;
  }
  LOOPLM_CHECK(at == chat.text.size(), "spans of {} bytes, text of {}", at, chat.text.size());
  return ranges;
}

}  // namespace

Result<EncodedChat> encode_chat(const Tokenizer& tokenizer, const RenderedChat& chat) {
  const std::vector<TextRange> foreign = ranges_of(chat, &ChatSpan::foreign);
  const std::vector<TextRange> generated = ranges_of(chat, &ChatSpan::generated);
  EncodedChat encoded;
  LOOPLM_ASSIGN_OR_RETURN(encoded.ids, tokenizer.encode(chat.text, {.as = EncodeAs::kContinuation,
                                                                    .foreign = foreign}));
  encoded.generated.resize(encoded.ids.size());
  if (generated.empty()) return encoded;

  // Ids whose bytes are the text again tell where each of them stands.
  std::string bytes;
  for (int32_t id : encoded.ids) bytes += tokenizer.bytes(id);
  if (bytes != chat.text) {
    return unsupported(
        "the tokenizer changes the text, so that the assistant's words cannot be found in its ids");
  }
  const auto overlap = [&](const std::vector<TextRange>& ranges) {
    std::vector<bool> found(encoded.ids.size());
    size_t begin = 0, range = 0;
    for (size_t i = 0; i < found.size() && range < ranges.size(); ++i) {
      const size_t end = begin + tokenizer.bytes(encoded.ids[i]).size();
      while (range < ranges.size() && ranges[range].end <= begin) ++range;
      found[i] = range < ranges.size() && ranges[range].begin < end;
      begin = end;
    }
    return found;
  };
  encoded.generated = overlap(generated);
  encoded.foreign = overlap(foreign);
  return encoded;
}

}  // namespace looplm
