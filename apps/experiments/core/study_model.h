// The model that a study measures, by its settings.
#ifndef LOOPLM_EXPERIMENTS_CORE_STUDY_MODEL_H_
#define LOOPLM_EXPERIMENTS_CORE_STUDY_MODEL_H_

#include <memory>
#include <string>

#include "looplm/model.h"

#include "train/toml_reader.h"

namespace looplm {

struct StudyModel {
  std::string directory;       // or a GGUF file
  std::string dtype = "auto";  // of the weights: or f32, bf16, int8, int4
};

// Reads `directory`, which must be there, and `dtype`.
void read_study_model(TomlReader& toml, StudyModel& model);
// Reads one of dtype's values.
void read_dtype(TomlReader& toml, const char* key, std::string& dtype);

// A path as reports show it: its last two names, which say what it is on any machine.
std::string shown_path(const std::string& path);

// What studies load models with. Keys and values stay in fp32: reports measure models, not how
// keys and values are rounded.
ModelOptions study_model_options(int threads);

// With a tokenizer; one without is an error.
Result<std::unique_ptr<Model>> load_study_model(const StudyModel& model, int threads);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_CORE_STUDY_MODEL_H_
