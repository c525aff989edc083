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

// What a text is, which decides the ids that stand around it.
//
// A tokenizer's file names ids that go in front of a whole text (a begin-of-text id, for example)
// and ids that go behind it. What goes behind would end a text that is to be continued, so it is
// only for documents that are read as a whole. What goes in front is not added a second time where
// the text begins with it already, written out and read as special tokens.
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
  // Where only parts are from strangers: those parts, in order and apart. A special token that lies
  // in one or reaches into one stays text; all else is as without them. They count for text that is
  // UTF-8; with broken text no special token is recognised then.
  std::span<const TextRange> foreign{};
  // Where to count bytes that have no token in a vocabulary that has no unknown token either; they
  // are left out then, as Hugging Face's tokenizers leaves them out. Null: they are an error.
  int64_t* lost_bytes = nullptr;
};

// One text may be encoded by several threads at once with the same tokenizer.
class Tokenizer {
 public:
  // Reads `directory`/tokenizer.json. Not found, or a file that is damaged or asks for a step that
  // is not byte-level BPE, is an error that names the field.
  static Result<std::unique_ptr<Tokenizer>> load(const std::string& directory);
  // The same from the file's text; `name` is for messages.
  static Result<std::unique_ptr<Tokenizer>> parse(std::string_view json, const std::string& name);
  ~Tokenizer();

  // Bytes that are not UTF-8 are read as U+FFFD, one for each maximal broken part. Errors: text
  // that would be lost (see EncodeOptions), and a pattern of the file that needs more steps on this
  // text than PCRE2 allows.
  Result<std::vector<int32_t>> encode(std::string_view text,
                                      const EncodeOptions& options = {}) const;
  // What encode puts in front of a prompt.
  const std::vector<int32_t>& ids_in_front() const;

  // Text of ids; broken UTF-8 becomes U+FFFD. Ids outside the vocabulary have no text.
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

  // Text that became complete with this id; all pushes and finish() joined equal decode().
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
