#include "train/shard_builder.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/file.h"
#include "base/json.h"
#include "model/atomic_directory.h"
#include "train/token_shard.h"

namespace looplm {
namespace {

constexpr const char* kShardSuffix = ".tokens";
constexpr int64_t kBatchBytes = 4 << 20;  // of text tokenised at once

class Builder {
 public:
  Builder(const Tokenizer& tokenizer, const ShardBuildOptions& options, const std::string& out,
          ThreadPool& pool, const std::function<void(int64_t)>& progress)
      : tokenizer_(tokenizer),
        options_(options),
        out_(out),
        pool_(pool),
        progress_(progress),
        shard_(tokenizer.vocab_size()),
        held_out_(tokenizer.vocab_size()) {}

  Status start() {
    if (options_.shard_tokens == 0) return {};
    LOOPLM_ASSIGN_OR_RETURN(AtomicDirectory directory,
                            AtomicDirectory::create(out_, [](const std::string& name) {
                              return name.ends_with(kShardSuffix);
                            }));
    directory_.emplace(std::move(directory));
    return {};
  }

  // `name` is for messages.
  Status add(CorpusDocument document, std::string name) {
    int64_t bytes = 0;
    for (const CorpusSegment& segment : document) {
      bytes += static_cast<int64_t>(segment.text.size());
    }
    batch_.push_back({std::move(document), std::move(name), {}, {}, 0});
    batch_bytes_ += bytes;
    summary_.bytes += bytes;
    return batch_bytes_ < kBatchBytes ? Status() : flush();
  }

  Result<ShardBuildSummary> finish(const std::string& held_out) {
    LOOPLM_RETURN_IF_ERROR(flush());
    if (summary_.documents == 0) {
      return invalid_argument("the corpus has no documents to train on");
    }
    if (options_.hold_out_every > 0) {
      if (summary_.held_out_documents == 0) {
        return invalid_argument(
            fmt::format("the corpus has {} documents; too few to hold out one in {}",
                        summary_.documents, options_.hold_out_every));
      }
      LOOPLM_RETURN_IF_ERROR(held_out_.write(held_out));
    }
    LOOPLM_RETURN_IF_ERROR(write_shard());
    if (directory_) LOOPLM_RETURN_IF_ERROR(directory_->commit());
    return summary_;
  }

 private:
  struct Pending {
    CorpusDocument document;
    std::string name;
    DocumentIds coded;
    Status status;
    int64_t lost_bytes;
  };

  Status flush() {
    pool_.parallel_for(static_cast<int64_t>(batch_.size()), [&](int64_t i, int) {
      Pending& d = batch_[static_cast<size_t>(i)];
      auto coded =
          encode_document(d.document, tokenizer_, options_.allow_loss ? &d.lost_bytes : nullptr);
      d.status = coded.status();
      if (!coded.ok()) return;
      d.coded = std::move(coded).value();
      if (options_.end_token) {
        d.coded.ids.push_back(*options_.end_token);
        d.coded.learnt.push_back(true);
      }
    });
    for (const Pending& d : batch_) {
      LOOPLM_RETURN_IF_ERROR(d.status.with_context(d.name));
      summary_.lost_bytes += d.lost_bytes;
      LOOPLM_RETURN_IF_ERROR(place(d.coded));
    }
    batch_.clear();
    batch_bytes_ = 0;
    if (progress_) progress_(summary_.bytes);
    return {};
  }

  Status place(const DocumentIds& d) {
    if (d.ids.empty()) return {};
    const auto tokens = static_cast<int64_t>(d.ids.size());
    ++seen_;
    if (options_.hold_out_every > 0 && seen_ % options_.hold_out_every == 0) {
      held_out_.add(d.ids, d.learnt);
      ++summary_.held_out_documents;
      summary_.held_out_tokens += tokens;
      return {};
    }
    if (options_.shard_tokens > 0 && shard_.documents() > 0 &&
        shard_.tokens() + tokens > options_.shard_tokens) {
      LOOPLM_RETURN_IF_ERROR(write_shard());
    }
    shard_.add(d.ids, d.learnt);
    ++summary_.documents;
    summary_.tokens += tokens;
    summary_.targets += std::count(d.learnt.begin() + 1, d.learnt.end(), true);
    return {};
  }

  Status write_shard() {
    const std::string name =
        directory_ ? fmt::format("/{:05}{}", summary_.shards.size(), kShardSuffix) : std::string();
    LOOPLM_RETURN_IF_ERROR(shard_.write((directory_ ? directory_->path() : out_) + name));
    summary_.shards.push_back(out_ + name);
    return {};
  }

  const Tokenizer& tokenizer_;
  const ShardBuildOptions& options_;
  const std::string& out_;
  ThreadPool& pool_;
  const std::function<void(int64_t)>& progress_;
  std::optional<AtomicDirectory> directory_;  // where the shards go, when there are several
  TokenShardWriter shard_;
  TokenShardWriter held_out_;
  std::vector<Pending> batch_;
  int64_t batch_bytes_ = 0;
  int64_t seen_ = 0;
  ShardBuildSummary summary_;
};

}  // namespace

Result<ShardBuildSummary> build_shards(const std::vector<std::string>& files,
                                       const Tokenizer& tokenizer, const ShardBuildOptions& options,
                                       const std::string& out, const std::string& held_out,
                                       ThreadPool& pool,
                                       const std::function<void(int64_t bytes)>& progress) {
  Builder builder(tokenizer, options, out, pool, progress);
  LOOPLM_RETURN_IF_ERROR(builder.start());
  for (const std::string& file : files) {
    int64_t number = 0;
    LOOPLM_RETURN_IF_ERROR(read_corpus(file, options.split, [&](const CorpusDocument& document) {
      return builder.add(document, fmt::format("{}, document {}", file, ++number));
    }));
  }
  return builder.finish(held_out);
}

Result<std::optional<int32_t>> end_token_of(const std::string& directory,
                                            const Tokenizer& tokenizer) {
  const std::string path = directory + "/tokenizer_config.json";
  if (!file_exists(path)) return std::optional<int32_t>();
  LOOPLM_ASSIGN_OR_RETURN(const Json config, read_json_file(path));
  const auto entry = config.is_object() ? config.find("eos_token") : config.end();
  if (entry == config.end() || entry->is_null()) return std::optional<int32_t>();
  // Written as the token, or as an object that describes it.
  const Json& token =
      entry->is_object() && entry->contains("content") ? (*entry)["content"] : *entry;
  if (!token.is_string()) {
    return invalid_argument(
        fmt::format("{}: eos_token is {}; expected a token", path, entry->dump()));
  }
  const std::optional<int32_t> id = tokenizer.id_of(token.get<std::string>());
  if (!id) {
    return invalid_argument(
        fmt::format("{}: eos_token '{}' is not in the vocabulary", path, token.get<std::string>()));
  }
  return id;
}

}  // namespace looplm
