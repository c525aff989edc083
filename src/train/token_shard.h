// Token shards: files of tokenised documents, memory-mapped for training.
//
// Layout, little-endian:
//   0   char[8]  "LPTOKENS"
//   8   u32      version: 2, or 3 where documents 2i and 2i + 1 are a chosen and a rejected answer
//   12  u32      bytes per token, 2 or 4
//   16  u64      tokens
//   24  u64      documents
//   32  u64      vocabulary size: every token is below it
//   40  u64      FNV-1a hash of all that stands behind the header
//   48  u64      hash of the vocabulary that the tokens are of (Vocabulary), 0 when it is not known
//   56  u64      bytes of the chat template
//   64  u64[documents + 1]  first token of each document, then the token count
//       u8[]                one bit per token, the lowest first: 1 is learnt, 0 only read (a
//       prompt) zeros up to a multiple of 8 tokens, then the tokens, then the chat template
#ifndef LOOPLM_TRAIN_TOKEN_SHARD_H_
#define LOOPLM_TRAIN_TOKEN_SHARD_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "looplm/status.h"
#include "looplm/tokenizer.h"

#include "base/file.h"

namespace looplm {

// What token ids mean: the bytes of each.
struct Vocabulary {
  Vocabulary(int64_t of_size, uint64_t of_hash = 0) : size(of_size), hash(of_hash) {}  // NOLINT
  int64_t size;   // ids are below it
  uint64_t hash;  // over every id's bytes and whether it is special; 0: not known
};
Vocabulary vocabulary_of(const Tokenizer& tokenizer);
// An error that names both where the ids of one mean something else in the other, as far as that is
// known. Names are as they stand in a sentence.
Status check_same_vocabulary(const std::string& name, const Vocabulary& vocabulary,
                             const std::string& other_name, const Vocabulary& other);

// The same for what may not know its vocabulary's hash, which then says nothing, and a tokenizer.
Status check_same_tokenizer(const std::string& name, const Vocabulary& vocabulary,
                            const std::string& tokenizer_name, const Tokenizer& tokenizer);

// Keeps the template of some data in `chat_template`, unless it has none. An error that names both
// where another one is there already: a model cannot learn turns of two forms.
Status take_chat_template(const std::string& name, std::string_view of_data,
                          const std::string& other_name, std::string_view& chat_template);

struct DocumentIds;

class TokenShard {
 public:
  // Checks the header, the index and the sizes, not the hash (see verify).
  static Result<TokenShard> open(const std::string& path);

  int64_t documents() const { return documents_; }
  int64_t tokens() const { return tokens_; }
  int64_t vocab_size() const { return vocabulary_.size; }
  const Vocabulary& vocabulary() const { return vocabulary_; }
  bool is_pairs() const { return pairs_; }
  // The template that its chats were rendered by; empty where there are none.
  std::string_view chat_template() const { return file_.text().substr(template_at_); }
  // Tokens to predict: those that are learnt and not the first of their document.
  int64_t count_targets() const;
  int64_t document_length(int64_t document) const {
    return offset(document + 1) - offset(document);
  }
  // Whether the token is one to predict in training. A document's first token never is one, since
  // nothing comes before it, whatever this says.
  bool is_learnt(int64_t document, int64_t token) const;
  // Copies tokens [first, first + out.size()) of a document. Fails on a token outside the
  // vocabulary.
  Status read(int64_t document, int64_t first, std::span<int32_t> out) const;
  // Reads everything and compares the hash.
  Status verify() const;
  uint64_t hash() const { return hash_; }
  const std::string& path() const { return file_.path(); }

 private:
  int64_t offset(int64_t document) const;

  MappedFile file_;
  int64_t token_bytes_ = 0;
  int64_t tokens_ = 0;
  int64_t documents_ = 0;
  bool pairs_ = false;
  Vocabulary vocabulary_ = 0;
  uint64_t hash_ = 0;
  size_t learnt_at_ = 0;  // byte offsets in the file
  size_t tokens_at_ = 0;
  size_t template_at_ = 0;
};

// Collects documents and writes them as one shard.
class TokenShardWriter {
 public:
  explicit TokenShardWriter(const Vocabulary& vocabulary) : vocabulary_(vocabulary) {}

  // Tokens must be below the vocabulary size. The first prompt_length of them, at most all, are
  // only read. Empty documents are dropped.
  void add(std::span<const int32_t> tokens, int64_t prompt_length = 0);
  // `learnt` says of each token whether it is.
  void add(std::span<const int32_t> tokens, const std::vector<bool>& learnt);
  // A pair of answers to the same prompt. A shard holds pairs alone, or none.
  void add_pair(const DocumentIds& chosen, const DocumentIds& rejected);
  int64_t tokens() const { return static_cast<int64_t>(tokens_.size()); }
  int64_t documents() const { return static_cast<int64_t>(offsets_.size()) - 1; }
  // The template of the chats among the documents.
  void set_chat_template(const std::string& text) { chat_template_ = text; }
  // Writes the file and starts over empty.
  Status write(const std::string& path);
  // The same, all but the last step.
  Result<AtomicFileWriter> write_uncommitted(const std::string& path);

 private:
  Vocabulary vocabulary_;
  bool pairs_ = false;
  std::vector<uint64_t> offsets_ = {0};
  std::vector<bool> learnt_;
  std::vector<uint32_t> tokens_;
  std::string chat_template_;
};

}  // namespace looplm

#endif  // LOOPLM_TRAIN_TOKEN_SHARD_H_
