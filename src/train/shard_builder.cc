#include "train/shard_builder.h"

#include <algorithm>
#include <filesystem>

#include <fmt/format.h>

#include "base/count_text.h"
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
        shard_(vocabulary_of(tokenizer)),
        held_out_(vocabulary_of(tokenizer)) {}

  Status start() {
    if (options_.shard_tokens == 0) return {};
    LOOPLM_ASSIGN_OR_RETURN(AtomicDirectory directory,
                            AtomicDirectory::create(out_, [](const std::string& name) {
                              return name.ends_with(kShardSuffix);
                            }));
    directory_.emplace(std::move(directory));
    return {};
  }

  // `file` must live until finish().
  Status add(CorpusDocument document, const std::string& file, int64_t line) {
    int64_t bytes = 0;
    for (const CorpusSegment& segment : document) {
      bytes += static_cast<int64_t>(segment.text.size());
    }
    batch_.push_back({std::move(document), &file, line, {}, {}, {}, 0});
    batch_bytes_ += bytes;
    summary_.bytes += bytes;
    return batch_bytes_ < kBatchBytes ? Status() : flush();
  }

  Status skip(const Status& why) {
    if (++summary_.skipped_documents == 1) summary_.first_skipped = why.message();
    return {};
  }

  void add_empty() { ++summary_.empty_documents; }

  Result<ShardBuildSummary> finish(const std::string& held_out) {
    LOOPLM_RETURN_IF_ERROR(flush());
    if (summary_.documents == 0) {
      std::string why = "the corpus has no documents to train on";
      if (summary_.skipped_documents > 0) {
        why +=
            fmt::format("; left out: {}, the first: {}",
                        count_text(summary_.skipped_documents, "bad one"), summary_.first_skipped);
      }
      if (summary_.empty_documents > 0) {
        why += fmt::format("; left out: {} without text", summary_.empty_documents);
      }
      return invalid_argument(why);
    }
    if (summary_.targets == 0) {
      return invalid_argument(
          fmt::format("the corpus has {} and no token to learn: prompts and first tokens are only "
                      "read",
                      count_text(summary_.documents, "document")));
    }
    if (options_.hold_out_every > 0) {
      if (summary_.held_out_documents == 0) {
        return invalid_argument(fmt::format("the corpus has {}; too few to hold out one in {}",
                                            count_text(summary_.documents, "document"),
                                            options_.hold_out_every));
      }
    }
    LOOPLM_RETURN_IF_ERROR(commit_all(held_out));
    return summary_;
  }

 private:
  struct Pending {
    CorpusDocument document;
    const std::string* file;
    int64_t line;  // its first one
    DocumentIds coded;
    DocumentIds rejected;  // of a preference pair, whose chosen answer is in `coded`
    Status status;
    int64_t lost_bytes;
  };

  Status flush() {
    pool_.parallel_for(static_cast<int64_t>(batch_.size()), [&](int64_t i, int) {
      Pending& d = batch_[static_cast<size_t>(i)];
      if (std::ranges::none_of(d.document, &CorpusSegment::of_rejected)) {
        d.status = encode(d.document, d.coded, d.lost_bytes);
        return;
      }
      const std::array<CorpusDocument, 2> answers = answers_of(d.document);
      d.status = encode(answers[0], d.coded, d.lost_bytes);
      if (d.status.ok()) d.status = encode(answers[1], d.rejected, d.lost_bytes);
    });
    for (const Pending& d : batch_) {
      if (!d.status.ok()) {
        Status why = d.status.with_context(fmt::format("{}:{}", *d.file, failing_line(d)));
        if (!options_.skip_bad) return why;
        LOOPLM_RETURN_IF_ERROR(skip(why));
        continue;
      }
      summary_.lost_bytes += d.lost_bytes;
      LOOPLM_RETURN_IF_ERROR(place(d).with_context(fmt::format("{}:{}", *d.file, d.line)));
    }
    batch_.clear();
    batch_bytes_ = 0;
    if (progress_) progress_(summary_.bytes);
    return {};
  }

  Status encode(const CorpusDocument& document, DocumentIds& to, int64_t& lost_bytes) const {
    LOOPLM_ASSIGN_OR_RETURN(
        to, encode_document(document, tokenizer_, options_.allow_loss ? &lost_bytes : nullptr));
    if (!options_.end_token) return {};
    if (is_rendered_chat(document)) {
      add_end(tokenizer_, *options_.end_token, to);
    } else {
      to.ids.push_back(*options_.end_token);
      to.learnt.push_back(true);
    }
    return {};
  }

  // The first line that cannot be tokenised by itself, of a text of several lines.
  int64_t failing_line(const Pending& d) const {
    if (d.document.size() != 1 || is_json_lines(*d.file)) return d.line;
    std::string_view rest = d.document.front().text;
    for (int64_t line = d.line; !rest.empty(); ++line) {
      const size_t end = std::min(rest.find('\n'), rest.size() - 1) + 1;
      if (!tokenizer_.encode(rest.substr(0, end), {.parse_special = false}).ok()) return line;
      rest.remove_prefix(end);
    }
    return d.line;
  }

  static int64_t targets_of(const DocumentIds& d) {
    return d.ids.empty() ? 0 : std::count(d.learnt.begin() + 1, d.learnt.end(), true);
  }

  Status place(const Pending& pending) {
    const DocumentIds &d = pending.coded, &rejected = pending.rejected;
    if (d.ids.empty()) {
      add_empty();
      return {};
    }
    const bool pair = !rejected.ids.empty();
    if (seen_ > 0 && pair != summary_.pairs) {
      return invalid_argument(fmt::format(
          "{}, and what stands before it {}; expected a corpus of pairs alone, or of none",
          pair ? "a preference pair" : "no preference pair", pair ? "is none" : "is one"));
    }
    summary_.pairs = pair;
    if (std::ranges::any_of(pending.document, &CorpusSegment::lacks_reasoning)) {
      ++summary_.without_reasoning;
    }
    const bool chat = is_rendered_chat(pending.document);
    if (chat && (lacks_end(tokenizer_, d) || lacks_end(tokenizer_, rejected))) {
      ++summary_.without_end;
    }
    const bool asked = std::ranges::any_of(
        pending.document, [](const CorpusSegment& s) { return !s.learnt && !s.text.empty(); });
    if (asked && !chat) ++summary_.plain_prompts;
    const auto tokens = static_cast<int64_t>(d.ids.size() + rejected.ids.size());
    ++seen_;
    if (options_.hold_out_every > 0 && seen_ % options_.hold_out_every == 0) {
      add_to(held_out_, pending);
      ++summary_.held_out_documents;
      summary_.held_out_tokens += tokens;
      return {};
    }
    if (options_.shard_tokens > 0 && shard_.documents() > 0 &&
        shard_.tokens() + tokens > options_.shard_tokens) {
      LOOPLM_RETURN_IF_ERROR(write_shard());
    }
    add_to(shard_, pending);
    ++summary_.documents;
    summary_.tokens += tokens;
    summary_.targets += targets_of(d) + targets_of(rejected);
    return {};
  }

  void add_to(TokenShardWriter& shard, const Pending& d) const {
    if (is_rendered_chat(d.document)) {
      shard.set_chat_template(options_.chat->value().source());
    }
    if (summary_.pairs) {
      shard.add_pair(d.coded, d.rejected);
    } else {
      shard.add(d.coded.ids, d.coded.learnt);
    }
  }

  // The next of several shards, which appear together in the end.
  Status write_shard() {
    const std::string name = fmt::format("/{:05}{}", summary_.shards.size(), kShardSuffix);
    LOOPLM_RETURN_IF_ERROR(shard_.write(directory_->path() + name));
    summary_.shards.push_back(out_ + name);
    return {};
  }

  // Nothing appears before all of it is on the disk.
  Status commit_all(const std::string& held_out) {
    std::vector<AtomicFileWriter> files;
    if (options_.hold_out_every > 0) {
      LOOPLM_ASSIGN_OR_RETURN(AtomicFileWriter file, held_out_.write_uncommitted(held_out));
      files.push_back(std::move(file));
    }
    if (directory_) {
      LOOPLM_RETURN_IF_ERROR(write_shard());
      LOOPLM_RETURN_IF_ERROR(directory_->commit());
    } else {
      LOOPLM_ASSIGN_OR_RETURN(AtomicFileWriter file, shard_.write_uncommitted(out_));
      files.push_back(std::move(file));
      summary_.shards.push_back(out_);
    }
    for (AtomicFileWriter& file : files) LOOPLM_RETURN_IF_ERROR(file.commit());
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

// Whether both name one file, which need not exist.
bool is_same_place(const std::string& a, const std::string& b) {
  namespace fs = std::filesystem;
  std::error_code error;
  if (fs::equivalent(a, b, error)) return true;
  const fs::path one = fs::weakly_canonical(a, error), other = fs::weakly_canonical(b, error);
  return !one.empty() && one == other;
}

}  // namespace

Result<ShardBuildSummary> build_shards(const std::vector<std::string>& files,
                                       const Tokenizer& tokenizer, const ShardBuildOptions& options,
                                       const std::string& out, const std::string& held_out,
                                       ThreadPool& pool,
                                       const std::function<void(int64_t bytes)>& progress) {
  for (const std::string& place : {out, held_out}) {
    const auto same = [&](const std::string& file) { return is_same_place(file, place); };
    if (place.empty() || std::ranges::none_of(files, same)) continue;
    return invalid_argument(
        fmt::format("'{}' is both a file to read and the shard to write; choose another", place));
  }
  if (is_same_place(out, held_out)) {
    return invalid_argument(
        fmt::format("'{}' is both the shard of documents to train on and that of those held out; "
                    "choose another",
                    held_out));
  }
  if (options.hold_out_every == 1) {
    return invalid_argument(
        "every document is to be held out (1 in 1), so there would be none to train on; expected 1 "
        "in 2 or fewer");
  }
  // What could not be written in the end is refused now.
  for (const std::string& place : {options.shard_tokens == 0 ? out : std::string(), held_out}) {
    if (!place.empty()) LOOPLM_RETURN_IF_ERROR(AtomicFileWriter::create(place).status());
  }
  Builder builder(tokenizer, options, out, pool, progress);
  LOOPLM_RETURN_IF_ERROR(builder.start());
  CorpusOptions reading;
  reading.split = options.split;
  reading.chat = options.chat;
  reading.on_empty = [&] { builder.add_empty(); };
  if (options.skip_bad) reading.on_bad = [&](const Status& why) { return builder.skip(why); };
  for (const std::string& file : files) {
    LOOPLM_RETURN_IF_ERROR(read_corpus(file, reading, [&](CorpusDocument document, int64_t line) {
      return builder.add(std::move(document), file, line);
    }));
  }
  return builder.finish(held_out);
}

}  // namespace looplm
