// tokenizer.json: whatever is read encodes any text to ids that exist, and decodes them without
// harm. The part of the input after a zero byte is the text.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "looplm/tokenizer.h"

#include "base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace looplm;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t zero = input.find('\0');
  const std::string_view json = input.substr(0, zero);
  const std::string_view text =
      zero == std::string_view::npos
          ? "The 12 cats\tsaid: \xe4\xbd\xa0\xe5\xa5\xbd \xff <|endoftext|> don't"
          : input.substr(zero + 1);
  auto tokenizer = Tokenizer::parse(json, "input");
  if (!tokenizer.ok()) {
    LOOPLM_CHECK(!tokenizer.status().message().empty());
    return 0;
  }
  const Tokenizer& t = **tokenizer;
  for (const bool special : {false, true}) {
    int64_t lost = 0;
    const auto encoded =
        t.encode(text, {.as = special ? EncodeAs::kDocument : EncodeAs::kContinuation,
                        .parse_special = special,
                        .lost_bytes = &lost});
    if (!encoded.ok()) {  // a pattern that needs too many steps
      LOOPLM_CHECK(!encoded.status().message().empty());
      continue;
    }
    const std::vector<int32_t>& ids = encoded.value();
    LOOPLM_CHECK((lost == 0) == t.encode(text, {.parse_special = special}).ok());
    Detokenizer stream(t, special);
    std::string streamed;
    for (int32_t id : ids) {
      LOOPLM_CHECK(id >= 0 && id < t.vocab_size(), "id {}", id);
      streamed += stream.push(id);
    }
    streamed += stream.finish();
    LOOPLM_CHECK(streamed == t.decode(ids, special));
  }
  return 0;
}
