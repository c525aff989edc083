// Names of the files of a GGUF model: NAME.gguf, or the parts NAME-00001-of-00003.gguf and so on
// that llama.cpp's gguf-split writes, and the files beside them. Readers and downloaders of models
// both use these, so that they agree.
#ifndef LOOPLM_BASE_GGUF_NAME_H_
#define LOOPLM_BASE_GGUF_NAME_H_

#include <cstdint>
#include <string>
#include <vector>

namespace looplm {

// Whether a model of this path is a GGUF file: what is there is a file, or nothing is and the name
// says so. A folder may have any name.
bool is_gguf_model(const std::string& path);
// "models/m" of "models/m.gguf" and of "models/m-00002-of-00003.gguf".
std::string gguf_model_stem(const std::string& path);
// The path of part `number`, from 1.
std::string gguf_part_path(const std::string& stem, int64_t number, int64_t count);
// All parts of the model that this file belongs to; the file alone if it is not a part.
std::vector<std::string> gguf_parts(const std::string& path);

// Where looplm looks for what llama.cpp's files have no place for: exit gate, guess maps and tuned
// depths ("m.gate.safetensors" beside "m.gguf").
std::string gguf_gate_file(const std::string& path);
std::string gguf_guess_file(const std::string& path);
std::string gguf_depth_file(const std::string& path);

}  // namespace looplm

#endif  // LOOPLM_BASE_GGUF_NAME_H_
