// Runs of whole studies with tiny settings, for tests.
#ifndef LOOPLM_EXPERIMENTS_CORE_TEST_STUDY_H_
#define LOOPLM_EXPERIMENTS_CORE_TEST_STUDY_H_

#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "base/file.h"
#include "base/json.h"
#include "experiments/core/runner.h"
#include "experiments/core/settings.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"

namespace looplm {

inline std::string project_root() { return LOOPLM_GOLDEN_DIR "/../.."; }

// What configure() says of these settings.
inline Status configure_text(Study& study, const std::string& settings) {
  return configure_study(study, settings, project_root(), "settings");
}

// Runs the study in `directory`, as many cells at once as threads, and returns results.json. {root}
// is the project's folder, or `root`.
inline Result<Json> run_tiny(Study& study, const std::string& settings, const TempDir& directory,
                             int threads = 1, const std::string& root = project_root(),
                             const std::vector<std::string>& overrides = {}) {
  StudyRunOptions options;
  options.settings_file = directory.file("settings.toml");
  options.root = root;
  options.overrides = overrides;
  options.out = directory.file("out");
  options.threads = options.jobs = threads;
  LOOPLM_RETURN_IF_ERROR(write_text_file(options.settings_file, settings));
  LOOPLM_RETURN_IF_ERROR(run_study(study, options));
  return read_json_file(options.out + "/results.json");
}

// Runs studies/NAME/laptop.toml with these changes in `directory`, and returns results.json.
inline Result<Json> run_shipped(Study& study, const TempDir& directory,
                                const std::vector<std::string>& overrides) {
  const std::string file = project_root() + "/studies/" + study.name() + "/laptop.toml";
  LOOPLM_ASSIGN_OR_RETURN(const std::string settings, effective_settings(file, overrides));
  return run_tiny(study, settings, directory);
}

// What configure() says of studies/NAME/laptop.toml with this change.
inline Status shipped_with(Study& study, const std::string& change) {
  const std::string file = project_root() + "/studies/" + study.name() + "/laptop.toml";
  LOOPLM_ASSIGN_OR_RETURN(const std::string settings, effective_settings(file, {change}));
  return configure_text(study, settings);
}

// Settings of a study as it reads them, whole or with one place changed; status_ is what it said.
template <typename Settings>
class SettingsTest : public testing::Test {
 protected:
  using Read = Status (*)(TomlReader&, Settings&);
  SettingsTest(const char* text, Read read) : text_(text), read_(read) {}

  Settings settings() { return settings(text_); }
  Settings settings(const std::string& text) {
    Settings result;
    status_ =
        read_settings(text, "settings", [&](TomlReader& reader) { return read_(reader, result); });
    return result;
  }
  Status error(const std::string& from, const std::string& to) {
    std::string text = text_;
    text.replace(text.find(from), from.size(), to);
    settings(text);
    return status_;
  }

  const std::string text_;
  const Read read_;
  Status status_;
};

inline std::string report_text(const TempDir& directory) {
  return read_text_file(directory.file("out") + "/report.md").value();
}

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_CORE_TEST_STUDY_H_
