// Text to token ids and back: byte-level BPE as written in tokenizer.json by Hugging Face
// tokenizers.
#ifndef LOOPLM_TOKENIZER_H_
#define LOOPLM_TOKENIZER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "looplm/status.h"

namespace looplm {

// What kind of text it is. This decides which ids encode() adds around it.
//
// A tokenizer's file names ids that go in front of a whole text, such as a begin-of-text id, and
// ids that go behind it. An id behind a prompt would end it, so only whole documents get those.
// encode() does not add the ids in front again if the text already begins with them, written out as
// special tokens.
enum class EncodeAs {
  kPrompt,        // begins here and goes on: ids in front, none behind
  kDocument,      // begins and ends here: ids in front and behind
  kContinuation,  // goes on from ids that are there already: the text's own ids alone
};

// Bytes [begin, end) of a text.
struct TextRange {
  size_t begin = 0;
  size_t end = 0;
};

struct EncodeOptions {
  EncodeAs as = EncodeAs::kPrompt;
  // Recognise special tokens written in the text. Turn off for text from strangers.
  bool parse_special = true;
  // The parts that come from strangers, in order and without overlap. A special token that touches
  // one of them stays text; everything else is as without them. In text that is not UTF-8, no
  // special token is recognised then.
  std::span<const TextRange> foreign{};
  // Counts bytes that have no token, if the vocabulary has no unknown token either. encode() then
  // leaves them out, as Hugging Face's tokenizers does. Null: such bytes are an error.
  int64_t* lost_bytes = nullptr;
};

// Several threads may use one tokenizer at once.
class Tokenizer {
 public:
  // Reads `directory`/tokenizer.json. Not found, or a file that is damaged or asks for a step that
  // is not byte-level BPE, is an error that names the field.
  static Result<std::unique_ptr<Tokenizer>> load(const std::string& directory);
  // The same from the file's text; `name` is for messages.
  static Result<std::unique_ptr<Tokenizer>> parse(std::string_view json, const std::string& name);
  ~Tokenizer();

  // Reads bytes that are not UTF-8 as U+FFFD, one for each maximal broken part. Errors: text that
  // would be lost (see EncodeOptions), and a pattern of the file that needs more steps on this text
  // than PCRE2 allows.
  Result<std::vector<int32_t>> encode(std::string_view text,
                                      const EncodeOptions& options = {}) const;
  // The ids that encode() puts in front of a prompt.
  const std::vector<int32_t>& ids_in_front() const;

  // The text of ids. Broken UTF-8 becomes U+FFFD. Ids outside the vocabulary have no text.
  std::string decode(std::span<const int32_t> ids, bool skip_special = true) const;

  // One more than the highest id, added tokens included. Ids may have gaps.
  int64_t vocab_size() const;
  // The bytes of an id, not necessarily whole characters; empty for an id that does not exist.
  std::string_view bytes(int32_t id) const;
  std::optional<int32_t> id_of(std::string_view content) const;  // a token's text, not its mapping
  bool is_special(int32_t id) const;

  class Parts;
  const Parts& parts() const { return *parts_; }

 private:
  explicit Tokenizer(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

// Decodes ids one at a time and never shows half a character: bytes wait until their character is
// whole or can no longer become so.
class Detokenizer {
 public:
  // `tokenizer` must outlive this.
  explicit Detokenizer(const Tokenizer& tokenizer, bool skip_special = true)
      : tokenizer_(&tokenizer), skip_special_(skip_special) {}

  // The text that this id completes. All pushes and finish(), joined, equal decode().
  std::string push(int32_t id);
  // What is left, as U+FFFD.
  std::string finish();

 private:
  const Tokenizer* tokenizer_;
  bool skip_special_;
  std::string pending_;
};

}  // namespace looplm

#endif  // LOOPLM_TOKENIZER_H_
