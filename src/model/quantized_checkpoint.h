// Checkpoints whose matrices are small integers (kernels/quantized.h), in one safetensors file:
//
//   NAME            U8    int8: (out, groups * 64) levels q + 128
//                         int4: (out, groups * 32), terms 2j and 2j + 1 in the low and high half
//                         of byte j
//   NAME.scales     F32 (out) for int8, F16 (out, groups) for int4
//   NAME.minimums   F16 (out, groups), int4 only
//
// for the projections and the head that are quantised; all else as in any checkpoint.
// "__metadata__" names the format in "looplm.quantization": "int4", or "qkv=int4 o=int4
// gate_up=int4 down=int8" where the stacks differ.
#ifndef LOOPLM_MODEL_QUANTIZED_CHECKPOINT_H_
#define LOOPLM_MODEL_QUANTIZED_CHECKPOINT_H_

#include <string>

#include "base/thread_pool.h"
#include "kernels/quantized.h"
#include "model/block_quants.h"
#include "model/checkpoint.h"

namespace looplm {

inline bool is_quantized(const TensorView& view) { return view.dtype == DType::kU8; }
Quant quant_of(const TensorView& view);

// Completes a U8 view of parameter `spec` with its scales and minimums, and gives it the
// parameter's own shape. Errors: scales that are missing or misshapen, a parameter that is no
// matrix.
Status bind_quantized(const Safetensors& weights, const ParameterSpec& spec, TensorView& view);
// Whether a tensor of this name belongs to a quantised parameter.
bool is_quantization_part(const std::string& name);

// Row `row` of a bound view.
void read_quantized_row(const TensorView& view, int64_t row, QuantizedRow& out);

// Writes `source`, which has floating-point weights, with blocks and head rounded. The directory
// appears whole or not at all; tokenizer files and guess maps come along.
Status save_quantized(const std::string& directory, const Checkpoint& source,
                      const BlockQuants& blocks, Quant head, ThreadPool& pool);

}  // namespace looplm

#endif  // LOOPLM_MODEL_QUANTIZED_CHECKPOINT_H_
