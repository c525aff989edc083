// Every key of a run file, once, with its field and range: the reader, the writer and the
// comparison of two runs walk this list.
#ifndef LOOPLM_TRAIN_RUN_CONFIG_KEYS_H_
#define LOOPLM_TRAIN_RUN_CONFIG_KEYS_H_

#include "base/named.h"
#include "train/run_config.h"

namespace looplm {

inline constexpr int64_t kMostSteps = int64_t{1} << 40;
inline constexpr int64_t kMostStepTokens = int64_t{1} << 32;
inline constexpr double kHuge = 1e30;

inline constexpr NameTable<NormPlacement, 2> kNormPlacementNames = {
    {{NormPlacement::kSandwich, "sandwich"}, {NormPlacement::kPre, "pre"}}};
inline constexpr NameTable<DType, 2> kComputeTypeNames = {
    {{DType::kF32, "f32"}, {DType::kBf16, "bf16"}}};

template <typename Walker, typename Config>
void walk_model_shape(Walker& w, Config& c) {
  w.value("type", c.model_type);
  w.value("vocab_size", c.vocab_size, 1, kMaxVocabSize);
  w.value("hidden_size", c.hidden_size, 1, kMaxHiddenSize);
  w.value("layers", c.layers, 1, kMaxLayers);
  w.value("heads", c.heads, 1, kMaxHeads);
  w.derived("kv_heads", c.kv_heads, 1, kMaxHeads);
  w.derived("head_dim", c.head_dim, 2, kMaxHeadDim);
  w.value("intermediate_size", c.intermediate_size, 1, kMaxIntermediateSize);
  w.derived("max_positions", c.max_positions, 1, kMaxPositions);
  w.value("rope_theta", c.rope_theta, 1, kHuge);
  w.value("rms_norm_eps", c.rms_norm_eps, 0, 1);
  w.value("initializer_range", c.initializer_range, 0, 10);
  w.value("embedding_initializer_range", c.embedding_initializer_range, 0, 10);
  w.value("tie_embeddings", c.tie_embeddings);
  w.value("loops", c.loops, 1, kMaxLoops);
  w.name("norm_placement", c.norm_placement, kNormPlacementNames);
  w.value("norm_between_loops", c.norm_between_loops);
  w.value("exit_gate", c.exit_gate);
  w.value("early_exit_threshold", c.early_exit_threshold, 0, 1000);
  w.value("eos_token_id", c.eos_token_ids, 0, kMaxVocabSize);
  w.value("bos_token_id", c.bos_token_id, -1, kMaxVocabSize);
  w.value("pad_token_id", c.pad_token_id, -1, kMaxVocabSize);
}

template <typename Walker, typename Settings>
void walk_adapter(Walker& w, Settings& s) {
  w.value("rank", s.rank, 1, kMaxAdapterRank);
  w.value("alpha", s.alpha, 1e-6, kMaxAdapterAlpha);
  w.value("rslora", s.rslora);
  w.value("dropout", s.dropout, 0, 1 - 1e-6);
  w.value("targets", s.targets);
  w.value("per_loop", s.per_loop);
}

template <typename Walker, typename Config>
void walk_run_config(Walker& w, Config& c) {
  w.table("model");
  w.value("from", c.model.from);
  w.value("tokenizer", c.model.tokenizer);
  w.value("seed", c.model.seed);
  w.shape(c.model);  // of a fresh model

  w.table("lora");
  w.adapter(c.lora);  // where the file has the table

  w.table("data");
  w.sources("train", c.data.train);
  w.value("validation", c.data.validation);
  w.value("sequence_length", c.data.sequence_length, 1, kMaxPositions);
  w.value("split_documents", c.data.split_documents);
  w.name("long_documents", c.data.long_documents, kLongDocumentsNames);
  w.value("shuffle", c.data.shuffle);

  w.table("batch");
  w.value("sequences", c.batch.sequences, 1, kMostSteps);
  w.value("accumulate", c.batch.accumulate, 1, kMostSteps);

  w.table("objective");
  w.name("kind", c.objective.kind, kObjectiveNames);
  // 0: the model's, which a file says by leaving the key out.
  w.derived("loops", c.objective.loops, 1, kMaxLoops);
  w.value("beta", c.objective.beta, 0, kHuge);
  w.name("prior", c.objective.prior.kind, kExitPriorNames);
  w.value("geometric_parameter", c.objective.prior.parameter, 1e-6, 1 - 1e-6);
  w.value("poisson_mean", c.objective.prior.mean, 1e-6, 1e6);
  w.value("poisson_sigma", c.objective.prior.sigma, 0, 10);
  w.value("k", c.objective.stage_two.k, 0, kHuge);
  w.value("gamma", c.objective.stage_two.gamma, 0, kHuge);
  w.value("forward_looking", c.objective.stage_two.forward_looking);
  w.name("teacher", c.objective.teacher, kTeacherNames);
  w.value("distil_weight", c.objective.distil_weight, 0, kHuge);
  w.value("backprop_loops", c.objective.backprop_loops, 0, kMaxLoops);

  w.table("optimizer");
  w.value("learning_rate", c.schedule.peak, 1e-12, 1e3);
  w.value("beta1", c.optimizer.beta1, 0, 1 - 1e-9);
  w.value("beta2", c.optimizer.beta2, 0, 1 - 1e-9);
  w.value("epsilon", c.optimizer.epsilon, 1e-30, 1);
  w.value("weight_decay", c.optimizer.weight_decay, 0, 1e3);
  w.value("clip", c.optimizer.clip, 0, kHuge);

  w.table("schedule");
  w.name("kind", c.schedule.kind, kScheduleNames);
  w.value("warmup", c.schedule.warmup_steps, 0, kMostSteps);
  w.value("decay", c.schedule.decay_steps, 0, kMostSteps);
  w.value("final_learning_rate", c.schedule.final, 0, 1e3);

  w.table("run");
  w.value("out", c.run.out);
  w.value("steps", c.run.steps, 1, kMostSteps);
  w.value("seed", c.run.seed);
  w.value("log_every", c.run.log_every, 1, kMostSteps);
  w.value("validate_every", c.run.validate_every, 0, kMostSteps);
  w.value("validate_batches", c.run.validate_batches, 0, kMostSteps);
  w.value("checkpoint_every", c.run.checkpoint_every, 0, kMostSteps);
  w.value("keep", c.run.keep, 1, 1000000);
  w.value("keep_best", c.run.keep_best);
  w.value("patience", c.run.patience, 0, kMostSteps);

  w.table("compute");
  w.name("dtype", c.compute.dtype, kComputeTypeNames);
  w.name("attention", c.compute.attention, kAttentionProductsNames);
  w.name("frozen", c.compute.frozen, kFrozenMatricesNames);
  w.name("memory", c.compute.memory, kMemoryPolicyNames);
  w.value("threads", c.compute.threads, 0, 1024);
  w.name("save_dtype", c.compute.save_dtype, kComputeTypeNames);
}

}  // namespace looplm

#endif  // LOOPLM_TRAIN_RUN_CONFIG_KEYS_H_
