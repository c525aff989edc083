#include "train/token_shard.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include <fmt/format.h>

#include "base/check.h"
#include "base/hash.h"
#include "train/corpus.h"

namespace looplm {
namespace {

static_assert(std::endian::native == std::endian::little, "shards are little-endian");

constexpr char kMagic[8] = {'L', 'P', 'T', 'O', 'K', 'E', 'N', 'S'};
constexpr uint32_t kVersion = 2;
constexpr uint32_t kPairVersion = 3;
constexpr size_t kHeaderBytes = 64;

struct Header {
  char magic[8] = {};
  uint32_t version = 0;
  uint32_t token_bytes = 0;
  uint64_t tokens = 0;
  uint64_t documents = 0;
  uint64_t vocab_size = 0;
  uint64_t hash = 0;
  uint64_t vocabulary_hash = 0;
  uint64_t template_bytes = 0;
};
static_assert(sizeof(Header) == kHeaderBytes);

size_t learnt_at(uint64_t documents) { return kHeaderBytes + (documents + 1) * 8; }
size_t tokens_at(uint64_t documents, uint64_t tokens) {
  return (learnt_at(documents) + (tokens + 7) / 8 + 7) / 8 * 8;
}

template <typename T>
T load(std::span<const std::byte> bytes, size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof(value));
  return value;
}

}  // namespace

Vocabulary vocabulary_of(const Tokenizer& tokenizer) {
  uint64_t hash = fnv1a(std::span<const std::byte>());
  const auto add = [&hash](const auto& value) { hash = fnv1a(std::as_bytes(value), hash); };
  for (int64_t id = 0; id < tokenizer.vocab_size(); ++id) {
    const auto at = static_cast<int32_t>(id);
    const std::string_view bytes = tokenizer.bytes(at);
    const uint64_t head[2] = {bytes.size(), tokenizer.is_special(at) ? 1u : 0u};
    add(std::span(head));
    add(std::span(bytes));
  }
  return {tokenizer.vocab_size(), hash};
}

Status check_same_vocabulary(const std::string& name, const Vocabulary& vocabulary,
                             const std::string& other_name, const Vocabulary& other) {
  const bool known = vocabulary.hash != 0 && other.hash != 0;
  if (vocabulary.size == other.size && (!known || vocabulary.hash == other.hash)) return {};
  const auto shown = [](const Vocabulary& v) {
    return v.hash == 0 ? fmt::format("{} tokens", v.size)
                       : fmt::format("{} tokens, hash {:016x}", v.size, v.hash);
  };
  return invalid_argument(
      fmt::format("{} has another vocabulary ({}) than {} ({}): its ids mean other tokens", name,
                  shown(vocabulary), other_name, shown(other)));
}

Status check_same_tokenizer(const std::string& name, const Vocabulary& vocabulary,
                            const std::string& tokenizer_name, const Tokenizer& tokenizer) {
  if (vocabulary.hash == 0) return {};
  return check_same_vocabulary(name, vocabulary, "the tokenizer of " + tokenizer_name,
                               vocabulary_of(tokenizer));
}

Status take_chat_template(const std::string& name, std::string_view of_data,
                          const std::string& other_name, std::string_view& chat_template) {
  if (of_data.empty()) return {};
  if (!chat_template.empty() && chat_template != of_data) {
    return invalid_argument(
        fmt::format("{} holds chats in another form than {}: they were rendered by different chat "
                    "templates; build both with the same --tokenizer",
                    name, other_name));
  }
  chat_template = of_data;
  return {};
}

Result<TokenShard> TokenShard::open(const std::string& path) {
  LOOPLM_ASSIGN_OR_RETURN(MappedFile file, MappedFile::open(path));
  const auto wrong = [&path](const std::string& what) {
    return invalid_argument(fmt::format("token shard '{}': {}", path, what));
  };
  if (file.size() < kHeaderBytes) {
    return wrong(fmt::format("{} bytes; expected at least {}", file.size(), kHeaderBytes));
  }
  const auto header = load<Header>(file.bytes(), 0);
  if (std::memcmp(header.magic, kMagic, sizeof(kMagic)) != 0) {
    return wrong("does not begin with LPTOKENS; expected a file made by looplm data");
  }
  if (header.version != kVersion && header.version != kPairVersion) {
    return wrong(
        fmt::format("version {}; expected {} or {}", header.version, kVersion, kPairVersion));
  }
  if (header.token_bytes != 2 && header.token_bytes != 4) {
    return wrong(fmt::format("{} bytes per token; expected 2 or 4", header.token_bytes));
  }
  // Bounds first, so that the sums below cannot overflow.
  if (header.documents > file.size() || header.tokens > file.size() ||
      header.template_bytes > file.size()) {
    return wrong(
        fmt::format("claims {} documents, {} tokens and a chat template of {} bytes in {} bytes",
                    header.documents, header.tokens, header.template_bytes, file.size()));
  }
  const uint64_t template_at =
      tokens_at(header.documents, header.tokens) + header.tokens * header.token_bytes;
  const uint64_t expected = template_at + header.template_bytes;
  if (file.size() != expected) {
    return wrong(fmt::format("{} bytes; its header describes {}", file.size(), expected));
  }
  constexpr uint64_t kMostIds = uint64_t{1} << 31;
  if (header.vocab_size == 0 || header.vocab_size > kMostIds) {
    return wrong(fmt::format("vocabulary size {}; expected 1 to {}", header.vocab_size, kMostIds));
  }
  if (header.version == kPairVersion && header.documents % 2 != 0) {
    return wrong(fmt::format("{} documents; expected pairs", header.documents));
  }
  TokenShard shard;
  shard.pairs_ = header.version == kPairVersion;
  shard.file_ = std::move(file);
  shard.token_bytes_ = header.token_bytes;
  shard.tokens_ = static_cast<int64_t>(header.tokens);
  shard.documents_ = static_cast<int64_t>(header.documents);
  shard.vocabulary_ = {static_cast<int64_t>(header.vocab_size), header.vocabulary_hash};
  shard.hash_ = header.hash;
  shard.learnt_at_ = learnt_at(header.documents);
  shard.tokens_at_ = tokens_at(header.documents, header.tokens);
  shard.template_at_ = template_at;
  int64_t before = 0;
  for (int64_t d = 0; d <= shard.documents_; ++d) {
    const int64_t at = shard.offset(d);
    const bool empty = d > 0 && at == before;
    if (at < before || at > shard.tokens_ || empty || (d == 0 && at != 0)) {
      return wrong(fmt::format("document {} starts at token {} after {}", d, at, before));
    }
    before = at;
  }
  if (before != shard.tokens_) {
    return wrong(fmt::format("its documents hold {} of {} tokens", before, shard.tokens_));
  }
  // They would count as tokens to learn.
  const auto bits = shard.file_.bytes();
  for (size_t bit = header.tokens; bit < 8 * (shard.tokens_at_ - shard.learnt_at_); ++bit) {
    if ((load<uint8_t>(bits, shard.learnt_at_ + bit / 8) >> (bit % 8) & 1) == 0) continue;
    return wrong(fmt::format("says of token {} that it is learnt; it has {}", bit, header.tokens));
  }
  return shard;
}

int64_t TokenShard::offset(int64_t document) const {
  const auto value =
      load<uint64_t>(file_.bytes(), kHeaderBytes + static_cast<size_t>(document) * 8);
  return value > static_cast<uint64_t>(tokens_) ? tokens_ + 1 : static_cast<int64_t>(value);
}

bool TokenShard::is_learnt(int64_t document, int64_t token) const {
  LOOPLM_CHECK(token >= 0 && token < document_length(document));
  const auto bit = static_cast<size_t>(offset(document) + token);
  return (load<uint8_t>(file_.bytes(), learnt_at_ + bit / 8) >> (bit % 8) & 1) != 0;
}

int64_t TokenShard::count_targets() const {
  int64_t targets = 0;
  for (size_t at = learnt_at_; at < tokens_at_; ++at) {
    targets += std::popcount(load<uint8_t>(file_.bytes(), at));
  }
  for (int64_t d = 0; d < documents_; ++d) targets -= is_learnt(d, 0) ? 1 : 0;
  return targets;
}

Status TokenShard::read(int64_t document, int64_t first, std::span<int32_t> out) const {
  LOOPLM_CHECK(first >= 0 && first + static_cast<int64_t>(out.size()) <= document_length(document));
  const auto start = static_cast<size_t>(offset(document) + first);
  for (size_t i = 0; i < out.size(); ++i) {
    const size_t at = tokens_at_ + (start + i) * static_cast<size_t>(token_bytes_);
    const uint32_t token =
        token_bytes_ == 2 ? load<uint16_t>(file_.bytes(), at) : load<uint32_t>(file_.bytes(), at);
    if (token >= static_cast<uint64_t>(vocab_size())) {
      return invalid_argument(fmt::format("token shard '{}': token {} is {}; the vocabulary has {}",
                                          path(), start + i, token, vocab_size()));
    }
    out[i] = static_cast<int32_t>(token);
  }
  return {};
}

Status TokenShard::verify() const {
  const uint64_t actual = fnv1a(file_.bytes().subspan(kHeaderBytes));
  if (actual == hash_) return {};
  return invalid_argument(fmt::format(
      "token shard '{}': contents hash to {:016x}, header says {:016x}", path(), actual, hash_));
}

void TokenShardWriter::add(std::span<const int32_t> tokens, int64_t prompt_length) {
  LOOPLM_CHECK(prompt_length >= 0 && prompt_length <= static_cast<int64_t>(tokens.size()));
  std::vector<bool> learnt(tokens.size(), true);
  std::fill_n(learnt.begin(), prompt_length, false);
  add(tokens, learnt);
}

void TokenShardWriter::add(std::span<const int32_t> tokens, const std::vector<bool>& learnt) {
  LOOPLM_CHECK(learnt.size() == tokens.size());
  if (tokens.empty()) return;
  for (int32_t token : tokens) {
    LOOPLM_CHECK(token >= 0 && token < vocabulary_.size, "token {} of {}", token, vocabulary_.size);
    tokens_.push_back(static_cast<uint32_t>(token));
  }
  learnt_.insert(learnt_.end(), learnt.begin(), learnt.end());
  offsets_.push_back(tokens_.size());
}

void TokenShardWriter::add_pair(const DocumentIds& chosen, const DocumentIds& rejected) {
  LOOPLM_CHECK((pairs_ || documents() == 0) && !chosen.ids.empty() && !rejected.ids.empty());
  pairs_ = true;
  add(chosen.ids, chosen.learnt);
  add(rejected.ids, rejected.learnt);
}

Status TokenShardWriter::write(const std::string& path) {
  LOOPLM_ASSIGN_OR_RETURN(AtomicFileWriter writer, write_uncommitted(path));
  return writer.commit();
}

Result<AtomicFileWriter> TokenShardWriter::write_uncommitted(const std::string& path) {
  const size_t token_bytes = vocabulary_.size <= 65536 ? 2 : 4;
  const auto count = static_cast<uint64_t>(documents());
  const size_t tokens_start = tokens_at(count, tokens_.size()) - kHeaderBytes;
  const size_t template_start = tokens_start + tokens_.size() * token_bytes;
  std::vector<std::byte> body(template_start + chat_template_.size());
  std::memcpy(body.data(), offsets_.data(), offsets_.size() * 8);
  std::byte* const bits = body.data() + learnt_at(count) - kHeaderBytes;
  for (size_t i = 0; i < learnt_.size(); ++i) {
    if (learnt_[i]) bits[i / 8] |= std::byte{1} << (i % 8);
  }
  std::byte* out = body.data() + tokens_start;
  for (uint32_t token : tokens_) {
    std::memcpy(out, &token, token_bytes);
    out += token_bytes;
  }
  std::memcpy(body.data() + template_start, chat_template_.data(), chat_template_.size());
  Header header;
  std::memcpy(header.magic, kMagic, sizeof(kMagic));
  header.version = pairs_ ? kPairVersion : kVersion;
  header.token_bytes = static_cast<uint32_t>(token_bytes);
  header.tokens = tokens_.size();
  header.documents = count;
  header.vocab_size = static_cast<uint64_t>(vocabulary_.size);
  header.hash = fnv1a(body);
  header.vocabulary_hash = vocabulary_.hash;
  header.template_bytes = chat_template_.size();
  LOOPLM_ASSIGN_OR_RETURN(AtomicFileWriter writer, AtomicFileWriter::create(path));
  LOOPLM_RETURN_IF_ERROR(writer.write(std::as_bytes(std::span(&header, 1))));
  LOOPLM_RETURN_IF_ERROR(writer.write(body));
  LOOPLM_RETURN_IF_ERROR(writer.sync());
  *this = TokenShardWriter(vocabulary_);
  return writer;
}

}  // namespace looplm
