// model.safetensors.index.json: no accepted file name leads out of its directory, and what was read
// can be written and reads back.
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>

#include "base/check.h"
#include "model/safetensors_index.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace looplm;
  const std::string text(reinterpret_cast<const char*>(data), size);
  const Result<WeightMap> map = parse_safetensors_index(text, "input");
  if (!map.ok()) return 0;
  for (const auto& [name, file] : map.value()) {
    const std::filesystem::path path = std::filesystem::path("/models/x") / file;
    LOOPLM_CHECK(path.lexically_normal().parent_path() == "/models/x", "{}", file);
  }
  const Result<WeightMap> again =
      parse_safetensors_index(safetensors_index_text(map.value(), size), "again");
  LOOPLM_CHECK(again.ok(), "{}", again.status().message());
  LOOPLM_CHECK(again.value() == map.value());
  return 0;
}
