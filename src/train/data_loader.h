// Batches of packed documents from token shards or streams, in an order that depends on the seed
// alone and can be taken up again anywhere.
#ifndef LOOPLM_TRAIN_DATA_LOADER_H_
#define LOOPLM_TRAIN_DATA_LOADER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "looplm/status.h"
#include "looplm/train.h"

#include "base/named.h"
#include "train/batch.h"
#include "train/teacher_file.h"
#include "train/token_shard.h"

namespace looplm {

// Shards that are shuffled together.
class TokenDataset {
 public:
  // `path` is a shard or a directory of *.tokens files (taken in the order of their names). At
  // least one document.
  static Result<TokenDataset> open(const std::string& path);

  int64_t documents() const { return documents_; }
  int64_t tokens() const { return tokens_; }
  // Whether documents 2i and 2i + 1 are a pair of answers.
  bool is_pairs() const { return shards_.front().is_pairs(); }
  // The template that its chats were rendered by; empty where there are none.
  std::string_view chat_template() const { return chat_template_; }
  // What is shuffled and stays together: a document or a pair.
  int64_t examples() const { return is_pairs() ? documents_ / 2 : documents_; }
  // Tokens of an example's documents. A pair counts one less, so that it fills as many rows as a
  // document of that length.
  int64_t example_length(int64_t index) const;
  // Every id is below vocabulary().size in all shards.
  const Vocabulary& vocabulary() const { return vocabulary_; }
  // Tokens to predict in all.
  int64_t count_targets() const;
  const std::string& path() const { return path_; }
  // Identifies the contents: a hash over the shards' hashes, and their teachers' contents.
  uint64_t hash() const;
  const std::vector<TokenShard>& shards() const { return shards_; }
  // Opens the teacher beside each shard; batches then hold what it says.
  Status open_teachers();

  struct Document {
    const TokenShard* shard;
    int64_t index;
    const TeacherFile* teacher;  // null: none was opened
  };
  Document document(int64_t index) const;
  int64_t length(int64_t index) const;  // in tokens

 private:
  std::string path_;
  Vocabulary vocabulary_ = 0;
  std::string_view chat_template_;
  std::vector<TokenShard> shards_;
  std::vector<TeacherFile> teachers_;    // of each shard, or none
  std::vector<int64_t> first_document_;  // of each shard
  int64_t documents_ = 0;
  int64_t tokens_ = 0;
};

// What happens to a document that does not fit into a row where documents are not split.
enum class LongDocuments {
  kRefuse,  // an error that names it
  kCut,     // it goes on in the next row
  kSkip,    // it is left out
};
inline constexpr NameTable<LongDocuments, 3> kLongDocumentsNames = {
    {{LongDocuments::kRefuse, "refuse"},
     {LongDocuments::kCut, "cut"},
     {LongDocuments::kSkip, "skip"}}};

struct LoaderOptions {
  int64_t sequence_length = 512;
  int64_t sequences = 8;  // per batch; rows = sequences * sequence_length
  uint64_t seed = 0;
  // A document that would be cut at the end of a sequence: cut it and go on in the next one, or
  // leave the rest of the sequence empty.
  bool split_documents = true;
  LongDocuments long_documents = LongDocuments::kRefuse;
  bool shuffle = true;  // off: in the order of the files
  // Every document once: what follows the first epoch of a dataset is left empty.
  bool one_epoch = false;
};

// Where a loader stands: everything needed to go on with the next batch.
struct LoaderState {
  struct Cursor {
    int64_t epoch = 0;
    int64_t document = 0;  // in the epoch's order; or pair
    int64_t offset = 0;    // tokens of it already used
    int64_t tokens = 0;    // tokens drawn in all, for the mixture
  };
  std::vector<Cursor> cursors;  // one per dataset
};

// Mixes datasets by weight: the next document comes from the dataset that is furthest behind its
// share of tokens.
class DataLoader {
 public:
  struct Source {
    // One of the two. A stream's documents come in the order of their indices and never end.
    std::optional<TokenDataset> dataset{};
    std::shared_ptr<const DocumentStream> stream{};
    double weight = 1;  // positive

    Vocabulary vocabulary() const { return dataset ? dataset->vocabulary() : stream->vocab_size(); }
    std::string name() const { return dataset ? "'" + dataset->path() + "'" : "the stream"; }
  };

  // Weights must be positive and all vocabularies the same, as far as they are known.
  static Result<DataLoader> create(std::vector<Source> sources, const LoaderOptions& options);

  Result<Batch> next() { return next(options_.sequences); }
  Result<Batch> next(int64_t sequences);

  const LoaderState& state() const { return state_; }
  // Fails when the state is for other datasets.
  Status restore(const LoaderState& state);
  // Epochs completed by the first dataset.
  int64_t epochs() const { return state_.cursors.front().epoch; }
  int64_t rows() const { return options_.sequences * options_.sequence_length; }
  const std::vector<Source>& sources() const { return sources_; }
  // Documents of the datasets that do not fit into a row, where documents are not split.
  int64_t long_documents() const { return long_documents_; }

 private:
  DataLoader(std::vector<Source> sources, const LoaderOptions& options);
  Status count_long_documents();
  void shuffle(size_t source);
  size_t next_source() const;
  int64_t document_length(size_t source);
  Status read_rows(size_t source, int64_t rows, Batch& batch);
  Status read_pair(const TokenDataset& dataset, int64_t index, Batch& batch);
  Status read_document(const TokenDataset::Document& document, int64_t first, int64_t rows,
                       Batch& batch);
  bool is_whole(size_t source) const { return !options_.split_documents || is_pairs(source); }
  bool is_pairs(size_t source) const {
    return sources_[source].dataset && sources_[source].dataset->is_pairs();
  }
  void end_document(size_t source);
  Status fill_sequence(Batch& batch);
  bool is_long(int64_t tokens) const { return tokens - 1 > options_.sequence_length; }
  Status refuse(size_t source, int64_t document, int64_t tokens) const;

  std::vector<Source> sources_;
  LoaderOptions options_;
  LoaderState state_;
  int64_t long_documents_ = 0;
  std::vector<std::vector<uint32_t>> order_;  // documents of the current epoch, per source
  std::vector<int32_t> tokens_;
  // The document of a stream that is being read, per source.
  struct StreamedDocument {
    int64_t index = -1;
    std::vector<int32_t> ids;
    std::vector<bool> learnt;
  };
  std::vector<StreamedDocument> streamed_;
};

}  // namespace looplm

#endif  // LOOPLM_TRAIN_DATA_LOADER_H_
