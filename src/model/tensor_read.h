// Reading stored tensors: conversion to float, and a search for values that are not finite.
#ifndef LOOPLM_MODEL_TENSOR_READ_H_
#define LOOPLM_MODEL_TENSOR_READ_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "looplm/status.h"

#include "base/thread_pool.h"
#include "model/parameters.h"
#include "tensor/tensor.h"

namespace looplm {

// out[i] is element first + i. Exact for every dtype. The data may have any alignment.
void read_as_float(const TensorView& view, int64_t first, std::span<float> out);

// The whole tensor; out has view.count() elements.
void read_as_float(const TensorView& view, std::span<float> out);

// The index of the first NaN or infinity in elements [first, first + count), or -1. Reads as fast
// as memory delivers.
int64_t find_not_finite(const TensorView& view, int64_t first, int64_t count);

// An error that names the tensor, the index and the value if one is not finite.
Status check_finite(const std::string& name, const TensorView& view);
// The same of a model's tensors, by all threads; the first bad one is named.
Status check_finite(const std::vector<ParameterSpec>& specs, const std::vector<TensorView>& tensors,
                    ThreadPool& pool);

}  // namespace looplm

#endif  // LOOPLM_MODEL_TENSOR_READ_H_
