// Byte-pair encoding of one word: the "model" of a tokenizer.json.
#ifndef LOOPLM_TEXT_BPE_H_
#define LOOPLM_TEXT_BPE_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "looplm/status.h"

#include "base/json.h"

namespace looplm {

// Byte strings of the vocabulary, by id, and ids by byte string. Open addressing over one block of
// bytes: a look-up costs one hash and mostly one cache line of slots.
class TokenTable {
 public:
  void reserve(size_t tokens, size_t bytes);
  // A later token with the same bytes does not replace an earlier one.
  void add(int32_t id, std::string_view bytes);
  // A token that find() does not know.
  void add_unfound(int32_t id, std::string_view bytes);
  int32_t find(std::string_view bytes) const;  // -1: none
  std::string_view bytes(int32_t id) const;
  int32_t end_id() const { return static_cast<int32_t>(spans_.size()); }

 private:
  struct Span {
    uint32_t begin = 0;
    uint32_t size = 0;
    bool found = false;  // by find()
  };
  void grow(size_t slots);

  std::string blob_;
  std::vector<Span> spans_;     // by id
  std::vector<int32_t> slots_;  // ids, -1 where free; a power of two of them
  size_t used_ = 0;
};

// Merges by pair of ids. A lower rank merges first.
class MergeTable {
 public:
  struct Merge {
    uint32_t rank;
    int32_t id;
  };
  explicit MergeTable(size_t merges);
  // A later merge of the same pair replaces the earlier one.
  void add(int32_t left, int32_t right, Merge merge);
  const Merge* find(int32_t left, int32_t right) const;  // null: none

 private:
  struct Slot {
    uint64_t pair = ~uint64_t{0};  // no pair of ids is this
    Merge merge{};
  };
  size_t slot_of(uint64_t pair) const;

  std::vector<Slot> slots_;
  size_t mask_;
};

// May be used by several threads at once.
class BytePairEncoder {
 public:
  // `node` is the file's "model".
  static Result<std::unique_ptr<BytePairEncoder>> read(const Json& node);

  // Scratch memory of one user.
  struct Symbol {
    int32_t id;
    uint32_t previous;
    uint32_t next;
  };
  struct Scratch {
    std::vector<int32_t> ids;
    std::vector<Symbol> symbols;
    std::vector<std::array<uint32_t, 3>> heap;  // rank, symbol, id that the merge makes
    // Of all words so far.
    int64_t lost_bytes = 0;  // without a token, and without an unknown token in their place
    std::string first_lost;  // the character that the first of them belongs to
  };
  // Appends the ids of a non-empty word of valid UTF-8.
  void encode(std::string_view word, std::vector<int32_t>& out, Scratch& scratch) const;

  const TokenTable& tokens() const { return tokens_; }
  // The id of a token by its text in the file.
  std::optional<int32_t> id_of(std::string_view text) const;

 private:
  BytePairEncoder() = default;
  Status read_vocabulary(const Json& node);
  Status read_merges(const Json& node);
  void start(std::string_view word, Scratch& scratch) const;
  void merge_short(std::vector<int32_t>& ids) const;
  void merge_long(Scratch& scratch) const;

  TokenTable tokens_;
  std::unordered_map<std::string, int32_t> ids_;  // by text in the file
  MergeTable merges_{0};
  std::array<int32_t, 256> byte_ids_{};  // -1: no token
  int32_t unknown_id_ = -1;              // stands for bytes without a token; -1: they are left out
  bool fuse_unknown_ = false;
  bool ignore_merges_ = false;  // a word that is a token is that token
  // Whether merging the bytes of a token makes that token: 0 not asked yet, 1 yes, 2 no. Most words
  // of a text are such tokens and need no merging. Relaxed: any thread comes to the same answer.
  mutable std::vector<std::atomic<uint8_t>> whole_;
};

}  // namespace looplm

#endif  // LOOPLM_TEXT_BPE_H_
