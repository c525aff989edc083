// What a model says about the tokens of a shard, as the teacher of another one.
#ifndef LOOPLM_EVAL_TEACH_H_
#define LOOPLM_EVAL_TEACH_H_

#include <cstdint>

#include "looplm/model.h"
#include "looplm/status.h"

#include "train/token_shard.h"

namespace looplm {

// Writes the teacher file beside the shard: of each target the `top` most likely tokens after the
// model's last loop. A document longer than the model's positions is read in stretches that overlap
// by half. Fails where the model's vocabulary is another one, naming both, and on a shard of
// preference pairs.
Status teach_shard(const TokenShard& shard, Model& model, int64_t top);

}  // namespace looplm

#endif  // LOOPLM_EVAL_TEACH_H_
