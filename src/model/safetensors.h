// Tensors read from safetensors files, mapped into memory: opening costs the header only, and pages
// come from disk when they are first touched.
#ifndef LOOPLM_MODEL_SAFETENSORS_H_
#define LOOPLM_MODEL_SAFETENSORS_H_

#include <map>
#include <string>
#include <vector>

#include "looplm/status.h"

#include "base/file.h"
#include "model/safetensors_header.h"
#include "tensor/tensor.h"

namespace looplm {

class Safetensors {
 public:
  // A .safetensors file, or a directory that holds model.safetensors or, if there is none (Hugging
  // Face's order), model.safetensors.index.json with its shards. An index must list exactly the
  // tensors that its shards hold. The files are checked as parse_safetensors_header says; they must
  // not be changed in place while they are open (replacing them by rename is fine).
  static Result<Safetensors> open(const std::string& path);

  const std::vector<std::string>& names() const { return names_; }  // sorted
  bool contains(const std::string& name) const { return places_.contains(name); }

  // The tensor's data in the mapped file or a copy, aligned to its element size. A tensor that is
  // not there, or that looplm cannot read (see stored_tensor_view), is an error only here, so that
  // foreign tensors nobody asks for do no harm. Views live as long as this object or what it is
  // moved to.
  Result<TensorView> find(const std::string& name) const;

  // "__metadata__" of the file; of the first shard where there are several.
  const SafetensorsMetadata& metadata() const;
  // The paths of the weight files.
  std::vector<std::string> files() const;
  void release_pages() const;  // see MappedFile

 private:
  struct Shard {
    MappedFile file;
    SafetensorsHeader header;
    // By index, of tensors that do not lie aligned to their element size: old writers did not pad
    // the header.
    std::map<size_t, std::vector<std::byte>> copies{};
  };
  struct Place {
    size_t shard;
    size_t tensor;
  };

  static Result<Shard> open_shard(const std::string& path);
  static Result<Safetensors> open_sharded(const std::string& directory);
  Status add(Shard shard);
  void collect_names();

  std::string path_;
  std::vector<Shard> shards_;
  std::map<std::string, Place> places_;
  std::vector<std::string> names_;
};

}  // namespace looplm

#endif  // LOOPLM_MODEL_SAFETENSORS_H_
