#include "train/teacher_file.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include <fmt/format.h>

#include "base/check.h"
#include "base/hash.h"

namespace looplm {
namespace {

constexpr char kTeacherMagic[8] = {'L', 'P', 'T', 'E', 'A', 'C', 'H', 'R'};
constexpr uint32_t kTeacherVersion = 1;

struct TeacherHeader {
  char magic[8] = {};
  uint32_t version = kTeacherVersion;
  uint32_t top = 0;
  uint64_t rows = 0;
  uint64_t shard_hash = 0;
  uint64_t vocab_size = 0;
  uint64_t vocabulary_hash = 0;
  uint64_t zero[2] = {};
};
static_assert(sizeof(TeacherHeader) == 64);

constexpr size_t kEntryBytes = sizeof(uint32_t) + sizeof(float);

}  // namespace

std::string teacher_path(const std::string& shard) {
  constexpr std::string_view kShardEnding = ".tokens";
  const bool named = shard.ends_with(kShardEnding);
  return shard.substr(0, shard.size() - (named ? kShardEnding.size() : 0)) + ".teacher";
}

Result<TeacherFile> TeacherFile::open(const TokenShard& shard) {
  const std::string path = teacher_path(shard.path());
  if (!file_exists(path)) {
    return not_found(
        fmt::format("'{}' has no teacher beside it: no file '{}', which looplm data teach makes",
                    shard.path(), path));
  }
  TeacherFile teacher;
  LOOPLM_ASSIGN_OR_RETURN(teacher.file_, MappedFile::open(path));
  const auto wrong = [&path](const std::string& what) {
    return invalid_argument(fmt::format("teacher '{}': {}", path, what));
  };
  TeacherHeader header;
  const size_t size = teacher.file_.size();
  if (size < sizeof(header)) {
    return wrong(fmt::format("{} bytes; expected at least {}", size, sizeof(header)));
  }
  std::memcpy(&header, teacher.file_.bytes().data(), sizeof(header));
  if (std::memcmp(header.magic, kTeacherMagic, sizeof(kTeacherMagic)) != 0) {
    return wrong("does not begin with LPTEACHR; expected a file made by looplm data teach");
  }
  if (header.version != kTeacherVersion) {
    return wrong(fmt::format("version {}; expected {}", header.version, kTeacherVersion));
  }
  if (header.top == 0 || header.vocab_size == 0 || header.vocab_size > uint64_t{1} << 31) {
    return wrong(fmt::format("{} ids per row, a vocabulary of {}", header.top, header.vocab_size));
  }
  if (header.shard_hash != shard.hash()) {
    return wrong(fmt::format("made of a shard with hash {:016x}; '{}' has {:016x}",
                             header.shard_hash, shard.path(), shard.hash()));
  }
  LOOPLM_RETURN_IF_ERROR(check_same_vocabulary(
      "'" + path + "'", {static_cast<int64_t>(header.vocab_size), header.vocabulary_hash},
      "'" + shard.path() + "'", shard.vocabulary()));
  int64_t targets = 0;
  for (int64_t d = 0; d < shard.documents(); ++d) {
    teacher.first_row_.push_back(targets);
    for (int64_t i = 1; i < shard.document_length(d); ++i) targets += shard.is_learnt(d, i) ? 1 : 0;
  }
  const size_t row_bytes = header.top * kEntryBytes;
  if (header.rows != static_cast<uint64_t>(targets)) {
    return wrong(
        fmt::format("{} rows; '{}' has {} tokens to predict", header.rows, shard.path(), targets));
  }
  if ((size - sizeof(header)) / row_bytes != header.rows ||
      (size - sizeof(header)) % row_bytes != 0) {
    return wrong(fmt::format("{} bytes; its header describes {} rows of {} ids", size, header.rows,
                             header.top));
  }
  teacher.top_ = header.top;
  teacher.vocab_size_ = static_cast<int64_t>(header.vocab_size);
  return teacher;
}

Result<TopTokens> TeacherFile::row(int64_t index) const {
  constexpr double kRounding = 1e-3;
  const std::byte* at = file_.bytes().data() + sizeof(TeacherHeader) +
                        static_cast<size_t>(index * top_) * kEntryBytes;
  const auto top = static_cast<size_t>(top_);
  std::span<const uint32_t> ids = {reinterpret_cast<const uint32_t*>(at), top};
  std::span<const float> log_p = {reinterpret_cast<const float*>(at) + top, top};
  const auto count = static_cast<size_t>(
      std::find(log_p.begin(), log_p.end(), -std::numeric_limits<float>::infinity()) -
      log_p.begin());
  ids = ids.first(count);
  log_p = log_p.first(count);
  double mass = 0;
  for (const float x : log_p) mass += std::exp(static_cast<double>(x));
  if (count == 0 || !(mass <= 1 + kRounding)) {  // NaN too
    return invalid_argument(fmt::format(
        "teacher '{}': row {} holds {} tokens with a probability of {} together; expected "
        "log-probabilities in nats",
        path(), index, count, mass));
  }
  std::vector<uint32_t> sorted(ids.begin(), ids.end());
  std::sort(sorted.begin(), sorted.end());
  const auto twice = std::adjacent_find(sorted.begin(), sorted.end());
  if (twice != sorted.end() || sorted.back() >= static_cast<uint64_t>(vocab_size_)) {
    return invalid_argument(
        fmt::format("teacher '{}': row {} names token {}; expected ids below {}, each once", path(),
                    index, twice != sorted.end() ? *twice : sorted.back(), vocab_size_));
  }
  return TopTokens{ids, log_p};
}

Status TeacherFile::read(const TokenShard& shard, int64_t document, int64_t first,
                         std::span<TopTokens> out) const {
  int64_t next = first_row_[static_cast<size_t>(document)];
  for (int64_t i = 1; i < first; ++i) next += shard.is_learnt(document, i) ? 1 : 0;
  for (size_t i = 0; i < out.size(); ++i) {
    const int64_t token = first + static_cast<int64_t>(i);
    out[i] = {};
    if (token == 0 || !shard.is_learnt(document, token)) continue;
    LOOPLM_ASSIGN_OR_RETURN(out[i], row(next++));
  }
  return {};
}

uint64_t TeacherFile::hash() const { return hash_words(1, file_.bytes()); }

TeacherFileWriter::TeacherFileWriter(AtomicFileWriter file, const TokenShard& shard, int64_t top)
    : file_(std::move(file)),
      vocab_size_(shard.vocab_size()),
      rows_left_(shard.count_targets()),
      ids_(static_cast<size_t>(top)),
      log_probabilities_(static_cast<size_t>(top)) {}

Result<TeacherFileWriter> TeacherFileWriter::create(const TokenShard& shard, int64_t top) {
  LOOPLM_CHECK(top > 0 && top <= shard.vocab_size(), "{} ids per row", top);
  LOOPLM_ASSIGN_OR_RETURN(AtomicFileWriter file,
                          AtomicFileWriter::create(teacher_path(shard.path())));
  TeacherFileWriter writer(std::move(file), shard, top);
  TeacherHeader header;
  std::memcpy(header.magic, kTeacherMagic, sizeof(kTeacherMagic));
  header.top = static_cast<uint32_t>(top);
  header.rows = static_cast<uint64_t>(writer.rows_left_);
  header.shard_hash = shard.hash();
  header.vocab_size = static_cast<uint64_t>(shard.vocab_size());
  header.vocabulary_hash = shard.vocabulary().hash;
  LOOPLM_RETURN_IF_ERROR(writer.file_.write(std::as_bytes(std::span(&header, 1))));
  return writer;
}

Status TeacherFileWriter::add(const TopTokens& tokens) {
  LOOPLM_CHECK(rows_left_-- > 0, "more rows than targets");
  std::fill(ids_.begin(), ids_.end(), 0);
  std::fill(log_probabilities_.begin(), log_probabilities_.end(),
            -std::numeric_limits<float>::infinity());
  size_t count = 0;
  for (size_t i = 0; i < tokens.ids.size() && count < ids_.size(); ++i) {
    if (tokens.ids[i] >= static_cast<uint64_t>(vocab_size_)) continue;
    ids_[count] = tokens.ids[i];
    log_probabilities_[count++] = tokens.log_probabilities[i];
  }
  LOOPLM_RETURN_IF_ERROR(file_.write(std::as_bytes(std::span(ids_))));
  return file_.write(std::as_bytes(std::span(log_probabilities_)));
}

Status TeacherFileWriter::commit() {
  LOOPLM_CHECK(rows_left_ == 0, "{} rows are missing", rows_left_);
  return file_.commit();
}

}  // namespace looplm
