// looplm pull: a model from the Hugging Face hub.
#include <memory>

#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/hub_models.h"

namespace looplm::cli {
namespace {

Status pull_models(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    const std::optional<HubReference> reference = hub_reference(name);
    if (!reference.has_value()) {
      return invalid_argument(fmt::format(
          "'{}' is not the name of a model; expected ORG/NAME, ORG/NAME:FILE for one of "
          "several GGUF files, or ORG/NAME@REVISION",
          name));
    }
    LOOPLM_ASSIGN_OR_RETURN(const std::string place, pull_from_hub(*reference));
    fmt::print("{}\n", place);
  }
  return {};
}

}  // namespace

void add_pull_command(Program& program) {
  auto names = std::make_shared<std::vector<std::string>>();
  Command* c = program.app().add_subcommand(
      "pull", "Download a model from the Hugging Face hub into the cache that Python uses too");
  c->add_option("MODEL", *names,
                "ORG/NAME, ORG/NAME:FILE for a GGUF file (its name, or a part such as Q4_K_M), or "
                "ORG/NAME@REVISION; other commands then take ORG/NAME as a model")
      ->required();
  program.on(c, [names] { return pull_models(*names); });
}

}  // namespace looplm::cli
