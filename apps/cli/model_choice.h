// Which model a command runs, and how its weights are held.
#ifndef LOOPLM_CLI_MODEL_CHOICE_H_
#define LOOPLM_CLI_MODEL_CHOICE_H_

#include <string>

#include "looplm/model.h"
#include "looplm/status.h"

#include "common/command.h"

namespace looplm::cli {

struct ModelChoice {
  std::string directory;
  std::string dtype = "auto";
  std::string kv_type = "bf16";
  int threads = 0;
  std::string gate_file;
  std::string adapter;

  ModelOptions options() const;
};

// The model as a positional argument, for locate_model.
Option* add_model_argument(Command& command, std::string& directory, const char* name = "DIR");
void add_gate_option(Command& command, std::string& gate_file);
void add_kv_type_option(Command& command, std::string& kv_type);
// --dtype, --kv-type, --threads and --gate.
void add_memory_options(Command& command, ModelChoice& choice);
// The same, and --lora.
void add_weight_options(Command& command, ModelChoice& choice);

// Where a model lies that someone named: a path that exists, or ORG/NAME in the hub's cache,
// fetched if there is a person to agree. Fails where there is neither.
Result<std::string> locate_named_model(const std::string& given);
// `given` if not empty, else the bundled model, wherever project_places has it.
Result<std::string> locate_model(const std::string& given);

// Fails where `out`, which `option` names, would take the place of the model it is made from.
Status check_other_place(const std::string& option, const std::string& out,
                         const std::string& model);

// What to call the model that lies there: ORG/NAME of one from the hub, else its file's name.
std::string model_title(const std::string& path);

}  // namespace looplm::cli

#endif  // LOOPLM_CLI_MODEL_CHOICE_H_
