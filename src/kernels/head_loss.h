// The read-out's loss on a chunk of rows: logits = states head^T, then cross-entropy.
//
// Logits of a whole batch would be the largest tensor of training (tokens x loops x vocabulary), so
// callers walk over tokens in chunks: forward, look at the losses, backward, next chunk. The logits
// of a chunk live in a workspace between the two calls.
#ifndef LOOPLM_KERNELS_HEAD_LOSS_H_
#define LOOPLM_KERNELS_HEAD_LOSS_H_

#include <cstdint>
#include <span>

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

// What is known of a distribution: its most likely ids, each once, and their log-probabilities,
// nats.
struct TopTokens {
  std::span<const uint32_t> ids;
  std::span<const float> log_probabilities;
};

// Distributions that the rows of a chunk shall come near: row r has teacher r % teachers.
struct TeacherParams {
  const float* probabilities = nullptr;  // (teachers, vocabulary), each row sums to 1
  const double* entropy = nullptr;       // (teachers), nats
  int64_t teachers = 0;
  // In place of the two above. All ids that a teacher does not name are one outcome to it: a
  // divergence is that of its k + 1 probabilities.
  const TopTokens* top = nullptr;     // (teachers)
  double* unnamed_log_sum = nullptr;  // (rows), workspace: log sum exp of the unnamed ids' logits
};
// out (rows, vocabulary) = softmax(logits); the summaries are those of the logits.
void softmax_rows(const float* logits, const LogitSummary* summary, int64_t rows,
                  int64_t vocabulary, float* out, Device& device);
// divergence (rows) = KL(teacher || softmax(logits)), nats, after head_loss_forward and before
// head_loss_backward.
void teacher_divergence(const HeadLossParams& forward, const TeacherParams& teacher,
                        float* divergence, Device& device);

struct HeadLossBackwardParams {
  HeadLossParams forward;        // after head_loss_forward; its logits are overwritten
  const float* scale = nullptr;  // (rows): d loss / d nll
  // pack_columns of the head: terms = vocabulary, columns = width; null for a widened head.
  const PackedMatrix* head_columns = nullptr;
  float* dstates = nullptr;        // (rows, width), overwritten
  float* head_gradient = nullptr;  // (vocabulary, width) +=; null when the head is frozen
  // (rows): d loss / d divergence from the teacher; null where there is none.
  const float* divergence_scale = nullptr;
  TeacherParams teacher{};
};
void head_loss_backward(const HeadLossBackwardParams& params, Device& device);

// Rows whose logits fill about 32 MiB: enough rows that the head's gradient is not written too
// often, few enough to stay near the caches.
int64_t head_loss_chunk_rows(int64_t vocabulary);

}  // namespace looplm

#endif  // LOOPLM_KERNELS_HEAD_LOSS_H_
