#include "model/gguf_writer.h"

#include <bit>

#include "base/check.h"

namespace looplm {
namespace {

static_assert(std::endian::native == std::endian::little, "GGUF files are little-endian");

constexpr uint32_t kVersion = 3;
constexpr uint64_t kAlignment = 32;  // the format's own, where no key says otherwise

uint64_t aligned(uint64_t size) { return (size + kAlignment - 1) / kAlignment * kAlignment; }

template <typename T>
void append_to(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

}  // namespace

void GgufKeys::append_text(std::string_view text) {
  append<uint64_t>(text.size());
  bytes_ += text;
}

void GgufKeys::begin(std::string_view key, GgufType type) {
  append_text(key);
  append(static_cast<uint32_t>(type));
  ++count_;
}

void GgufKeys::add_text(std::string_view key, std::string_view value) {
  begin(key, GgufType::kString);
  append_text(value);
}

void GgufKeys::add_list(std::string_view key, std::span<const std::string> values) {
  begin(key, GgufType::kArray);
  append(static_cast<uint32_t>(GgufType::kString));
  append<uint64_t>(values.size());
  for (const std::string& value : values) append_text(value);
}

void GgufKeys::add_list(std::string_view key, std::span<const int32_t> values) {
  begin(key, GgufType::kArray);
  append(static_cast<uint32_t>(GgufType::kInt32));
  append<uint64_t>(values.size());
  for (const int32_t value : values) append(value);
}

uint64_t GgufDeclaration::bytes() const {
  const GgmlBlock block = ggml_block(type);
  LOOPLM_CHECK(!shape.empty() && shape.back() % block.elements == 0, "{}: rows of {} in {}", name,
               shape.empty() ? 0 : shape.back(), block.name);
  int64_t blocks = shape.back() / block.elements;
  for (size_t i = 0; i + 1 < shape.size(); ++i) blocks *= shape[i];
  return static_cast<uint64_t>(blocks * block.bytes);
}

Result<GgufWriter> GgufWriter::create(const std::string& path, const GgufKeys& keys,
                                      std::vector<GgufDeclaration> tensors) {
  std::string head = "GGUF";
  append_to(head, kVersion);
  append_to<uint64_t>(head, tensors.size());
  append_to(head, keys.count());
  head += keys.bytes();
  uint64_t offset = 0;
  for (const GgufDeclaration& tensor : tensors) {
    append_to<uint64_t>(head, tensor.name.size());
    head += tensor.name;
    append_to(head, static_cast<uint32_t>(tensor.shape.size()));
    for (auto size = tensor.shape.rbegin(); size != tensor.shape.rend(); ++size) {
      append_to<uint64_t>(head, static_cast<uint64_t>(*size));
    }
    append_to(head, static_cast<uint32_t>(tensor.type));
    append_to(head, offset);
    offset += aligned(tensor.bytes());
  }
  LOOPLM_ASSIGN_OR_RETURN(AtomicFileWriter file, AtomicFileWriter::create(path));
  GgufWriter writer(std::move(file), std::move(tensors));
  LOOPLM_RETURN_IF_ERROR(writer.file_.write(head));
  LOOPLM_RETURN_IF_ERROR(writer.pad());
  return writer;
}

Status GgufWriter::pad() {
  const uint64_t size = file_.bytes_written();
  return file_.write(std::string(aligned(size) - size, '\0'));
}

Status GgufWriter::write(std::span<const std::byte> bytes) {
  LOOPLM_CHECK(tensor_ < tensors_.size(), "{} bytes behind the last tensor", bytes.size());
  const uint64_t declared = tensors_[tensor_].bytes();
  written_ += bytes.size();
  LOOPLM_CHECK(written_ <= declared, "{}: more than its {} bytes", tensors_[tensor_].name,
               declared);
  LOOPLM_RETURN_IF_ERROR(file_.write(bytes));
  if (written_ < declared) return {};
  ++tensor_;
  written_ = 0;
  return pad();
}

Status GgufWriter::sync() {
  LOOPLM_CHECK(tensor_ == tensors_.size(), "{} of {} tensors written", tensor_, tensors_.size());
  return file_.sync();
}

Status GgufWriter::commit() {
  LOOPLM_RETURN_IF_ERROR(sync());
  return file_.commit();
}

}  // namespace looplm
