// looplm list and looplm rm: what `pull` has fetched.
#include <algorithm>
#include <memory>

#include <fmt/format.h>

#include "base/json.h"
#include "cli/commands.h"
#include "cli/hub_models.h"
#include "hub/hub_cache.h"
#include "tensor/memory_plan.h"

namespace looplm::cli {
namespace {

const char* state_text(CachedModel::State state) {
  switch (state) {
    case CachedModel::State::kReady:
      return "";
    case CachedModel::State::kIncomplete:
      return "incomplete; `looplm pull` goes on";
    case CachedModel::State::kForeign:
      return "nothing that looplm reads";
  }
  return "";
}

Status list_models(bool json) {
  const HubSettings settings = HubSettings::from_environment();
  LOOPLM_RETURN_IF_ERROR(settings.check_cache());
  const std::vector<CachedModel> models = HubCache(settings.cache).list();
  if (json) {
    OrderedJson list = OrderedJson::array();
    for (const CachedModel& model : models) {
      list.push_back({{"name", model.name},
                      {"bytes", model.bytes},
                      {"ready", model.state == CachedModel::State::kReady}});
    }
    fmt::print("{}\n", dump_json(list));
    return {};
  }
  if (models.empty()) {
    fmt::print("no models in '{}'; looplm pull ORG/NAME fetches one\n", settings.cache);
    return {};
  }
  size_t width = 0;
  for (const CachedModel& model : models) width = std::max(width, model.name.size());
  for (const CachedModel& model : models) {
    const std::string state = state_text(model.state);
    fmt::print("{:<{}}  {:>8}{}{}\n", model.name, width, bytes_text(model.bytes),
               state.empty() ? "" : "  ", state);
  }
  return {};
}

Status remove_models(const std::vector<std::string>& names) {
  const HubSettings settings = HubSettings::from_environment();
  LOOPLM_RETURN_IF_ERROR(settings.check_cache());
  const HubCache cache(settings.cache);
  for (const std::string& name : names) {
    const std::optional<HubReference> reference = hub_reference(name);
    if (!reference.has_value()) {
      return invalid_argument(
          fmt::format("'{}' is not the name of a model; expected ORG/NAME or ORG/NAME:FILE", name));
    }
    LOOPLM_ASSIGN_OR_RETURN(const uint64_t freed, cache.remove(*reference));
    fmt::print("removed {}, {}\n", name, bytes_text(freed));
  }
  return {};
}

}  // namespace

void add_list_command(Program& program) {
  auto json = std::make_shared<bool>(false);
  Command* c = program.app().add_subcommand("list", "List the models in the hub's cache");
  c->add_flag("--json", *json, "Print one JSON array");
  program.on(c, [json] { return list_models(*json); });
}

void add_rm_command(Program& program) {
  auto names = std::make_shared<std::vector<std::string>>();
  Command* c = program.app().add_subcommand(
      "rm", "Remove a model from the hub's cache, which other programs use too");
  c->add_option("MODEL", *names, "ORG/NAME, or ORG/NAME:FILE for a GGUF file alone")->required();
  program.on(c, [names] { return remove_models(*names); });
}

}  // namespace looplm::cli
