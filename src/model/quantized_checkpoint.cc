#include "model/quantized_checkpoint.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "base/bf16.h"
#include "base/check.h"
#include "model/atomic_directory.h"
#include "model/guess_maps.h"
#include "model/tensor_read.h"

namespace looplm {
namespace {

constexpr const char* kScales = ".scales";
constexpr const char* kMinimums = ".minimums";

int64_t level_bytes(Quant quant, int64_t terms) {
  return quant_groups(terms) * kQuantGroup / (quant == Quant::kInt4 ? 2 : 1);
}

Result<TensorView> find_part(const Safetensors& weights, const std::string& name, DType dtype,
                             const Shape& shape) {
  LOOPLM_ASSIGN_OR_RETURN(TensorView part, weights.find(name));
  if (part.dtype == dtype && part.shape == shape) return part;
  return invalid_argument(fmt::format("tensor '{}' is {} {}; expected {} {}", name,
                                      dtype_name(part.dtype), shape_text(part.shape),
                                      dtype_name(dtype), shape_text(shape)));
}

std::span<const std::byte> bytes_of(const std::vector<uint16_t>& halves) {
  return std::as_bytes(std::span(halves));
}

std::vector<uint16_t> to_halves(const std::vector<float>& values) {
  std::vector<uint16_t> halves;
  halves.reserve(values.size());
  for (float x : values) halves.push_back(float_to_half(x));
  return halves;
}

// What one parameter becomes in the file.
struct QuantizedParameter {
  std::vector<std::byte> levels;
  std::vector<float> scales;
  std::vector<float> minimums;
};

QuantizedParameter quantize(const TensorView& view, Quant quant, ThreadPool& pool) {
  const int64_t rows = view.shape[0], terms = view.shape[1];
  const int64_t bytes = level_bytes(quant, terms);
  const int64_t per_row = quant == Quant::kInt8 ? 1 : quant_groups(terms);
  QuantizedParameter p;
  p.levels.resize(static_cast<size_t>(rows * bytes));
  p.scales.resize(static_cast<size_t>(rows * per_row));
  if (quant == Quant::kInt4) p.minimums.resize(p.scales.size());
  constexpr int64_t kRows = 16;
  pool.parallel_for((rows + kRows - 1) / kRows, [&](int64_t task, int) {
    std::vector<float> weights(static_cast<size_t>(terms));
    QuantizedRow row;
    for (int64_t r = task * kRows; r < std::min(rows, (task + 1) * kRows); ++r) {
      read_as_float(view, r * terms, weights);
      quantize_row(quant, weights, row);
      std::byte* to = p.levels.data() + r * bytes;
      for (int64_t i = 0; i < bytes; ++i) {
        const auto at = static_cast<size_t>(i);
        to[i] = quant == Quant::kInt8
                    ? static_cast<std::byte>(row.levels[at])
                    : static_cast<std::byte>(row.levels[2 * at] | row.levels[2 * at + 1] << 4);
      }
      std::ranges::copy(row.scales, p.scales.begin() + r * per_row);
      if (quant == Quant::kInt4) std::ranges::copy(row.minimums, p.minimums.begin() + r * per_row);
    }
  });
  return p;
}

const char* quant_name(Quant quant) {
  return quant == Quant::kInt8 ? "int8" : quant == Quant::kInt4 ? "int4" : "float";
}

std::string quants_text(const BlockQuants& blocks) {
  if (blocks == BlockQuants::all(blocks.qkv)) return quant_name(blocks.qkv);
  return fmt::format("qkv={} o={} gate_up={} down={}", quant_name(blocks.qkv),
                     quant_name(blocks.output), quant_name(blocks.gate_up),
                     quant_name(blocks.down));
}

Quant quant_for(const ParameterSpec& spec, const BlockQuants& blocks, Quant head) {
  if (spec.role == ParameterRole::kLinear) return blocks.*stack_of(spec.name);
  return spec.role == ParameterRole::kHead ? head : Quant::kNone;
}

}  // namespace

Quant quant_of(const TensorView& view) {
  if (!is_quantized(view)) return Quant::kNone;
  return view.minimums == nullptr ? Quant::kInt8 : Quant::kInt4;
}

bool is_quantization_part(const std::string& name) {
  return name.ends_with(kScales) || name.ends_with(kMinimums);
}

Status bind_quantized(const Safetensors& weights, const ParameterSpec& spec, TensorView& view) {
  if (spec.role != ParameterRole::kLinear && spec.role != ParameterRole::kHead) {
    return invalid_argument(fmt::format(
        "tensor '{}' is U8; expected F32, BF16 or F16: only matrices of blocks and the head may be "
        "quantised",
        spec.name));
  }
  const int64_t rows = spec.shape[0], terms = spec.shape[1];
  const Quant quant = weights.find(spec.name + kMinimums).ok() ? Quant::kInt4 : Quant::kInt8;
  const Shape levels = {rows, level_bytes(quant, terms)};
  if (view.shape != levels) {
    return invalid_argument(fmt::format(
        "tensor '{}' is U8 {}; expected {} of an {} matrix {}", spec.name, shape_text(view.shape),
        shape_text(levels), quant == Quant::kInt4 ? "int4" : "int8", shape_text(spec.shape)));
  }
  const Shape per_group = {rows, quant_groups(terms)};
  if (quant == Quant::kInt8) {
    LOOPLM_ASSIGN_OR_RETURN(const TensorView scales,
                            find_part(weights, spec.name + kScales, DType::kF32, {rows}));
    LOOPLM_RETURN_IF_ERROR(check_finite(spec.name + kScales, scales));
    view.scales = scales.data;
  } else {
    LOOPLM_ASSIGN_OR_RETURN(const TensorView scales,
                            find_part(weights, spec.name + kScales, DType::kF16, per_group));
    LOOPLM_ASSIGN_OR_RETURN(const TensorView minimums,
                            find_part(weights, spec.name + kMinimums, DType::kF16, per_group));
    LOOPLM_RETURN_IF_ERROR(check_finite(spec.name + kScales, scales));
    LOOPLM_RETURN_IF_ERROR(check_finite(spec.name + kMinimums, minimums));
    view.scales = scales.data;
    view.minimums = minimums.data;
  }
  view.shape = spec.shape;
  return {};
}

Status save_quantized(const std::string& directory, const Checkpoint& source,
                      const BlockQuants& blocks, Quant head, ThreadPool& pool) {
  for (size_t i = 0; i < source.specs.size(); ++i) {
    if (!is_quantized(source.tensors[i])) continue;
    return invalid_argument(
        fmt::format("'{}' of '{}' is quantised already; expected F32, BF16 or F16",
                    source.specs[i].name, source.directory));
  }
  LOOPLM_ASSIGN_OR_RETURN(AtomicDirectory fresh,
                          AtomicDirectory::create(directory, is_checkpoint_file));
  LOOPLM_RETURN_IF_ERROR(copy_companions(source.directory, fresh.path()));
  LOOPLM_RETURN_IF_ERROR(copy_guesses(source.directory, source.config, fresh.path()).status());
  LOOPLM_RETURN_IF_ERROR(
      write_text_file(fresh.path() + "/config.json", model_config_json(source.config)));

  // Data lies in the file as declared, larger elements first.
  std::vector<QuantizedParameter> parameters(source.specs.size());
  std::vector<TensorDeclaration> declared;
  std::vector<std::span<const std::byte>> data;
  std::vector<std::vector<uint16_t>> halves;
  halves.reserve(2 * source.specs.size());
  const auto declare = [&](const std::string& name, DType dtype, const Shape& shape,
                           std::span<const std::byte> bytes) {
    declared.push_back({name, dtype, shape});
    data.push_back(bytes);
  };
  const auto quant_at = [&](size_t i) { return quant_for(source.specs[i], blocks, head); };
  for (size_t i = 0; i < source.specs.size(); ++i) {
    if (quant_at(i) != Quant::kNone) {
      parameters[i] = quantize(source.tensors[i], quant_at(i), pool);
    }
  }
  for (DType dtype : {DType::kF32, DType::kBf16, DType::kF16, DType::kU8}) {
    for (size_t i = 0; i < source.specs.size(); ++i) {
      const ParameterSpec& spec = source.specs[i];
      const TensorView& view = source.tensors[i];
      const Quant quant = quant_at(i);
      const QuantizedParameter& p = parameters[i];
      if (quant == Quant::kNone) {
        if (view.dtype == dtype) declare(spec.name, dtype, spec.shape, {view.data, view.bytes()});
        continue;
      }
      const int64_t rows = spec.shape[0], groups = quant_groups(spec.shape[1]);
      if (dtype == DType::kF32 && quant == Quant::kInt8) {
        declare(spec.name + kScales, dtype, {rows}, std::as_bytes(std::span(p.scales)));
      }
      if (dtype == DType::kF16 && quant == Quant::kInt4) {
        halves.push_back(to_halves(p.scales));
        declare(spec.name + kScales, dtype, {rows, groups}, bytes_of(halves.back()));
        halves.push_back(to_halves(p.minimums));
        declare(spec.name + kMinimums, dtype, {rows, groups}, bytes_of(halves.back()));
      }
      if (dtype == DType::kU8) {
        declare(spec.name, dtype, {rows, level_bytes(quant, spec.shape[1])}, p.levels);
      }
    }
  }
  LOOPLM_ASSIGN_OR_RETURN(
      SafetensorsWriter writer,
      SafetensorsWriter::create(fmt::format("{}/{}", fresh.path(), kWeightsFile), declared,
                                {{"format", "pt"},
                                 {"looplm.quantization", quants_text(blocks)},
                                 {"looplm.group", "64"}}));
  for (const std::span<const std::byte> bytes : data) LOOPLM_RETURN_IF_ERROR(writer.write(bytes));
  LOOPLM_RETURN_IF_ERROR(writer.commit());
  return fresh.commit();
}

void read_quantized_row(const TensorView& view, int64_t row, QuantizedRow& out) {
  const Quant quant = quant_of(view);
  const int64_t groups = quant_groups(view.shape[1]);
  const int64_t bytes = level_bytes(quant, view.shape[1]);
  const std::byte* levels = view.data + row * bytes;
  out.levels.resize(static_cast<size_t>(groups * kQuantGroup));
  if (quant == Quant::kInt8) {
    std::memcpy(out.levels.data(), levels, static_cast<size_t>(bytes));
    out.scales.resize(1);
    std::memcpy(out.scales.data(), view.scales + row * 4, 4);
    out.minimums.clear();
    return;
  }
  for (int64_t i = 0; i < bytes; ++i) {
    const auto pair = static_cast<uint8_t>(levels[i]);
    out.levels[static_cast<size_t>(2 * i)] = pair & 15u;
    out.levels[static_cast<size_t>(2 * i + 1)] = pair >> 4;
  }
  out.scales.resize(static_cast<size_t>(groups));
  out.minimums.resize(static_cast<size_t>(groups));
  const auto half_at = [&](const std::byte* halves, int64_t g) {
    uint16_t half;
    std::memcpy(&half, halves + (row * groups + g) * 2, sizeof(half));
    return half_to_float(half);
  };
  for (int64_t g = 0; g < groups; ++g) {
    out.scales[static_cast<size_t>(g)] = half_at(view.scales, g);
    out.minimums[static_cast<size_t>(g)] = half_at(view.minimums, g);
  }
}

}  // namespace looplm
