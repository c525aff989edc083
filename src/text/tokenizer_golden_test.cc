// Lines of 100,000 in seven styles of tokenizer.json, against Hugging Face tokenizers: the same ids
// and the same text again. tests/oracle/tokenizer_golden.py makes the expected hashes.
#include <algorithm>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "looplm/tokenizer.h"

#include "base/json.h"
#include "text/utf8.h"

namespace looplm {
namespace {

constexpr uint64_t kFnvStart = 0xCBF29CE484222325ULL;

constexpr const char* kStyles[] = {"smollm", "gpt2",    "prefix", "llama3",
                                   "qwen",   "missing", "pieces"};

// A test reads the first block of lines and then one in so many, other ones than the next test.
// Sanitizers take ten times as long.
#ifdef LOOPLM_SANITIZED
constexpr uint64_t kStride = 50;
#else
constexpr uint64_t kStride = 5;
#endif

uint64_t fnv(std::string_view bytes, uint64_t hash) {
  for (char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3ULL;
  return hash;
}

uint64_t splitmix(uint64_t x) {
  x += 0x9E3779B97F4A7C15ULL;
  x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ x >> 27) * 0x94D049BB133111EBULL;
  return x ^ x >> 31;
}

using Atoms = std::vector<std::vector<std::string>>;

std::string make_line(const Atoms& atoms, uint64_t number) {
  uint64_t state = splitmix(number);
  std::string text;
  for (uint64_t n = 1 + state % 12; n > 0; --n) {
    state = splitmix(state);
    const auto& group = atoms[state % atoms.size()];
    text += group[(state >> 20) % group.size()];
    if ((state >> 56) % 3 == 0) text += ' ';
  }
  return text;
}

std::string golden_path(const std::string& name) {
  return std::string(LOOPLM_GOLDEN_DIR) + "/text/" + name;
}

class TokenizerGolden : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    directory_ = golden_path(GetParam());
    auto tokenizer = Tokenizer::load(directory_);
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().message();
    tokenizer_ = std::move(tokenizer).value();
    auto golden = read_json_file(directory_ + "/case.json");
    ASSERT_TRUE(golden.ok()) << golden.status().message();
    golden_ = std::move(golden).value();
    auto atoms = read_json_file(golden_path("atoms.json"));
    ASSERT_TRUE(atoms.ok()) << atoms.status().message();
    atoms_ = atoms->get<Atoms>();
  }

  // The library puts its ids in front of a text that begins with them already; we do not.
  void repeat_what_stands_in_front(const std::string& line, std::vector<int32_t>& ids) const {
    const std::vector<int32_t>& front = tokenizer_->ids_in_front();
    int64_t lost = 0;
    const std::vector<int32_t> own =
        tokenizer_->encode(line, {.as = EncodeAs::kContinuation, .lost_bytes = &lost}).value();
    if (front.empty() || own.size() < front.size() ||
        !std::equal(front.begin(), front.end(), own.begin())) {
      return;
    }
    ASSERT_TRUE(std::equal(own.begin(), own.end(), ids.begin()));
    ids.insert(ids.begin(), front.begin(), front.end());
  }

  void check_all(const Json& expected, bool special) {
    const auto lines = golden_["lines"].get<uint64_t>();
    const auto block = golden_["block"].get<uint64_t>();
    const auto style = static_cast<uint64_t>(std::ranges::find(kStyles, directory_, golden_path) -
                                             std::begin(kStyles));
    const uint64_t begin = (2 * style + (special ? 1 : 0)) % kStride * block;
    for (uint64_t first = 0; first < lines;
         first = first < begin ? begin : first + kStride * block) {
      uint64_t ids_hash = kFnvStart;
      uint64_t text_hash = kFnvStart;
      for (uint64_t n = first; n < first + block; ++n) {
        const std::string line = make_line(atoms_, n);
        int64_t lost = 0;  // the library leaves out what has no token, too
        std::vector<int32_t> ids =
            tokenizer_
                ->encode(line, {.as = special ? EncodeAs::kDocument : EncodeAs::kContinuation,
                                .lost_bytes = &lost})
                .value();
        if (special) repeat_what_stands_in_front(line, ids);
        const std::string text = tokenizer_->decode(ids, special);
        if (n < expected["shown"].size()) {
          const Json& shown = expected["shown"][n];
          ASSERT_EQ(line, shown["text"].get<std::string>());
          ASSERT_EQ(ids, shown["ids"].get<std::vector<int32_t>>()) << "line " << n << ": " << line;
          ASSERT_EQ(text, shown["decoded"].get<std::string>()) << "line " << n;
        }
        if (n % 16 == 0) check_stream(ids, special, text);
        ids.push_back(-1);
        ids_hash = fnv({reinterpret_cast<const char*>(ids.data()), ids.size() * 4}, ids_hash);
        text_hash = fnv(text + '\xff', text_hash);
      }
      const uint64_t index = first / block;
      ASSERT_EQ(fmt::format("{:016x}", ids_hash), expected["ids"][index]) << "from line " << first;
      ASSERT_EQ(fmt::format("{:016x}", text_hash), expected["decoded"][index])
          << "from line " << first;
    }
  }

  // The streaming detokeniser says the same in pieces that are UTF-8 each.
  void check_stream(const std::vector<int32_t>& ids, bool skip_special, const std::string& text) {
    Detokenizer stream(*tokenizer_, skip_special);
    std::string joined;
    for (int32_t id : ids) {
      const std::string piece = stream.push(id);
      ASSERT_TRUE(is_utf8(piece)) << "half a character";
      joined += piece;
    }
    ASSERT_EQ(joined + stream.finish(), text);
  }

  std::string directory_;
  std::unique_ptr<Tokenizer> tokenizer_;
  Json golden_;
  Atoms atoms_;
};

TEST_P(TokenizerGolden, PlainText) { check_all(golden_["plain"], false); }
TEST_P(TokenizerGolden, WithTemplateAndSkippedSpecialTokens) {
  check_all(golden_["special"], true);
}

INSTANTIATE_TEST_SUITE_P(Styles, TokenizerGolden, testing::ValuesIn(kStyles),
                         [](const auto& instance) { return std::string(instance.param); });

}  // namespace
}  // namespace looplm
