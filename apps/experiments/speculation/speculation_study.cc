#include "experiments/speculation/speculation_study.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "looplm/config.h"

namespace looplm {
namespace {

// A name that may be part of a file's, not used before.
void read_name(TomlReader& toml, std::string& name, std::set<std::string>& names) {
  toml.require("name");
  toml.read("name", name);
  const bool plain = !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
  });
  if (toml.has("name") && !plain) {
    toml.fail(fmt::format("{} is \"{}\"; expected letters, digits, - and _", toml.full_name("name"),
                          name));
  }
  if (!names.insert(name).second) {
    toml.fail(fmt::format("{} is \"{}\" for the second time", toml.full_name("name"), name));
  }
}

}  // namespace

Status read_speculation_settings(TomlReader& toml, SpeculationSettings& s) {
  TomlReader model = toml.child("model");
  read_study_model(model, s.model);
  model.read("loops", s.loops, 0, kMaxLoops);

  toml.read("rounds", s.rounds, 1, 1000);
  TomlReader modes = toml.child("modes");
  modes.read("commit_loops", s.modes.commit_loops, 1, static_cast<double>(kMaxLoops));
  modes.read("commit_gates", s.modes.commit_gates, 0, 1);
  modes.read("commit_margins", s.modes.commit_margins, 0, 1);
  modes.read("exit_gates", s.modes.exit_gates, 0, 1);
  for (double loop : s.modes.commit_loops) {
    if (loop != static_cast<double>(static_cast<int64_t>(loop))) {
      modes.fail(fmt::format("modes.commit_loops holds {}; expected whole numbers", loop));
    }
  }

  std::set<std::string> names;
  for (TomlReader& table : toml.tables("sets")) {
    SpeculationSet set;
    read_name(table, set.name, names);
    table.read("path", set.path);
    table.read("words", set.words, 0, 1 << 20);
    table.read("count", set.count, 1, int64_t{1} << 30);
    table.read("tokens", set.decoding.tokens, 1, int64_t{1} << 20);
    table.read("ignore_eos", set.decoding.ignore_eos);
    set.decoding.loops = s.loops;
    s.sets.push_back(std::move(set));
  }
  TomlReader agreement = toml.child("agreement");
  agreement.read("loops", s.text_loops, 0, kMaxLoops);
  std::set<std::string> text_names;
  for (TomlReader& table : agreement.tables("texts")) {
    SpeculationText text;
    read_name(table, text.name, text_names);
    table.read("path", text.path);
    table.read("count", text.count, 0, int64_t{1} << 40);
    s.texts.push_back(std::move(text));
  }
  if (s.sets.empty() && s.texts.empty()) {
    toml.fail("there is neither [[sets]] nor [[agreement.texts]]; expected at least one");
  }

  TomlReader replay = toml.child("replay");
  replay.read("model", s.replay.directory);
  read_dtype(replay, "dtype", s.replay.dtype);
  if (!s.replay.directory.empty() && s.sets.empty()) {
    replay.fail("replay.model needs [[sets]] whose agreement it replays");
  }
  return {};
}

namespace {

std::vector<Cell> speculation_cells(const SpeculationSettings& s) {
  std::vector<Cell> all;
  for (const SpeculationText& text : s.texts) {
    all.push_back(make_cell(agreement_id(text), 1, {}, run_text_agreement, s, text));
  }
  for (const SpeculationSet& set : s.sets) {
    all.push_back(make_cell(decoding_id(set), 4, {}, run_decoding, s, set));
  }
  return all;
}

}  // namespace

std::unique_ptr<Study> make_speculation_study() {
  return std::make_unique<StudyOf<SpeculationSettings>>(
      "speculation",
      "How often do early loops already say what the last one says, and how many passes does that "
      "save?",
      read_speculation_settings, speculation_cells,
      [](const SpeculationSettings& s, const CellResults& results) -> Result<StudyReport> {
        return speculation_report(s, results);
      });
}

}  // namespace looplm
