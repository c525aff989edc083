// What each stack of a block's matrices is kept in. Matrices that are multiplied by the same rows
// are one stack (weights.h), and a stack has one format.
#ifndef LOOPLM_MODEL_BLOCK_QUANTS_H_
#define LOOPLM_MODEL_BLOCK_QUANTS_H_

#include <string_view>

#include "kernels/quantized.h"

namespace looplm {

struct BlockQuants {
  Quant qkv = Quant::kNone;
  Quant output = Quant::kNone;
  Quant gate_up = Quant::kNone;
  Quant down = Quant::kNone;

  static constexpr BlockQuants all(Quant quant) { return {quant, quant, quant, quant}; }
  friend bool operator==(const BlockQuants&, const BlockQuants&) = default;
};

// The stack that a projection, such as "model.layers.0.mlp.down_proj.weight", belongs to.
inline Quant BlockQuants::*stack_of(std::string_view projection) {
  if (projection.ends_with("down_proj.weight")) return &BlockQuants::down;
  if (projection.ends_with("o_proj.weight")) return &BlockQuants::output;
  const bool mlp =
      projection.ends_with("gate_proj.weight") || projection.ends_with("up_proj.weight");
  return mlp ? &BlockQuants::gate_up : &BlockQuants::qkv;
}

}  // namespace looplm

#endif  // LOOPLM_MODEL_BLOCK_QUANTS_H_
