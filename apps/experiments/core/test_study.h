// Runs of whole studies with tiny settings, for tests.
#ifndef LOOPLM_EXPERIMENTS_CORE_TEST_STUDY_H_
#define LOOPLM_EXPERIMENTS_CORE_TEST_STUDY_H_

#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "base/file.h"
#include "base/json.h"
#include "experiments/core/runner.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"

namespace looplm {

inline std::string project_root() { return LOOPLM_GOLDEN_DIR "/../.."; }

// What configure() says of these settings.
inline Status configure_text(Study& study, const std::string& settings) {
  Result<toml::table> table = parse_toml(settings, "settings");
  if (!table.ok()) return table.status();
  Status status;
  TomlReader reader(&table.value(), "", status);
  LOOPLM_RETURN_IF_ERROR(study.configure(reader));
  reader.finish();
  return status;
}

// Runs the study in `directory` and returns results.json.
inline Result<Json> run_tiny(Study& study, const std::string& settings, const TempDir& directory) {
  StudyRunOptions options;
  options.settings_file = directory.file("settings.toml");
  options.root = project_root();
  options.out = directory.file("out");
  options.threads = 1;
  LOOPLM_RETURN_IF_ERROR(write_text_file(options.settings_file, settings));
  LOOPLM_RETURN_IF_ERROR(run_study(study, options));
  return read_json_file(options.out + "/results.json");
}

inline std::string report_text(const TempDir& directory) {
  return read_text_file(directory.file("out") + "/report.md").value();
}

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_CORE_TEST_STUDY_H_
