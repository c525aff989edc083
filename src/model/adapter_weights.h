// An adapter beside the products of a model's matrices: while it is trained, and where it cannot be
// added to them.
#ifndef LOOPLM_MODEL_ADAPTER_WEIGHTS_H_
#define LOOPLM_MODEL_ADAPTER_WEIGHTS_H_

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "kernels/kernels.h"
#include "model/adapter.h"
#include "tensor/memory_plan.h"

namespace looplm {

// In the order of adapter_targets().
enum class AdaptedMatrix { kQuery, kKey, kValue, kOutput, kGate, kUp, kDown };

// Where in the model a product stands.
struct AdapterPlace {
  int64_t loop = 0;
  int64_t layer = 0;
  AdaptedMatrix matrix = AdaptedMatrix::kQuery;
};

enum class AdapterUse { kTraining, kForwardOnly };

class AdapterWeights {
 public:
  AdapterWeights(const ModelConfig& config, const AdapterSettings& settings, AdapterUse use);
  // The memory of training with `rows` rows at once.
  static MemoryPlan plan(const ModelConfig& config, const AdapterSettings& settings, int64_t rows);

  // Takes the current values of A and B.
  void repack(const ParameterSet& values, Device& device);

  // Off: forward() adds nothing.
  void set_enabled(bool enabled) { enabled_ = enabled; }

  // Whether elements of a product's input are dropped, and which: a function of this key, of the
  // place and of the element's row and column. Recomputed blocks so drop the same ones.
  void set_dropout(std::optional<uint64_t> key) { dropout_key_ = key; }

  // y (rows, out) += scale * drop(x) A^T B^T. x is (rows, in). A row's result does not depend on
  // the others.
  void forward(const AdapterPlace& place, const float* x, int64_t rows, float* y, int64_t y_stride,
               Device& device);
  // The same of some rows of x and y alone, in ascending order.
  void forward(const AdapterPlace& place, std::span<const int64_t> rows, const float* x, float* y,
               int64_t y_stride, Device& device);
  // Which A and B a loop uses: loops of the same number share them.
  int64_t copy_of(int64_t loop) const {
    return std::min(loop, static_cast<int64_t>(copies_.size()) - 1);
  }
  // From dy, the gradient of y: adds to the gradients of A and B, and to dx (rows, in).
  void backward(const AdapterPlace& place, const float* x, int64_t rows, const float* dy,
                int64_t dy_stride, float* dx, ParameterSet& gradients, Device& device);

 private:
  struct Matrix {
    std::string down_name, up_name;  // empty: this matrix has no adapter
    int64_t in = 0, out = 0;
    PackedMatrix down;           // terms in, columns rank
    PackedMatrix up;             // terms rank, columns out
    PackedMatrix down_backward;  // terms rank, columns in
    PackedMatrix up_backward;    // terms out, columns rank
  };
  using Layer = std::array<Matrix, 7>;

  Matrix& at(const AdapterPlace& place);
  bool drops() const { return dropout_key_.has_value() && settings_.dropout > 0; }
  void drop(const AdapterPlace& place, const float* x, int64_t count, float* out,
            Device& device) const;
  // drop(x), which is x itself where nothing is dropped.
  const float* input(const AdapterPlace& place, const float* x, int64_t rows, Device& device);
  // hidden_ = scale * input A^T
  void project_down(const Matrix& m, const float* input, int64_t rows, Device& device);

  AdapterSettings settings_;
  AdapterUse use_;
  std::vector<std::vector<Layer>> copies_;  // one, or one for each loop
  bool enabled_ = true;
  std::optional<uint64_t> dropout_key_;
  Buffer<float> hidden_;           // (rows, rank)
  Buffer<float> hidden_gradient_;  // (rows, rank)
  Buffer<float> dropped_;          // (rows, widest in), with dropout
  Buffer<float> input_gradient_;   // (rows, widest in), with dropout
  Buffer<float> some_inputs_;      // (rows, in), of rows that do not stand side by side
  Buffer<float> some_outputs_;     // (rows, out)
};

// Which rows of a pass have which adapter, if any.
class AdaptedRows {
 public:
  void clear();
  bool empty() const { return groups_.empty(); }  // none has
  // The next row.
  void add(AdapterWeights* adapter, int64_t loop);
  // To each row of y its adapter's product of that row of x.
  void forward(int64_t layer, AdaptedMatrix matrix, const float* x, float* y, int64_t y_stride,
               Device& device) const;

 private:
  // Rows with the same A and B.
  struct Group {
    AdapterWeights* adapter;
    int64_t copy;
    std::vector<int64_t> rows;
  };
  int64_t rows_ = 0;
  std::vector<Group> groups_;
};

}  // namespace looplm

#endif  // LOOPLM_MODEL_ADAPTER_WEIGHTS_H_
