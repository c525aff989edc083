// Biographies as training data.
#ifndef LOOPLM_EXPERIMENTS_CAPO_BIOGRAPHY_STREAM_H_
#define LOOPLM_EXPERIMENTS_CAPO_BIOGRAPHY_STREAM_H_

#include <cstdint>
#include <vector>

#include "looplm/train.h"

#include "experiments/capo/biography.h"

namespace looplm {

// In each exposure all people once, in an order of its own.
class BiographyStream : public DocumentStream {
 public:
  BiographyStream(uint64_t seed, uint64_t people) : seed_(seed), people_(people) {}

  int64_t vocab_size() const override { return writer_.vocab_size(); }
  uint64_t hash() const override;
  void document(uint64_t index, std::vector<int32_t>& ids,
                std::vector<bool>& learnt) const override;

  // Whose biography the document is.
  uint64_t person_index(uint64_t document) const;
  const BiographyWriter& writer() const { return writer_; }

 private:
  BiographyWriter writer_;
  uint64_t seed_;
  uint64_t people_;
};

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_CAPO_BIOGRAPHY_STREAM_H_
