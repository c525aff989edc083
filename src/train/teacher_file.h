// What another model says about the tokens of a shard: of each token to predict, its most likely
// ones. Such a file stands beside its shard, x.teacher beside x.tokens, and is made by looplm data
// teach or by any other program.
//
// Layout, little-endian:
//   0   char[8]  "LPTEACHR"
//   8   u32      version: 1
//   12  u32      k: ids per row
//   16  u64      rows
//   24  u64      hash of the shard: its bytes 40 to 47
//   32  u64      vocabulary size: every id is below it
//   40  u64      hash of the teacher's vocabulary, as the shard's bytes 48 to 55 are of its own;
//                0 when it is not known
//   48  u64[2]   0
//   64  rows of { u32 ids[k], f32 log_probabilities[k] }
//
// There is a row for each target of the shard, in its order: for each token that is learnt and not
// the first of its document. The row is the teacher's distribution after it has read the document
// up to that token, in nats over the whole vocabulary. Ids may stand in any order, each once. A row
// of fewer than k ids ends in log-probabilities of -infinity; what stands behind the first one does
// not count.
#ifndef LOOPLM_TRAIN_TEACHER_FILE_H_
#define LOOPLM_TRAIN_TEACHER_FILE_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "looplm/status.h"

#include "base/file.h"
#include "kernels/head_loss.h"
#include "train/token_shard.h"

namespace looplm {

std::string teacher_path(const std::string& shard);

class TeacherFile {
 public:
  // The one beside the shard. Errors name both where it was made of another shard or with another
  // vocabulary.
  static Result<TeacherFile> open(const TokenShard& shard);

  int64_t top() const { return top_; }
  // Of tokens [first, first + out.size()) of the shard's document; empty of those that are no
  // targets. Fails on a row that is no distribution. Views live as long as this object or what it
  // is moved to.
  Status read(const TokenShard& shard, int64_t document, int64_t first,
              std::span<TopTokens> out) const;
  // Over everything: reads the whole file, so that a run that goes on does so with the same
  // teacher.
  uint64_t hash() const;
  const std::string& path() const { return file_.path(); }

 private:
  Result<TopTokens> row(int64_t index) const;

  MappedFile file_;
  int64_t top_ = 0;
  int64_t vocab_size_ = 0;
  std::vector<int64_t> first_row_;  // of each document
};

// Writes the file beside a shard, row by row.
class TeacherFileWriter {
 public:
  static Result<TeacherFileWriter> create(const TokenShard& shard, int64_t top);
  // The next target's tokens. Fewer than `top` are fine; ids outside the vocabulary are left out.
  Status add(const TopTokens& tokens);
  Status commit();

 private:
  TeacherFileWriter(AtomicFileWriter file, const TokenShard& shard, int64_t top);

  AtomicFileWriter file_;
  int64_t vocab_size_;
  int64_t rows_left_;
  std::vector<uint32_t> ids_;
  std::vector<float> log_probabilities_;
};

}  // namespace looplm

#endif  // LOOPLM_TRAIN_TEACHER_FILE_H_
