// A token shard: refused with words, or every document of it can be read and lies inside the
// vocabulary, what is to be learnt adds up, and batches of it have just as much.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/check.h"
#include "train/data_loader.h"
#include "train/token_shard.h"

namespace looplm {
namespace {

// A file without a place on the disk.
class MemoryFile {
 public:
  MemoryFile(const uint8_t* data, size_t size) : descriptor_(::memfd_create("input", 0)) {
    LOOPLM_CHECK(descriptor_ >= 0);
    LOOPLM_CHECK(::write(descriptor_, data, size) == static_cast<ssize_t>(size));
  }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  ~MemoryFile() { ::close(descriptor_); }
  std::string path() const { return fmt::format("/proc/self/fd/{}", descriptor_); }

 private:
  int descriptor_;
};

// The targets among the readable documents; -1: not all are.
int64_t check_documents(const TokenShard& shard) {
  int64_t tokens = 0, targets = 0;
  bool readable = true;
  for (int64_t d = 0; d < shard.documents(); ++d) {
    const int64_t length = shard.document_length(d);
    LOOPLM_CHECK(length > 0);
    tokens += length;
    std::vector<int32_t> ids(static_cast<size_t>(length));
    readable = shard.read(d, 0, ids).ok() && readable;
    for (int64_t i = 1; i < length; ++i) targets += shard.is_learnt(d, i) ? 1 : 0;
    for (const int32_t id : ids) LOOPLM_CHECK(id >= 0 && id < shard.vocab_size());
  }
  LOOPLM_CHECK(tokens == shard.tokens());
  LOOPLM_CHECK(targets == shard.count_targets(), "{} of {}", shard.count_targets(), targets);
  return readable ? targets : -1;
}

void load(const std::string& path, int64_t targets) {
  Result<TokenDataset> dataset = TokenDataset::open(path);
  if (!dataset.ok()) return;
  LoaderOptions options;
  options.sequence_length = 16;
  options.sequences = 2;
  options.long_documents = LongDocuments::kCut;
  options.one_epoch = true;
  const bool pairs = dataset.value().is_pairs();  // a pair that fits no row is refused
  std::vector<DataLoader::Source> sources;
  sources.push_back({std::move(dataset).value(), {}, 1});
  Result<DataLoader> loader = DataLoader::create(std::move(sources), options);
  if (!loader.ok()) return;
  int64_t seen = 0;
  for (int64_t last = -1; last != seen && seen < 100'000;) {
    const Result<Batch> batch = loader->next();
    LOOPLM_CHECK(batch.ok() || targets < 0, "{}", batch.status().message());
    if (!batch.ok()) return;
    last = seen;
    seen += batch.value().target_count();
  }
  LOOPLM_CHECK(pairs || targets < 0 || seen <= targets, "{} of {}", seen, targets);
}

}  // namespace
}  // namespace looplm

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace looplm;
  const MemoryFile file(data, size);
  const Result<TokenShard> shard = TokenShard::open(file.path());
  if (!shard.ok()) {
    LOOPLM_CHECK(shard.status().message().starts_with("token shard '/proc"));
    return 0;
  }
  const int64_t targets = check_documents(shard.value());
  (void)shard.value().verify().ok();
  load(file.path(), targets);
  return 0;
}
