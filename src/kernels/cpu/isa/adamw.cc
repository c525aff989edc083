// AdamW on a range of parameters, and the function that puts an instruction set's table together.
#include "kernels/cpu/isa/isa_kernels.h"
#include "kernels/cpu/isa/vec.h"

#define LOOPLM_STRINGIFY_INNER(x) #x
#define LOOPLM_STRINGIFY(x) LOOPLM_STRINGIFY_INNER(x)

namespace looplm::cpu::LOOPLM_ISA_NAMESPACE {
namespace {

// Decoupled weight decay (Loshchilov and Hutter, 2019), in PyTorch's order of operations:
//   p <- p (1 - lr wd);  m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2
//   p <- p - lr / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + eps)
void adamw(const AdamWArgs& a) {
  const V decay = set1(1.0f - a.learning_rate * a.weight_decay);
  const V step = set1(-a.learning_rate / a.bias_correction1);
  const V root = set1(a.bias_correction2_root);
  for_vectors(a.count, [&](int64_t i, int64_t lanes) {
    const V g = load_some(a.gradient + i, lanes) * set1(a.gradient_scale);
    const V m = fma(g - load_some(a.first_moment + i, lanes), set1(a.one_minus_beta1),
                    load_some(a.first_moment + i, lanes));
    const V v =
        fma(g * g, set1(a.one_minus_beta2), load_some(a.second_moment + i, lanes) * set1(a.beta2));
    const V denominator = square_root(v) / root + set1(a.epsilon);
    const V p = load_some(a.parameter + i, lanes) * decay;
    store_some(a.first_moment + i, m, lanes);
    store_some(a.second_moment + i, v, lanes);
    store_some(a.parameter + i, fma(step, m / denominator, p), lanes);
  });
}

}  // namespace

void add_optimizer_kernels(KernelTable& table) { table.adamw = adamw; }

const KernelTable& table() {
  static const KernelTable kTable = [] {
    KernelTable t;
    t.isa = Isa::LOOPLM_ISA_ENUM;
    t.name = LOOPLM_STRINGIFY(LOOPLM_ISA_NAMESPACE);
    add_tile_kernels(t);
    add_row_kernels(t);
    add_softmax_kernels(t);
    add_segment_kernels(t);
    add_sampling_kernels(t);
    add_prepare_kernels(t);
    add_layout_kernels(t);
    add_quant_kernels(t);
    add_quant_blocks(t);
    add_fit_kernels(t);
    add_optimizer_kernels(t);
    add_peak_loops(t);
    return t;
  }();
  return kTable;
}

}  // namespace looplm::cpu::LOOPLM_ISA_NAMESPACE
