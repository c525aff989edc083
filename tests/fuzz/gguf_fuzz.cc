// A GGUF file, or several one behind the other, which are the parts of a split model: every tensor
// that is offered lies inside its file, apart from the others, and can be turned into floats;
// metadata can be looked up as any type, and a tokenizer that is found in them is one.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "looplm/tokenizer.h"

#include "base/check.h"
#include "model/gguf.h"
#include "model/gguf_tokenizer.h"

namespace looplm {
namespace {

using namespace std::string_view_literals;

void look_up(const GgufHeader& header) {
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  for (const auto& [key, value] : header.metadata) {
    LOOPLM_CHECK(!key.empty() && gguf_value_text(value).size() < 256);
    const bool found = gguf_int(header.metadata, key, {}, -kMax, kMax).ok() ||
                       gguf_number(header.metadata, key, {}, -1e300, 1e300).ok() ||
                       gguf_bool(header.metadata, key, false).ok() ||
                       gguf_string(header.metadata, key, {}).ok();
    // Lists, NaN, infinities and the ends of the 64-bit range are none of these.
    LOOPLM_CHECK(found || !std::holds_alternative<std::string_view>(value));
  }
}

void read_tokenizer(const GgufMetadata& metadata) {
  const Result<std::string> json = gguf_tokenizer_json(metadata, 1 << 20);
  if (!json.ok() || json.value().empty()) return;
  const auto tokenizer = Tokenizer::parse(json.value(), "keys");
  if (!tokenizer.ok()) {
    LOOPLM_CHECK(tokenizer.status().message().starts_with("keys"));
    return;
  }
  const auto ids = tokenizer.value()->encode("ab <eos> 12\n");
  for (const int32_t id : ids.ok() ? ids.value() : std::vector<int32_t>()) {
    LOOPLM_CHECK(id >= 0 && id < tokenizer.value()->vocab_size());
  }
}

std::optional<GgufHeader> read_file(std::span<const std::byte> file) {
  const Result<GgufHeader> header = parse_gguf(file, "input");
  if (!header.ok()) {
    LOOPLM_CHECK(header.status().message().starts_with("input"));
    return {};
  }
  look_up(header.value());
  read_tokenizer(header.value().metadata);
  uint64_t covered = 0;
  for (const GgufTensor& tensor : header.value().tensors) {
    LOOPLM_CHECK(tensor.begin >= covered && tensor.bytes <= file.size() - tensor.begin);
    covered = tensor.begin + tensor.bytes;
    // No larger than the file times the elements that the densest block has per byte.
    std::vector<float> values(static_cast<size_t>(element_count(tensor.shape)));
    LOOPLM_CHECK(values.size() <= 4 * file.size());
    read_ggml_blocks(tensor.type, file.data() + tensor.begin, values);
  }
  return header.value();
}

void run(std::span<const std::byte> input) {
  constexpr std::string_view kStart = "GGUF\3\0\0\0"sv;
  const std::string_view text(reinterpret_cast<const char*>(input.data()), input.size());
  std::vector<GgufHeader> parts;
  std::vector<std::string> names;
  size_t listed = 0;
  for (size_t begin = 0; begin != std::string_view::npos;) {
    const size_t end = text.find(kStart, begin + 1);
    std::optional<GgufHeader> header =
        read_file(input.subspan(begin, std::min(end, text.size()) - begin));
    if (!header.has_value()) return;
    listed += header->tensors.size();
    parts.push_back(*std::move(header));
    names.push_back(fmt::format("part {}", parts.size()));
    begin = end;
  }
  const Result<std::vector<GgufTensor>> joined = join_gguf_parts(parts, names);
  if (!joined.ok()) return;
  LOOPLM_CHECK(joined.value().size() == listed);
  for (const GgufTensor& tensor : joined.value()) LOOPLM_CHECK(tensor.part < parts.size());
}

}  // namespace
}  // namespace looplm

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  looplm::run(std::as_bytes(std::span(data, size)));
  return 0;
}
