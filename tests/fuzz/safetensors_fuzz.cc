// A safetensors file: every tensor that is offered lies inside the file, and what was read can be
// written and reads back.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "base/check.h"
#include "model/safetensors_header.h"
#include "model/tensor_read.h"

namespace looplm {
namespace {

// The header written anew, for files whose tensors all have one dtype.
void check_rewriting(const SafetensorsHeader& header, std::span<const std::byte> file) {
  std::vector<TensorDeclaration> tensors;
  for (const StoredTensor& tensor : header.tensors) {
    const auto dtype = dtype_from_name(tensor.dtype);
    if (!dtype.has_value() || tensor.dtype != header.tensors.front().dtype) return;
    tensors.push_back({tensor.name, *dtype, tensor.shape});
  }
  std::string text = safetensors_header_text(tensors, header.metadata);
  const auto data = file.subspan(header.data_begin);
  text.append(reinterpret_cast<const char*>(data.data()), data.size());
  const Result<SafetensorsHeader> again =
      parse_safetensors_header(std::as_bytes(std::span(text.data(), text.size())), "again");
  LOOPLM_CHECK(again.ok(), "{}", again.status().message());
  LOOPLM_CHECK(again.value().metadata == header.metadata);
  LOOPLM_CHECK(again.value().tensors.size() == header.tensors.size());
  std::vector<std::string> names[2];
  for (const StoredTensor& tensor : header.tensors) names[0].push_back(tensor.name);
  for (const StoredTensor& tensor : again.value().tensors) names[1].push_back(tensor.name);
  for (auto& list : names) std::sort(list.begin(), list.end());  // empty tensors may change places
  LOOPLM_CHECK(names[0] == names[1]);
}

void run(std::span<const std::byte> file) {
  const Result<SafetensorsHeader> header = parse_safetensors_header(file, "input");
  if (!header.ok()) {
    LOOPLM_CHECK(header.status().message().starts_with("input"));
    return;
  }
  for (const StoredTensor& tensor : header.value().tensors) {
    const Result<TensorView> view = stored_tensor_view(header.value(), tensor, file, "input");
    if (!view.ok()) continue;
    LOOPLM_CHECK(view.value().bytes() <= file.size());
    std::vector<float> values(static_cast<size_t>(view.value().count()));
    read_as_float(view.value(), values);
    const Status finite = check_finite(tensor.name, view.value());
    LOOPLM_CHECK(finite.ok() || !values.empty());
  }
  check_rewriting(header.value(), file);
}

// The same bytes with a length that ends the header at the last '}', since chance rarely keeps the
// two in step when the JSON grows or shrinks.
std::vector<std::byte> with_fitting_length(std::span<const std::byte> file) {
  std::vector<std::byte> fitted(file.begin(), file.end());
  const auto brace = std::find(fitted.rbegin(), fitted.rend(), std::byte{'}'});
  const uint64_t end = static_cast<uint64_t>(fitted.rend() - brace);  // just behind the brace
  if (end <= 8) return {};
  const uint64_t length = end - 8;
  std::memcpy(fitted.data(), &length, 8);
  return fitted;
}

}  // namespace
}  // namespace looplm

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto file = std::as_bytes(std::span(data, size));
  looplm::run(file);
  looplm::run(looplm::with_fitting_length(file));
  return 0;
}
