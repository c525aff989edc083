#include "model/npy.h"

#include <bit>

#include <fmt/format.h>

#include "base/check.h"

namespace looplm {
namespace {

static_assert(std::endian::native == std::endian::little, "'<f4' is little-endian");

// "(2, 3)", "(4,)", "()", as Python prints tuples.
std::string tuple_text(const Shape& shape) {
  std::string text = "(";
  for (size_t i = 0; i < shape.size(); ++i) {
    text += fmt::format("{}{}", i == 0 ? "" : ", ", shape[i]);
  }
  return text + (shape.size() == 1 ? ",)" : ")");
}

std::string header_text(const Shape& shape) {
  constexpr size_t kHeaderAlignment = 64;
  constexpr size_t kPrefix = 10;  // magic, version, length
  // numpy.save leaves room for the first size to grow to 20 digits, so that an array can be
  // appended to in place.
  std::string text =
      fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': {}, }}", tuple_text(shape));
  if (!shape.empty()) text += std::string(21 - std::to_string(shape[0]).size(), ' ');
  // A header that ends on the boundary already gets 64 more, as numpy.save does it.
  const size_t total = ((kPrefix + text.size() + 1) / kHeaderAlignment + 1) * kHeaderAlignment;
  text += std::string(total - kPrefix - text.size() - 1, ' ') + "\n";
  std::string prefix = "\x93NUMPY";
  prefix += '\x01';
  prefix += '\0';
  prefix += static_cast<char>(text.size() & 0xff);
  prefix += static_cast<char>(text.size() >> 8);
  return prefix + text;
}

}  // namespace

Result<NpyWriter> NpyWriter::create(const std::string& path, const Shape& shape) {
  constexpr size_t kMaxRank = 32;
  LOOPLM_CHECK(shape.size() <= kMaxRank, "{} sizes", shape.size());
  LOOPLM_ASSIGN_OR_RETURN(AtomicFileWriter file, AtomicFileWriter::create(path));
  LOOPLM_RETURN_IF_ERROR(file.write(header_text(shape)));
  return NpyWriter(std::move(file), static_cast<uint64_t>(element_count(shape)));
}

Status NpyWriter::write(std::span<const float> values) {
  LOOPLM_CHECK(values.size() <= remaining_, "{} values, {} expected", values.size(), remaining_);
  remaining_ -= values.size();
  return file_.write(std::as_bytes(values));
}

Status NpyWriter::commit() {
  LOOPLM_CHECK(remaining_ == 0, "{} values are missing", remaining_);
  return file_.commit();
}

}  // namespace looplm
