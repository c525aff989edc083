#include "model/parameter_set.h"

#include "base/check.h"
#include "model/tensor_read.h"

namespace looplm {

ParameterSet::ParameterSet(std::vector<ParameterSpec> specs) : specs_(std::move(specs)) {
  int64_t total = 0;
  for (size_t i = 0; i < specs_.size(); ++i) {
    offsets_.push_back(total);
    index_.emplace(specs_[i].name, i);
    total += specs_[i].count();
  }
  values_ = Buffer<float>(static_cast<size_t>(total));
}

float* ParameterSet::find(const std::string& name) {
  return const_cast<float*>(std::as_const(*this).find(name));
}

const float* ParameterSet::find(const std::string& name) const {
  const auto found = index_.find(name);
  LOOPLM_CHECK(found != index_.end(), "no parameter '{}'", name);
  return values_.data() + offsets_[found->second];
}

TensorView ParameterSet::view(size_t index) const {
  return {DType::kF32, specs_[index].shape,
          reinterpret_cast<const std::byte*>(values_.data() + offsets_[index])};
}

TensorSource ParameterSet::source() const {
  return [this](const std::string& name) -> Result<TensorView> {
    const auto found = index_.find(name);
    if (found == index_.end()) return not_found(fmt::format("no parameter '{}'", name));
    return view(found->second);
  };
}

Status ParameterSet::load(const TensorSource& source) {
  for (size_t i = 0; i < specs_.size(); ++i) {
    LOOPLM_ASSIGN_OR_RETURN(const TensorView tensor, source(specs_[i].name));
    if (tensor.shape != specs_[i].shape) {
      return invalid_argument(fmt::format("tensor '{}' has shape {}; the config expects {}",
                                          specs_[i].name, shape_text(tensor.shape),
                                          shape_text(specs_[i].shape)));
    }
    read_as_float(tensor, {values_.data() + offsets_[i], static_cast<size_t>(specs_[i].count())});
  }
  return {};
}

}  // namespace looplm
