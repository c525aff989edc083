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

struct EncodeOptions {
  // Add what the file's post-processor adds around a text (a begin-of-text id, for example).
  bool add_special_tokens = true;
  // Recognise special tokens written in the text. Turn off for text from strangers.
  bool parse_special = true;
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

  // Bytes that are not UTF-8 are read as U+FFFD, one for each maximal broken part. Bytes for which
  // the vocabulary has no token are left out, as the reference library does.
  std::vector<int32_t> encode(std::string_view text, const EncodeOptions& options = {}) const;

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
