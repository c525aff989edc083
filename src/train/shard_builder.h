// Corpus files to token shards.
#ifndef LOOPLM_TRAIN_SHARD_BUILDER_H_
#define LOOPLM_TRAIN_SHARD_BUILDER_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "looplm/status.h"
#include "looplm/tokenizer.h"

#include "base/thread_pool.h"
#include "train/corpus.h"

namespace looplm {

struct ShardBuildOptions {
  TextSplit split = TextSplit::kParagraph;
  std::optional<int32_t> end_token;  // put after each document, of chats where nothing ends it
  const Result<ChatTemplate>* chat = nullptr;  // as in CorpusOptions
  // Tokens after which a new shard begins; 0: one shard. Documents stay whole.
  int64_t shard_tokens = 0;
  // Leave out what the tokenizer has no token for, and count it; otherwise it is an error.
  bool allow_loss = false;
  // Leave out documents that cannot be read or tokenised, and count them; otherwise the first is an
  // error.
  bool skip_bad = false;
  // Write every n-th document to the held-out shard instead; 0: none.
  int64_t hold_out_every = 0;
};

struct ShardBuildSummary {
  int64_t documents = 0;
  bool pairs = false;  // they are preference pairs
  int64_t tokens = 0;
  int64_t targets = 0;  // tokens that are learnt: prompts and first tokens are not
  int64_t bytes = 0;    // of text
  std::vector<std::string> shards;
  int64_t held_out_documents = 0;
  int64_t held_out_tokens = 0;
  int64_t lost_bytes = 0;  // of text, for which the tokenizer has no token
  int64_t skipped_documents = 0;
  std::string first_skipped;    // where, and why
  int64_t empty_documents = 0;  // without text; they are left out too
  // Of the documents: chats whose template does not write the reasoning of all turns to learn,
  // chats with an answer that no token ends, and prompts that are plain text, around which no chat
  // template stands.
  int64_t without_reasoning = 0;
  int64_t without_end = 0;
  int64_t plain_prompts = 0;
};

// Tokenises the files' documents (encode_document) and writes `out`: a shard, or with shard_tokens
// a directory of shards 00000.tokens, 00001.tokens, ..., which appears whole or not at all and
// replaces an earlier one. The result does not depend on the number of threads. `held_out` is
// written when hold_out_every is set. A corpus without documents, or without
// a token to learn, is an error. `progress` is called now and then with the bytes of text so far.
Result<ShardBuildSummary> build_shards(const std::vector<std::string>& files,
                                       const Tokenizer& tokenizer, const ShardBuildOptions& options,
                                       const std::string& out, const std::string& held_out,
                                       ThreadPool& pool,
                                       const std::function<void(int64_t bytes)>& progress = {});

}  // namespace looplm

#endif  // LOOPLM_TRAIN_SHARD_BUILDER_H_
