// How a model's matrices are held in memory, from what was asked for and how they are stored.
#ifndef LOOPLM_INFER_WEIGHT_FORMAT_H_
#define LOOPLM_INFER_WEIGHT_FORMAT_H_

#include <string>
#include <vector>

#include "looplm/model.h"

#include "model/parameters.h"
#include "model/weights.h"
#include "tensor/tensor.h"

namespace looplm {

// `tensors` of each of `specs`; their data is not looked at.
MatrixFormat weight_format(WeightType wanted, const std::vector<ParameterSpec>& specs,
                           const std::vector<TensorView>& tensors);

// "bf16"; "int4, head int8"; "mixed integers".
std::string weight_format_text(const MatrixFormat& format);

}  // namespace looplm

#endif  // LOOPLM_INFER_WEIGHT_FORMAT_H_
