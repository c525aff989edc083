// The read-out's loss on a chunk of rows: logits = states head^T, then cross-entropy.
//
// Logits of a whole batch would be the largest tensor of training (tokens x loops x vocabulary), so
// callers walk over tokens in chunks: forward, look at the losses, backward, next chunk. The logits
// of a chunk live in a workspace between the two calls.
#ifndef LOOPLM_KERNELS_HEAD_LOSS_H_
#define LOOPLM_KERNELS_HEAD_LOSS_H_

#include "kernels/kernels.h"

namespace looplm {

struct HeadLossParams {
  const float* states = nullptr;  // (rows, width)
  int64_t rows = 0;
  int64_t width = 0;
  const PackedMatrix* head = nullptr;  // pack_rows of the head: terms = width, columns = vocabulary
  const int32_t* targets = nullptr;    // (rows); kIgnoredTarget gives nll 0
  float* logits = nullptr;             // (rows, vocabulary): workspace, kept for the backward pass
  float* nll = nullptr;                // (rows), nats
  LogitSummary* summary = nullptr;     // (rows)
};
void head_loss_forward(const HeadLossParams& params, Device& device);

struct HeadLossBackwardParams {
  HeadLossParams forward;        // after head_loss_forward; its logits are overwritten
  const float* scale = nullptr;  // (rows): d loss / d nll
  // pack_columns of the head: terms = vocabulary, columns = width; null for a widened head.
  const PackedMatrix* head_columns = nullptr;
  float* dstates = nullptr;        // (rows, width), overwritten
  float* head_gradient = nullptr;  // (vocabulary, width) +=; null when the head is frozen
};
void head_loss_backward(const HeadLossBackwardParams& params, Device& device);

// Rows whose logits fill about 32 MiB: enough rows that the head's gradient is not written too
// often, few enough to stay near the caches.
int64_t head_loss_chunk_rows(int64_t vocabulary);

}  // namespace looplm

#endif  // LOOPLM_KERNELS_HEAD_LOSS_H_
