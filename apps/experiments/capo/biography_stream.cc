#include "experiments/capo/biography_stream.h"

#include <numeric>

#include "experiments/capo/permutation.h"

namespace looplm {
namespace {

// See biography.cc; the exposure is added.
constexpr uint64_t kOrderStream = uint64_t{3} << 61;

}  // namespace

uint64_t BiographyStream::hash() const {
  uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a
  const auto add = [&](uint64_t value) {
    for (int i = 0; i < 8; ++i) hash = (hash ^ ((value >> (8 * i)) & 0xff)) * 0x100000001b3u;
  };
  add(seed_);
  add(people_);
  // The words and the templates, so that a run does not go on after they have changed.
  std::vector<int32_t> all(static_cast<size_t>(writer_.vocab_size()));
  std::iota(all.begin(), all.end(), 0);
  for (char c : writer_.text(all)) add(static_cast<unsigned char>(c));
  for (int s = 0; s < kSentences; ++s) {
    for (uint32_t i = 0; i < kTemplates; ++i) {
      for (int32_t id : writer_.opening(static_cast<Sentence>(s), i))
        add(static_cast<uint64_t>(id));
      for (int32_t id : writer_.closing(static_cast<Sentence>(s), i))
        add(static_cast<uint64_t>(id));
    }
  }
  return hash;
}

uint64_t BiographyStream::person_index(uint64_t document) const {
  return permuted(seed_, kOrderStream + document / people_, document % people_, people_);
}

void BiographyStream::document(uint64_t index, std::vector<int32_t>& ids,
                               std::vector<bool>& learnt) const {
  Biography biography = writer_.write(seed_, person_index(index), index / people_);
  ids = std::move(biography.ids);
  learnt.assign(ids.size(), true);
  learnt.front() = false;
}

}  // namespace looplm
