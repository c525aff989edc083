// config.json: whatever is read can be written, and reads back as the same model.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "looplm/config.h"

#include "base/check.h"
#include "model/memory_report.h"
#include "model/parameters.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace looplm;
  const std::string text(reinterpret_cast<const char*>(data), size);
  const Result<ModelConfig> config = parse_model_config(text, "input");
  if (!config.ok()) {
    LOOPLM_CHECK(config.status().message().starts_with("input"));
    return 0;
  }
  LOOPLM_CHECK(validate(config.value()).ok());
  const Result<ModelConfig> again = parse_model_config(model_config_json(config.value()), "again");
  LOOPLM_CHECK(again.ok(), "{}", again.status().message());
  LOOPLM_CHECK(again.value() == config.value());

  const KvRequest whole{.prompt_tokens = config.value().max_positions,
                        .context_tokens = config.value().max_positions};
  LOOPLM_CHECK(kv_need(config.value(), whole).peak_bytes() > 0);
  LOOPLM_CHECK(weight_bytes(config.value(), DType::kBf16) > 0);
  int64_t count = 0;
  for (const ParameterSpec& spec : parameter_specs(config.value())) {
    LOOPLM_CHECK(spec.count() > 0);
    count += spec.count();
  }
  LOOPLM_CHECK(count == config.value().parameter_count());
  return 0;
}
