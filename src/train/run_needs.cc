#include "train/run_needs.h"

#include <functional>
#include <memory>

namespace looplm {
namespace {

// More is of no use to anybody.
constexpr int64_t kMostSequences = 1 << 16;

// Arithmetic of one row's forward pass: two operations per weight of a matrix product; attention
// counts the average length it sees.
double forward_flops_per_row(const ModelConfig& c, int64_t loops, int64_t head_loops,
                             double mean_context) {
  const auto e = static_cast<double>(c.hidden_size);
  const auto q = static_cast<double>(c.query_size());
  const auto kv = static_cast<double>(c.kv_size());
  const auto f = static_cast<double>(c.intermediate_size);
  const double block = e * (q + 2 * kv) + q * e + 3 * e * f + 2 * q * mean_context;
  const double head = e * static_cast<double>(c.vocab_size);
  return 2 *
         (static_cast<double>(loops * c.layers) * block + static_cast<double>(head_loops) * head);
}

// The largest batch.sequences that fits; 0: none.
int64_t most_sequences(uint64_t usable, const std::function<uint64_t(int64_t)>& bytes) {
  int64_t fits = 0, too_many = kMostSequences + 1;
  while (too_many - fits > 1) {
    const int64_t middle = fits + (too_many - fits) / 2;
    (bytes(middle) <= usable ? fits : too_many) = middle;
  }
  return fits;
}

}  // namespace

int64_t run_loops(const RunConfig& run, const ModelConfig& model) {
  return run.objective.loops == 0 ? model.loops : run.objective.loops;
}

AdapterSettings run_adapter(const RunConfig& run, const ModelConfig& model) {
  AdapterSettings settings = run.lora;
  if (settings.per_loop) settings.loops = run_loops(run, model);
  return settings;
}

TrunkShape trunk_shape(const RunConfig& run, const ModelConfig& model, bool backward) {
  return {.rows = run.batch.sequences * run.data.sequence_length,
          .loops = run_loops(run, model),
          .max_document = run.data.sequence_length,
          .policy = run.compute.memory,
          .backward = backward,
          .backward_loops = run.objective.backprop_loops,
          .operands = backward && !run.lora.any() ? run.compute.dtype : DType::kF32,
          .attention =
              run.compute.attention == AttentionProducts::kF32 ? DType::kF32 : run.compute.dtype,
          .frozen = run.lora.any()};
}

int64_t count_of(const std::vector<ParameterSpec>& specs) {
  int64_t count = 0;
  for (const ParameterSpec& spec : specs) count += spec.count();
  return count;
}

bool trains_matrices(const RunConfig& run, const Objective& objective) {
  return objective.trains_trunk() && !run.lora.any();
}

std::vector<ParameterSpec> trained_parameters(const RunConfig& run, const ModelConfig& model,
                                              const Objective& objective) {
  if (run.lora.any()) return adapter_specs(model, run_adapter(run, model));
  if (objective.trains_guesses()) return guess_specs(model);
  std::vector<ParameterSpec> specs = parameter_specs(model);
  std::erase_if(specs, [&](const ParameterSpec& spec) {
    return is_gate(spec) ? !objective.trains_gate() : !objective.trains_trunk();
  });
  return specs;
}

MatrixFormat run_format(const RunConfig& run, const Objective& objective,
                        const MatrixFormat& stored) {
  if (trains_matrices(run, objective)) return float_format(run.compute.dtype);
  MatrixFormat format = stored;
  if (run.compute.frozen == FrozenMatrices::kInt8) format = quantized_format(Quant::kInt8);
  if (run.compute.frozen == FrozenMatrices::kInt4) format = quantized_format(Quant::kInt4);
  format.dtype = run.compute.dtype;
  format.widened = true;
  return format;
}

MemoryPlan training_memory(const RunConfig& run, const ModelConfig& model,
                           const MatrixFormat& stored, int threads) {
  const std::unique_ptr<Objective> objective = make_objective(run.objective, run_loops(run, model));
  const std::vector<ParameterSpec> trained = trained_parameters(run, model, *objective);
  const auto set = static_cast<uint64_t>(count_of(trained)) * sizeof(float);
  MemoryPlan plan;
  plan.add("trained parameters", set, "fp32");
  plan.add("gradients", set, "fp32");
  plan.add("optimiser moments", 2 * set, "fp32");
  if (!trains_matrices(run, *objective)) {
    uint64_t vectors = 0;
    for (const ParameterSpec& spec : parameter_specs(model)) {
      const bool gate = is_gate(spec) && (run.lora.any() || !objective->trains_gate());
      if (spec.role == ParameterRole::kNorm || gate) vectors += static_cast<uint64_t>(spec.count());
    }
    const auto table = static_cast<uint64_t>(model.vocab_size * model.hidden_size);
    plan.add("frozen vectors", vectors * sizeof(float), "fp32");
    const DType kept = model.dtype == "bfloat16" ? DType::kBf16 : DType::kF32;
    plan.add("frozen embedding", table * dtype_size(kept), dtype_word(kept));
  }
  const MatrixFormat format = run_format(run, *objective, stored);
  const uint64_t forward = ModelWeights::planned_packed_bytes(model, format);
  uint64_t backward = 0;
  if (objective->trains_trunk()) backward = BackwardWeights::planned_bytes(model, format);
  if (objective->trains_guesses()) backward = BackwardWeights::planned_head_bytes(model, format);
  plan.add("packed weights", forward + backward,
           objective->trains_guesses() ? "forward, and the head both ways"
           : backward > 0              ? "forward and backward"
           : objective->trains_trunk() ? "both ways"
                                       : "forward");
  if (objective->trains_guesses()) {
    plan.add("packed guess maps", GuessMaps::planned_bytes(model, run.compute.dtype));
  }
  if (objective->pairs() != nullptr && !run.lora.any()) {
    plan.add("reference model", ModelWeights::bytes(model, format, DType::kF32), "frozen");
  }
  if (format.blocks != BlockQuants{} || format.head != Quant::kNone) {
    plan.add("widened weights", kWidenedBytes, "some of a matrix at a time");
  }
  const auto add = [&plan](const MemoryPlan& part) {
    for (const MemoryItem& item : part.items()) plan.add(item.name, item.bytes, item.note);
  };
  const TrunkShape shape = trunk_shape(run, model, objective->trains_trunk());
  if (run.lora.any()) add(AdapterWeights::plan(model, run_adapter(run, model), shape.rows));
  add(BatchPass::plan(model, shape, *objective, threads));
  // A step reads all of its tokens before it begins.
  const auto tokens = static_cast<uint64_t>(run.batch.accumulate * shape.rows);
  plan.add("tokens of a step", tokens * 2 * sizeof(int32_t), "ids and targets");
  if (objective->teacher() == Teacher::kFile) {
    plan.add("the teacher's words", tokens * sizeof(TopTokens),
             "and the pages of its file that were read");
  }
  return plan;
}

std::vector<TrainPlan::Choice> memory_choices(const RunConfig& run, const ModelConfig& model,
                                              const MatrixFormat& stored, int threads,
                                              uint64_t usable) {
  std::vector<TrainPlan::Choice> choices;
  for (const auto& [policy, name] : kMemoryPolicyNames) {
    RunConfig other = run;
    other.compute.memory = policy;
    const auto bytes = [&](int64_t sequences) {
      other.batch.sequences = sequences;
      return training_memory(other, model, stored, threads).total();
    };
    choices.push_back({.memory = name,
                       .chosen = policy == run.compute.memory,
                       .bytes = bytes(run.batch.sequences),
                       .most_sequences = most_sequences(usable, bytes)});
  }
  return choices;
}

double step_flops(const RunConfig& run, const ModelConfig& model,
                  const std::vector<Batch>& batches) {
  double rows = 0, squares = 0;  // of document lengths
  for (const Batch& batch : batches) {
    rows += static_cast<double>(batch.rows());
    for (size_t d = 0; d + 1 < batch.document_starts.size(); ++d) {
      const auto length =
          static_cast<double>(batch.document_starts[d + 1] - batch.document_starts[d]);
      squares += length * length;
    }
  }
  const int64_t loops = run_loops(run, model);
  const std::unique_ptr<Objective> objective = make_objective(run.objective, loops);
  // Backward costs two forwards, or the inputs' half of that where the weights are frozen.
  const double passes = trains_matrices(run, *objective) ? 3 : objective->trains_trunk() ? 2 : 1;
  return passes * rows *
         forward_flops_per_row(model, loops, loops - objective->first_loop(loops),
                               squares / rows / 2);
}

}  // namespace looplm
