// Parameters in one fp32 buffer: what training updates, and the layout that gradients and optimiser
// moments share. All of a model, in the order of parameter_specs, or a part of them.
//
// Nothing lies between neighbours, so the query, key and value matrices of a block form one matrix,
// as do its gate and up projections.
#ifndef LOOPLM_MODEL_PARAMETER_SET_H_
#define LOOPLM_MODEL_PARAMETER_SET_H_

#include <string>
#include <unordered_map>
#include <vector>

#include "looplm/config.h"
#include "looplm/status.h"
#include "looplm/tensor.h"

#include "model/parameters.h"
#include "tensor/buffer.h"

namespace looplm {

class ParameterSet {
 public:
  // All zero.
  explicit ParameterSet(const ModelConfig& config) : ParameterSet(parameter_specs(config)) {}
  explicit ParameterSet(std::vector<ParameterSpec> specs);

  const std::vector<ParameterSpec>& specs() const { return specs_; }
  int64_t size() const { return static_cast<int64_t>(values_.size()); }
  float* data() { return values_.data(); }
  const float* data() const { return values_.data(); }
  std::span<float> values() { return values_.span(); }
  std::span<const float> values() const { return values_.span(); }

  // Where parameter `index` of specs() starts.
  int64_t offset(size_t index) const { return offsets_[index]; }
  // The parameter of that name; it must exist.
  float* find(const std::string& name);
  const float* find(const std::string& name) const;
  bool contains(const std::string& name) const { return index_.contains(name); }

  TensorView view(size_t index) const;
  // Views of this set by name, valid while it lives.
  TensorSource source() const;
  // Copies every parameter from `source`, converting to fp32.
  Status load(const TensorSource& source);

 private:
  std::vector<ParameterSpec> specs_;
  std::vector<int64_t> offsets_;
  std::unordered_map<std::string, size_t> index_;
  Buffer<float> values_;
};

}  // namespace looplm

#endif  // LOOPLM_MODEL_PARAMETER_SET_H_
