// Mano: prefix expressions modulo a prime (arXiv:2510.25741, section 6.2 and appendix B.2; the task
// is of "Physics of Language Models", part 4).
//
//   <bos> <len_3> - * a b + c d <ans> x      with x = (a*b) - (c+d) modulo the modulus
//
// An expression of `length` operators is drawn as a tree: its operator is uniform in + - *, the
// left operand has 0 .. length - 1 operators, uniformly, and the right one the rest; an operand
// without operators is a uniform number.
#ifndef LOOPLM_EXPERIMENTS_MANO_MANO_H_
#define LOOPLM_EXPERIMENTS_MANO_MANO_H_

#include <cstdint>
#include <string>
#include <vector>

#include "looplm/status.h"
#include "looplm/train.h"

namespace looplm {

// A sixteenth of all expressions, chosen by a hash, is held out.
enum class ManoSplit { kTrain, kHeldOut };

struct ManoOptions {
  int modulus = 23;  // a prime from 5 to 997
  int max_length = 10;
  // After each `documents_per_length` documents of the stream, the longest expression grows by one
  // operator, from one to max_length. 0: max_length from the start, as in the paper.
  int64_t documents_per_length = 0;
  bool learn_all_tokens = false;  // the expression too; otherwise the answer alone
  ManoSplit split = ManoSplit::kTrain;
  uint64_t seed = 1;
};

Status check(const ManoOptions& options);

// Ids, in this order: + - *, the numbers, <bos>, <ans>, <len_0> .. <len_max_length>.
struct ManoVocabulary {
  int modulus;
  int max_length;

  int32_t operation(int which) const { return which; }
  int32_t number(int value) const { return 3 + value; }
  int32_t begin() const { return 3 + modulus; }
  int32_t answer() const { return 4 + modulus; }
  int32_t length(int operators) const { return 5 + modulus + operators; }
  int64_t size() const { return 6 + modulus + max_length; }
  std::string text(const std::vector<int32_t>& ids) const;
};

struct ManoExample {
  int length = 0;            // operators
  std::vector<int32_t> ids;  // from <bos> to the answer, 2 * length + 5 of them
};

// The example of this length and index: a pure function of the options and the two. Lengths are
// 1 .. max_length.
ManoExample mano_example(const ManoOptions& options, int length, uint64_t index);

ManoSplit mano_split(const std::vector<int32_t>& ids);

// Document i: an example whose length is uniform in 1 .. the longest at i. Options must be right.
class ManoStream : public DocumentStream {
 public:
  explicit ManoStream(const ManoOptions& options);

  int64_t vocab_size() const override;
  uint64_t hash() const override;
  void document(uint64_t index, std::vector<int32_t>& ids,
                std::vector<bool>& learnt) const override;
  int longest_at(uint64_t index) const;

 private:
  ManoOptions options_;
};

// Writes a shard of `examples` held-out examples of one length, of which the answer is scored.
// Whatever options.split says.
Status write_mano_shard(const ManoOptions& options, int length, int64_t examples,
                        const std::string& path);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_MANO_MANO_H_
