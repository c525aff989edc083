// Which files of a model's folder looplm reads. The same choice is made of what the hub lists and
// of what lies in the cache.
#ifndef LOOPLM_HUB_MODEL_FILES_H_
#define LOOPLM_HUB_MODEL_FILES_H_

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "looplm/status.h"

namespace looplm {

struct ModelFiles {
  std::vector<std::string> needed;  // in the order in which they are best fetched: small ones first
  std::string gguf{};               // what opens the model: this file, or the folder where empty
};

// `paths` are all files there, relative; `wanted` is the FILE of ORG/NAME:FILE, or empty;
// `read_index` gives the text of model.safetensors.index.json. `where` names the folder in
// messages. Weights are the model's safetensors, else its one GGUF file; an adapter's files are
// those of an adapter. kNotFound where there are no weights, or a part of them is missing;
// kInvalidArgument where `wanted` is no file, or it takes a choice.
Result<ModelFiles> choose_model_files(const std::set<std::string>& paths, const std::string& wanted,
                                      const std::function<Result<std::string>()>& read_index,
                                      const std::string& where);

// The GGUF models among the files; of one in parts, the first part.
std::vector<std::string> gguf_models(const std::set<std::string>& paths);

}  // namespace looplm

#endif  // LOOPLM_HUB_MODEL_FILES_H_
