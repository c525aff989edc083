// A checkpoint as a GGUF file, as llama.cpp's converter writes them. The inverse of gguf_model.h.
#ifndef LOOPLM_MODEL_GGUF_EXPORT_H_
#define LOOPLM_MODEL_GGUF_EXPORT_H_

#include <map>
#include <string>
#include <vector>

#include "looplm/status.h"

#include "base/thread_pool.h"
#include "model/checkpoint.h"
#include "model/gguf_blocks.h"

namespace looplm {

struct GgufExportOptions {
  // Of the matrices, one of kWrittenGgmlTypes; vectors are F32. Embedding and head of the
  // four-bit types are Q8_0. A matrix whose rows are no whole blocks gets Q8_0, or F16.
  GgmlType type = GgmlType::kBf16;
  std::map<std::string, std::string> chat_templates;  // by name; "default" is the usual one
};

struct GgufExport {
  std::map<std::string, int64_t> matrices;  // written in each type, by its name
  std::string gate_file;                    // where the exit gate was written; empty: there is none
  std::string guess_file;                   // where the guess maps were
};

// Writes `path`, and beside it the model's exit gate as NAME.gate.safetensors and its guess maps as
// NAME.guess.safetensors, since llama.cpp has no place for them. Each appears whole or not at all,
// the model last. Errors: weights that are small
// integers already, a structure that llama.cpp does not know, a tokenizer that it has no name for.
Result<GgufExport> export_gguf(const Checkpoint& checkpoint, const std::string& path,
                               const GgufExportOptions& options, ThreadPool& pool);

}  // namespace looplm

#endif  // LOOPLM_MODEL_GGUF_EXPORT_H_
