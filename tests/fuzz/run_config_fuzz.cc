// A training run's TOML file: read, or refused with words.
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/check.h"
#include "train/run_config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace looplm;
  const std::string text(reinterpret_cast<const char*>(data), size);
  Result<RunConfig> config = parse_run_config(text, "input", {});
  if (!config.ok()) {
    LOOPLM_CHECK(config.status().message().find("input") != std::string::npos, "{}",
                 config.status().message());
    return 0;
  }
  LOOPLM_CHECK(config->run.steps > 0 && config->batch.sequences > 0 &&
               config->data.sequence_length > 0);
  LOOPLM_CHECK(!config->run.out.empty());  // data may be empty: streams of the caller
  const Result<RunConfig> again = parse_run_config(write_run_config(*config), "written");
  LOOPLM_CHECK(again.ok() && again.value() == *config, "{}", again.status().message());
  LOOPLM_CHECK(run_differences(*config, again.value()).empty());
  return 0;
}
