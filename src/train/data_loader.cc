#include "train/data_loader.h"

#include <algorithm>
#include <filesystem>
#include <numeric>

#include <fmt/format.h>

#include "base/check.h"
#include "base/count_text.h"
#include "base/directory.h"
#include "base/rng.h"
#include "base/shuffle.h"

namespace looplm {
namespace {

// Shuffles of different datasets and epochs use different streams of the seed.
constexpr uint64_t kShuffleStream = 0x5348;

}  // namespace

Result<TokenDataset> TokenDataset::open(const std::string& path) {
  std::vector<std::string> files;
  if (is_directory(path)) {
    LOOPLM_ASSIGN_OR_RETURN(const std::vector<std::string> names, list_directory(path));
    for (const std::string& name : names) {
      if (name.ends_with(".tokens")) files.push_back((std::filesystem::path(path) / name).string());
    }
    if (files.empty()) return not_found(fmt::format("'{}' holds no .tokens files", path));
  } else {
    files.push_back(path);
  }
  TokenDataset dataset;
  dataset.path_ = path;
  for (const std::string& file : files) {
    LOOPLM_ASSIGN_OR_RETURN(TokenShard shard, TokenShard::open(file));
    if (dataset.shards_.empty()) dataset.vocabulary_ = shard.vocabulary();
    const TokenShard& first = dataset.shards_.empty() ? shard : dataset.shards_.front();
    LOOPLM_RETURN_IF_ERROR(check_same_vocabulary("'" + file + "'", shard.vocabulary(),
                                                 "'" + first.path() + "'", dataset.vocabulary_));
    if (shard.is_pairs() != first.is_pairs()) {
      return invalid_argument(fmt::format(
          "'{}' holds preference pairs and '{}' does not; expected shards of one kind",
          shard.is_pairs() ? file : first.path(), shard.is_pairs() ? first.path() : file));
    }
    LOOPLM_RETURN_IF_ERROR(take_chat_template("'" + file + "'", shard.chat_template(),
                                              "'" + path + "'", dataset.chat_template_));
    dataset.first_document_.push_back(dataset.documents_);
    dataset.documents_ += shard.documents();
    dataset.tokens_ += shard.tokens();
    dataset.shards_.push_back(std::move(shard));
  }
  if (dataset.tokens_ <= dataset.documents_) {
    return invalid_argument(fmt::format("'{}' has {} in {}; expected a document of two or more",
                                        path, count_text(dataset.tokens_, "token"),
                                        count_text(dataset.documents_, "document")));
  }
  if (dataset.documents_ > int64_t{UINT32_MAX}) {
    return unsupported(fmt::format("'{}' has {} documents; at most {} are supported", path,
                                   dataset.documents_, UINT32_MAX));
  }
  return dataset;
}

uint64_t TokenDataset::hash() const {
  uint64_t hash = 0;
  constexpr uint64_t kFactor = 0x9E3779B97F4A7C15u;
  for (const TokenShard& shard : shards_) hash = hash * kFactor + shard.hash();
  for (const TeacherFile& teacher : teachers_) hash = hash * kFactor + teacher.hash();
  return hash;
}

Status TokenDataset::open_teachers() {
  for (const TokenShard& shard : shards_) {
    LOOPLM_ASSIGN_OR_RETURN(TeacherFile teacher, TeacherFile::open(shard));
    teachers_.push_back(std::move(teacher));
  }
  return {};
}

int64_t TokenDataset::count_targets() const {
  int64_t targets = 0;
  for (const TokenShard& shard : shards_) targets += shard.count_targets();
  return targets;
}

int64_t TokenDataset::length(int64_t index) const {
  const Document at = document(index);
  return at.shard->document_length(at.index);
}

int64_t TokenDataset::example_length(int64_t index) const {
  return is_pairs() ? length(2 * index) + length(2 * index + 1) - 1 : length(index);
}

TokenDataset::Document TokenDataset::document(int64_t index) const {
  const auto after = std::upper_bound(first_document_.begin(), first_document_.end(), index);
  const auto shard = static_cast<size_t>(after - first_document_.begin()) - 1;
  return {&shards_[shard], index - first_document_[shard],
          teachers_.empty() ? nullptr : &teachers_[shard]};
}

Result<DataLoader> DataLoader::create(std::vector<Source> sources, const LoaderOptions& options) {
  if (sources.empty()) return invalid_argument("no datasets given");
  for (const Source& source : sources) {
    if (!(source.weight > 0)) {
      return invalid_argument(fmt::format("dataset {} has weight {}; expected a positive number",
                                          source.name(), source.weight));
    }
    LOOPLM_RETURN_IF_ERROR(check_same_vocabulary(
        source.name(), source.vocabulary(), sources.front().name(), sources.front().vocabulary()));
  }
  DataLoader loader(std::move(sources), options);
  LOOPLM_RETURN_IF_ERROR(loader.count_long_documents());
  return loader;
}

Status DataLoader::refuse(size_t source, int64_t document, int64_t tokens) const {
  const bool pairs = is_pairs(source);
  return invalid_argument(fmt::format(
      "{} {} of {} has {} tokens, and a row takes {}; expected a data.sequence_length of {} or "
      "more, or data.long_documents {}",
      pairs ? "preference pairs stay whole, but pair"
            : "data.split_documents is false, but document",
      document, sources_[source].name(), tokens, options_.sequence_length + 1, tokens - 1,
      pairs ? "\"skip\"" : "\"cut\" or \"skip\""));
}

// Finds the longest as well, to name a length that is enough for all.
Status DataLoader::count_long_documents() {
  for (size_t s = 0; s < sources_.size(); ++s) {
    if (!sources_[s].dataset || !is_whole(s)) continue;
    const TokenDataset& dataset = *sources_[s].dataset;
    int64_t longest = 0, most_tokens = 0, count = 0;
    for (int64_t d = 0; d < dataset.examples(); ++d) {
      const int64_t tokens = dataset.example_length(d);
      if (tokens > most_tokens) {
        longest = d;
        most_tokens = tokens;
      }
      count += is_long(tokens) ? 1 : 0;
    }
    long_documents_ += count;
    const bool cut_pairs = dataset.is_pairs() && options_.long_documents == LongDocuments::kCut;
    if (count > 0 && (options_.long_documents == LongDocuments::kRefuse || cut_pairs)) {
      return refuse(s, longest, most_tokens);
    }
    if (count == dataset.examples() && options_.long_documents == LongDocuments::kSkip) {
      return invalid_argument(fmt::format("no document of {} fits into a row of {} tokens",
                                          sources_[s].name(), options_.sequence_length + 1));
    }
  }
  return {};
}

DataLoader::DataLoader(std::vector<Source> sources, const LoaderOptions& options)
    : sources_(std::move(sources)),
      options_(options),
      order_(sources_.size()),
      streamed_(sources_.size()) {
  LOOPLM_CHECK(options.sequence_length > 0 && options.sequences > 0);
  state_.cursors.resize(sources_.size());
  for (size_t i = 0; i < sources_.size(); ++i) shuffle(i);
}

void DataLoader::shuffle(size_t source) {
  if (!sources_[source].dataset) return;
  std::vector<uint32_t>& order = order_[source];
  order.resize(static_cast<size_t>(sources_[source].dataset->examples()));
  std::iota(order.begin(), order.end(), 0u);
  if (!options_.shuffle) return;
  const auto epoch = static_cast<uint64_t>(state_.cursors[source].epoch);
  Rng rng(options_.seed, (kShuffleStream << 48) + (static_cast<uint64_t>(source) << 32) + epoch);
  looplm::shuffle(order, rng);
}

size_t DataLoader::next_source() const {
  size_t best = 0;
  for (size_t i = 1; i < sources_.size(); ++i) {
    const double behind = static_cast<double>(state_.cursors[i].tokens) / sources_[i].weight;
    const double least = static_cast<double>(state_.cursors[best].tokens) / sources_[best].weight;
    if (behind < least) best = i;
  }
  return best;
}

// Of the document that the source's cursor is at.
int64_t DataLoader::document_length(size_t source) {
  const auto index = state_.cursors[source].document;
  if (sources_[source].dataset) {
    return sources_[source].dataset->example_length(order_[source][static_cast<size_t>(index)]);
  }
  StreamedDocument& document = streamed_[source];
  if (document.index != index) {
    sources_[source].stream->document(static_cast<uint64_t>(index), document.ids, document.learnt);
    LOOPLM_CHECK(document.ids.size() >= 2 && document.learnt.size() == document.ids.size(),
                 "document {} of a stream has {} ids and {} marks", index, document.ids.size(),
                 document.learnt.size());
    document.index = index;
  }
  return static_cast<int64_t>(document.ids.size());
}

namespace {

// Rows of a document: its ids, and the next ones as targets where they are learnt.
template <typename IdAt, typename LearntAt>
void add_rows(int64_t rows, const IdAt& id_at, const LearntAt& learnt_at, Batch& batch) {
  batch.document_starts.push_back(batch.rows());
  for (int64_t r = 0; r < rows; ++r) {
    batch.ids.push_back(id_at(r));
    batch.targets.push_back(learnt_at(r + 1) ? id_at(r + 1) : kIgnoredTarget);
  }
}

}  // namespace

// The next `rows` tokens and their targets.
Status DataLoader::read_rows(size_t source, int64_t rows, Batch& batch) {
  const LoaderState::Cursor& cursor = state_.cursors[source];
  if (!sources_[source].dataset) {
    const StreamedDocument& document = streamed_[source];
    const auto at = [&](int64_t r) { return static_cast<size_t>(cursor.offset + r); };
    add_rows(
        rows, [&](int64_t r) { return document.ids[at(r)]; },
        [&](int64_t r) { return document.learnt[at(r)]; }, batch);
    return {};
  }
  const TokenDataset& dataset = *sources_[source].dataset;
  const int64_t index = order_[source][static_cast<size_t>(cursor.document)];
  if (dataset.is_pairs()) return read_pair(dataset, index, batch);
  return read_document(dataset.document(index), cursor.offset, rows, batch);
}

Status DataLoader::read_pair(const TokenDataset& dataset, int64_t index, Batch& batch) {
  batch.pairs.push_back(static_cast<int64_t>(batch.document_starts.size()));
  for (const int64_t d : {2 * index, 2 * index + 1}) {
    LOOPLM_RETURN_IF_ERROR(read_document(dataset.document(d), 0, dataset.length(d) - 1, batch));
  }
  return {};
}

Status DataLoader::read_document(const TokenDataset::Document& document, int64_t first,
                                 int64_t rows, Batch& batch) {
  tokens_.resize(static_cast<size_t>(rows + 1));
  LOOPLM_RETURN_IF_ERROR(document.shard->read(document.index, first, tokens_));
  add_rows(
      rows, [&](int64_t r) { return tokens_[static_cast<size_t>(r)]; },
      [&](int64_t r) { return document.shard->is_learnt(document.index, first + r); }, batch);
  if (document.teacher == nullptr) return {};
  batch.teachers.resize(batch.ids.size());
  return document.teacher->read(*document.shard, document.index, first + 1,
                                std::span(batch.teachers).last(static_cast<size_t>(rows)));
}

void DataLoader::end_document(size_t source) {
  LoaderState::Cursor& cursor = state_.cursors[source];
  cursor.offset = 0;
  ++cursor.document;
  if (sources_[source].dataset && cursor.document == sources_[source].dataset->examples()) {
    cursor.document = 0;
    ++cursor.epoch;
    shuffle(source);
  }
}

Status DataLoader::fill_sequence(Batch& batch) {
  constexpr int64_t kMostSkipped = 1000000;  // in a row: no document of the stream fits
  int64_t skipped = 0;
  int64_t room = options_.sequence_length;
  while (room > 0) {
    const size_t source = next_source();
    LoaderState::Cursor& cursor = state_.cursors[source];
    if (options_.one_epoch && cursor.epoch > 0) break;
    // The last token is only a target, so a document of n tokens fills n - 1 rows.
    const int64_t tokens = document_length(source);
    if (is_whole(source) && is_long(tokens)) {
      const bool endless = !sources_[source].dataset && ++skipped > kMostSkipped;
      if (options_.long_documents == LongDocuments::kRefuse || endless) {
        return refuse(source, cursor.document, tokens);
      }
      if (options_.long_documents == LongDocuments::kSkip) {
        end_document(source);
        continue;
      }
    }
    const int64_t rows_left = tokens - 1 - cursor.offset;
    if (is_whole(source) && rows_left > room && cursor.offset == 0 &&
        room < options_.sequence_length) {
      break;
    }
    const int64_t rows = std::min(rows_left, room);
    if (rows > 0) {
      LOOPLM_RETURN_IF_ERROR(read_rows(source, rows, batch));
      room -= rows;
      cursor.tokens += rows;
    }
    if (rows == rows_left) {
      end_document(source);
    } else {
      cursor.offset += rows;
    }
    if (rows <= 0)
      cursor.tokens += 1;  // a document of one token: no row, but the mixture must move on
  }
  // What is left empty: rows of token 0 without a target, one document of their own.
  if (room > 0) {
    batch.document_starts.push_back(batch.rows());
    batch.ids.insert(batch.ids.end(), static_cast<size_t>(room), 0);
    batch.targets.insert(batch.targets.end(), static_cast<size_t>(room), kIgnoredTarget);
    if (!batch.teachers.empty()) batch.teachers.resize(batch.ids.size());
  }
  return {};
}

Result<Batch> DataLoader::next(int64_t sequences) {
  Batch batch;
  for (int64_t s = 0; s < sequences; ++s) LOOPLM_RETURN_IF_ERROR(fill_sequence(batch));
  batch.document_starts.push_back(batch.rows());
  return batch;
}

Status DataLoader::restore(const LoaderState& state) {
  if (state.cursors.size() != sources_.size()) {
    return invalid_argument(fmt::format("the saved data position is for {} datasets; there are {}",
                                        state.cursors.size(), sources_.size()));
  }
  for (size_t i = 0; i < sources_.size(); ++i) {
    const LoaderState::Cursor& c = state.cursors[i];
    const bool past_end = sources_[i].dataset && c.document >= sources_[i].dataset->examples();
    if (c.epoch < 0 || c.document < 0 || past_end || c.offset < 0) {
      return invalid_argument(fmt::format(
          "the saved position in {} (document {}) is impossible{}", sources_[i].name(), c.document,
          sources_[i].dataset
              ? ": it has " + count_text(sources_[i].dataset->documents(), "document")
              : ""));
    }
  }
  state_ = state;
  for (size_t i = 0; i < sources_.size(); ++i) shuffle(i);
  return {};
}

}  // namespace looplm
