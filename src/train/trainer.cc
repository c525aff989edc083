// The training run: set-up, steps, validation, checkpoints.
#include <cmath>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>

#include <fmt/format.h>

#include "looplm/train.h"

#include "base/check.h"
#include "base/cpu.h"
#include "base/timer.h"
#include "kernels/peaks.h"
#include "model/checkpoint.h"
#include "model/initialize.h"
#include "train/batch.h"
#include "train/data_loader.h"
#include "train/optimizer.h"
#include "train/run_config.h"
#include "train/train_log.h"
#include "train/train_state.h"

namespace looplm {
namespace {

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

class Run {
 public:
  static Result<std::unique_ptr<Run>> create(const TrainOptions& options, TrainObserver& observer);
  Status execute();

 private:
  Run(RunConfig config, const TrainOptions& options, TrainObserver& observer)
      : config_(std::move(config)), options_(options), observer_(observer) {}

  Status load_model();
  Status load_data();
  Status prepare_directory();
  Status check_resumable(const TrainState& state, const std::string& directory);
  Status check_same_data(const TrainState& state, const std::string& directory) const;
  void allocate();
  MemoryPlan memory_plan() const;
  void announce();
  Result<StepReport> run_step();
  Status validate_now();
  Result<ValidationReport> validate_on(const TokenDataset& validation);
  Status save();
  void remove_old_checkpoints() const;
  Status finish();
  bool stopped() const { return options_.stop != nullptr && options_.stop->load(); }
  TrunkShape shape() const;
  // A directory or a GGUF file.
  const std::string& tokenizer_from() const {
    return config_.model.tokenizer.empty() ? config_.model.from : config_.model.tokenizer;
  }

  RunConfig config_;
  const TrainOptions& options_;
  TrainObserver& observer_;
  std::unique_ptr<Device> device_;
  ModelConfig model_;
  int64_t loops_ = 0;
  std::unique_ptr<Objective> objective_;
  std::optional<ParameterSet> parameters_;
  std::optional<ParameterSet> gradients_;
  std::optional<Optimizer> optimizer_;
  std::optional<ModelWeights> weights_;
  std::optional<BackwardWeights> backward_weights_;
  std::optional<BatchPass> pass_;
  std::optional<DataLoader> loader_;
  std::vector<TokenDataset> validation_;
  std::optional<TrainLog> log_;
  TrainState state_;
  std::vector<std::string> notes_;
  double peak_flops_ = 0;
  double seconds_ = 0;  // of the steps done in this process
  int64_t steps_timed_ = 0;
};

Result<std::unique_ptr<Run>> Run::create(const TrainOptions& options, TrainObserver& observer) {
  LOOPLM_ASSIGN_OR_RETURN(RunConfig config, read_run_config(options.run_file, options.overrides));
  std::unique_ptr<Run> run(new Run(std::move(config), options, observer));
  const int threads = options.threads != 0 ? options.threads : run->config_.compute.threads;
  LOOPLM_ASSIGN_OR_RETURN(run->device_, Device::create(threads));
  LOOPLM_RETURN_IF_ERROR(run->load_model());
  LOOPLM_RETURN_IF_ERROR(run->load_data());
  LOOPLM_RETURN_IF_ERROR(run->prepare_directory());
  run->allocate();
  return run;
}

Status Run::load_model() {
  std::optional<Checkpoint> checkpoint;
  if (config_.model.from.empty()) {
    model_ = config_.model.config;
  } else {
    LOOPLM_ASSIGN_OR_RETURN(checkpoint,
                            open_checkpoint(config_.model.from, {.pool = &device_->pool()}));
    LOOPLM_RETURN_IF_ERROR(check_finite(*checkpoint, device_->pool()));
    model_ = checkpoint->config;
  }
  loops_ = config_.objective.loops == 0 ? model_.loops : config_.objective.loops;
  objective_ = make_objective(config_.objective, loops_);
  if (objective_->needs_gate() && !model_.exit_gate) {
    return unsupported(fmt::format(
        "objective.kind is {}, which needs an exit gate; the model has none", objective_->name()));
  }
  if (config_.data.sequence_length > model_.max_positions) {
    return invalid_argument(fmt::format("data.sequence_length is {}; the model has {} positions",
                                        config_.data.sequence_length, model_.max_positions));
  }
  parameters_.emplace(model_);
  const ParameterFill fill =
      checkpoint ? checkpoint_fill(*checkpoint) : initial_fill(model_, config_.model.seed);
  for (size_t i = 0; i < parameters_->specs().size(); ++i) {
    fill(static_cast<int64_t>(i), 0,
         {parameters_->data() + parameters_->offset(i),
          static_cast<size_t>(parameters_->specs()[i].count())});
  }
  optimizer_.emplace(model_, config_.optimizer, !objective_->trains_trunk());
  return {};
}

Status Run::load_data() {
  std::vector<DataLoader::Source> sources;
  if (!options_.streams.empty() && !config_.data.train.empty()) {
    return invalid_argument("data.train is given, and document streams too; expected one of them");
  }
  if (options_.streams.empty() && config_.data.train.empty()) {
    return invalid_argument("data.train is missing");
  }
  for (const auto& stream : options_.streams) {
    if (stream->vocab_size() > model_.vocab_size) {
      return invalid_argument(
          fmt::format("a document stream has a vocabulary of {}; the model has {}",
                      stream->vocab_size(), model_.vocab_size));
    }
    state_.data_hashes.push_back(stream->hash());
    sources.push_back({{}, stream, 1});
  }
  for (const RunConfig::DataSource& source : config_.data.train) {
    LOOPLM_ASSIGN_OR_RETURN(TokenDataset dataset, TokenDataset::open(source.path));
    if (dataset.vocab_size() > model_.vocab_size) {
      return invalid_argument(fmt::format("'{}' is made with a vocabulary of {}; the model has {}",
                                          source.path, dataset.vocab_size(), model_.vocab_size));
    }
    state_.data_hashes.push_back(dataset.hash());
    sources.push_back({std::move(dataset), {}, source.weight});
  }
  LoaderOptions options;
  options.sequence_length = config_.data.sequence_length;
  options.sequences = config_.batch.sequences;
  options.seed = config_.run.seed;
  options.split_documents = config_.data.split_documents;
  LOOPLM_ASSIGN_OR_RETURN(loader_, DataLoader::create(std::move(sources), options));
  for (const std::string& path : config_.data.validation) {
    LOOPLM_ASSIGN_OR_RETURN(TokenDataset dataset, TokenDataset::open(path));
    if (dataset.vocab_size() > model_.vocab_size) {
      return invalid_argument(fmt::format("'{}' is made with a vocabulary of {}; the model has {}",
                                          path, dataset.vocab_size(), model_.vocab_size));
    }
    validation_.push_back(std::move(dataset));
  }
  return {};
}

Status Run::prepare_directory() {
  LOOPLM_RETURN_IF_ERROR(make_directories(config_.run.out));
  const std::vector<int64_t> saved = list_train_checkpoints(config_.run.out);
  if (!options_.resume) {
    if (!saved.empty()) {
      return invalid_argument(
          fmt::format("'{}' already holds a run at step {}; pass --resume to go on with it, or "
                      "choose another run.out",
                      config_.run.out, saved.back()));
    }
  } else if (!saved.empty()) {
    const std::string directory = train_checkpoint_path(config_.run.out, saved.back());
    LOOPLM_ASSIGN_OR_RETURN(TrainState state, read_train_state(directory));
    LOOPLM_RETURN_IF_ERROR(check_resumable(state, directory));
    LOOPLM_RETURN_IF_ERROR(load_train_checkpoint(directory, model_, *parameters_, *optimizer_));
    optimizer_->set_steps(state.optimizer_steps);
    LOOPLM_RETURN_IF_ERROR(loader_->restore(state.loader));
    state_ = std::move(state);
  }
  state_.run = config_;
  LOOPLM_ASSIGN_OR_RETURN(log_, TrainLog::open(config_.run.out + "/log.jsonl", state_.step));
  return {};
}

Status Run::check_same_data(const TrainState& state, const std::string& directory) const {
  const std::vector<DataLoader::Source>& sources = loader_->sources();
  if (state.data_hashes.size() != sources.size()) {
    return invalid_argument(fmt::format("data.train has {} sources; '{}' was made with {}",
                                        sources.size(), directory, state.data_hashes.size()));
  }
  for (size_t i = 0; i < sources.size(); ++i) {
    if (state.data_hashes[i] == state_.data_hashes[i]) continue;
    return invalid_argument(fmt::format(
        "data.train: {} has other contents (hash {:016x}) than when '{}' was saved ({:016x})",
        sources[i].name(), state_.data_hashes[i], directory, state.data_hashes[i]));
  }
  return {};
}

// Whether this run may go on from a saved state.
Status Run::check_resumable(const TrainState& state, const std::string& directory) {
  const std::vector<RunKeyDifference> differences = run_differences(state.run, config_);
  if (!differences.empty()) {
    const auto shown = [](const std::string& value) { return value.empty() ? "not set" : value; };
    std::string text = fmt::format("'{}' was saved by a run with other settings:", directory);
    for (const RunKeyDifference& d : differences) {
      text += fmt::format("\n  {} is {}; the checkpoint was made with {}", d.key, shown(d.now),
                          shown(d.before));
    }
    return invalid_argument(text);
  }
  LOOPLM_RETURN_IF_ERROR(check_same_data(state, directory));
  const int64_t steps = config_.run.steps, before = state.run.run.steps;
  if (steps < state.step) {
    return invalid_argument(fmt::format("run.steps is {}; '{}' has done {} steps already", steps,
                                        directory, state.step));
  }
  if (steps != before && config_.schedule.looks_ahead()) {
    notes_.push_back(fmt::format(
        "run.steps is {}; the checkpoint was made with {}: schedule.kind {} now ends at step {}, "
        "and the learning rate goes from {:.3g} to {:.3g} with the next step",
        steps, before, name_of(kScheduleNames, config_.schedule.kind), steps,
        config_.schedule.at(state.step, before), config_.schedule.at(state.step + 1, steps)));
  }
  return {};
}

TrunkShape Run::shape() const {
  TrunkShape shape;
  shape.rows = config_.batch.sequences * config_.data.sequence_length;
  shape.loops = loops_;
  shape.max_document = config_.data.sequence_length;
  shape.policy = config_.compute.memory;
  shape.backward = objective_->trains_trunk();
  return shape;
}

void Run::allocate() {
  gradients_.emplace(model_);
  weights_ = ModelWeights::for_training(*parameters_, model_, config_.compute.dtype, *device_);
  if (objective_->trains_trunk()) backward_weights_.emplace(model_, config_.compute.dtype);
  pass_.emplace(model_, shape());
}

MemoryPlan Run::memory_plan() const {
  MemoryPlan plan;
  const uint64_t set = static_cast<uint64_t>(parameters_->size()) * sizeof(float);
  plan.add("parameters", set, "fp32");
  plan.add("gradients", set, "fp32");
  plan.add("optimiser moments", 2 * set, "fp32");
  const uint64_t copies = backward_weights_.has_value() ? 2 : 1;
  plan.add("packed weights", copies * weights_->packed_bytes(),
           copies == 2 ? "forward and backward" : "forward");
  const MemoryPlan pass = BatchPass::plan(model_, shape());
  for (const MemoryItem& item : pass.items()) plan.add(item.name, item.bytes, item.note);
  return plan;
}

void Run::announce() {
  PeakMeter meter(*device_, size_t{1} << 20);
  peak_flops_ = meter.measure_dots(config_.compute.dtype, 0.2);
  TrainStart start;
  start.parameters = parameters_->size();
  for (const ParameterSpec& spec : parameters_->specs()) {
    const bool gate =
        spec.role == ParameterRole::kGateWeight || spec.role == ParameterRole::kGateBias;
    if (objective_->trains_trunk() || gate) start.trained_parameters += spec.count();
  }
  start.first_step = state_.step + 1;
  start.steps = config_.run.steps;
  start.tokens_per_step = config_.batch.accumulate * loader_->rows();
  for (const DataLoader::Source& source : loader_->sources()) {
    if (source.dataset) start.data_tokens += source.dataset->tokens();
  }
  start.machine = fmt::format("{}, {} threads, {}", processor_name(), device_->pool().size(),
                              isa_name(device_->kernels().isa));
  start.peak_flops = peak_flops_;
  start.notes = notes_;
  const MemoryPlan plan = memory_plan();
  for (const MemoryItem& item : plan.items()) {
    start.memory.push_back({item.name, item.bytes, item.note});
  }
  observer_.on_start(start);
}

Result<StepReport> Run::run_step() {
  const Timer timer;
  std::vector<Batch> batches;
  int64_t targets = 0;
  double squares = 0;  // sum of squared document lengths: what attention costs
  for (int64_t i = 0; i < config_.batch.accumulate; ++i) {
    LOOPLM_ASSIGN_OR_RETURN(Batch batch, loader_->next());
    targets += batch.target_count();
    for (size_t d = 0; d + 1 < batch.document_starts.size(); ++d) {
      const auto n = static_cast<double>(batch.document_starts[d + 1] - batch.document_starts[d]);
      squares += n * n;
    }
    batches.push_back(std::move(batch));
  }
  std::fill(gradients_->values().begin(), gradients_->values().end(), 0.0f);
  weights_->repack(*parameters_, *device_);
  if (backward_weights_.has_value()) backward_weights_->repack(*parameters_, *device_);
  BatchMetrics metrics;
  const double scale = targets == 0 ? 0 : 1.0 / static_cast<double>(targets);
  for (const Batch& batch : batches) {
    metrics.add(pass_->train(*weights_, backward_weights_ ? &*backward_weights_ : nullptr, batch,
                             *objective_, scale, *gradients_, *device_));
  }
  StepReport report;
  report.step = state_.step + 1;
  report.steps = config_.run.steps;
  report.learning_rate = config_.schedule.at(report.step, config_.run.steps);
  report.gradient_norm =
      optimizer_->step(*parameters_, *gradients_, report.learning_rate, *device_);
  report.loss = metrics.loss * scale;
  for (size_t t = 0; t < metrics.nll.size(); ++t) {
    report.nll.push_back(static_cast<int64_t>(t) < metrics.first_loop
                             ? std::numeric_limits<double>::quiet_NaN()
                             : metrics.nll[t] * scale);
  }
  report.mean_exit = metrics.mean_exit();
  report.exit_entropy = metrics.exit_entropy * scale;
  report.seconds = timer.seconds();

  const auto rows = static_cast<double>(config_.batch.accumulate * loader_->rows());
  const double passes = objective_->trains_trunk() ? 3 : 1;  // backward costs two forwards
  const double flops =
      rows * forward_flops_per_row(model_, loops_, loops_ - metrics.first_loop, squares / rows / 2);
  report.tokens_per_second = rows / report.seconds;
  report.peak_share = passes * flops / report.seconds / peak_flops_;
  seconds_ += report.seconds;
  ++steps_timed_;
  report.seconds_left = seconds_ / static_cast<double>(steps_timed_) *
                        static_cast<double>(config_.run.steps - report.step);
  if (!std::isfinite(report.loss) || !std::isfinite(report.gradient_norm)) {
    return invalid_argument(fmt::format(
        "step {}: the loss is {} and the gradient norm {}; the run stops here, and its last "
        "checkpoint is untouched. A smaller learning rate or more warm-up usually helps",
        report.step, report.loss, report.gradient_norm));
  }
  state_.step = report.step;
  state_.optimizer_steps = optimizer_->steps();
  state_.loader = loader_->state();
  return report;
}

Status Run::validate_now() {
  if (!validation_.empty()) weights_->repack(*parameters_, *device_);
  for (size_t set = 0; set < validation_.size(); ++set) {
    LOOPLM_ASSIGN_OR_RETURN(ValidationReport report, validate_on(validation_[set]));
    report.set = static_cast<int64_t>(set);
    LOOPLM_RETURN_IF_ERROR(log_->write(report));
    observer_.on_validation(report);
  }
  return {};
}

Result<ValidationReport> Run::validate_on(const TokenDataset& validation) {
  LoaderOptions options;
  options.sequence_length = config_.data.sequence_length;
  options.sequences = config_.batch.sequences;
  options.split_documents = config_.data.split_documents;
  options.shuffle = false;
  options.one_epoch = true;
  // A view of the same files: opening is only mapping.
  LOOPLM_ASSIGN_OR_RETURN(TokenDataset dataset, TokenDataset::open(validation.path()));
  std::vector<DataLoader::Source> sources;
  sources.push_back({std::move(dataset), {}, 1});
  LOOPLM_ASSIGN_OR_RETURN(DataLoader loader, DataLoader::create(std::move(sources), options));
  BatchMetrics metrics;
  for (int64_t i = 0; config_.run.validate_batches == 0 || i < config_.run.validate_batches; ++i) {
    LOOPLM_ASSIGN_OR_RETURN(const Batch batch, loader.next());
    metrics.add(pass_->evaluate(*weights_, batch, *objective_, *device_));
    if (loader.epochs() > 0) break;
  }
  ValidationReport report;
  report.step = state_.step;
  report.tokens = metrics.tokens;
  const double share = metrics.tokens == 0 ? 0 : 1.0 / static_cast<double>(metrics.tokens);
  report.loss = metrics.loss * share;
  for (double nll : metrics.nll) report.nll.push_back(nll * share);
  for (double right : metrics.right) report.accuracy.push_back(right * share);
  for (double exit : metrics.exit) report.exit.push_back(exit * share);
  report.mean_exit = metrics.mean_exit();
  report.exit_entropy = metrics.exit_entropy * share;
  return report;
}

Status Run::save() {
  const std::string directory = train_checkpoint_path(config_.run.out, state_.step);
  LOOPLM_RETURN_IF_ERROR(save_train_checkpoint(directory, model_, *parameters_, *optimizer_, state_,
                                               tokenizer_from(), *device_));
  remove_old_checkpoints();
  observer_.on_checkpoint(directory);
  return {};
}

void Run::remove_old_checkpoints() const {
  std::vector<int64_t> steps = list_train_checkpoints(config_.run.out);
  const auto keep = static_cast<size_t>(config_.run.keep);
  for (size_t i = 0; i + keep < steps.size(); ++i) {
    std::error_code ignored;  // a checkpoint that cannot be removed does no harm
    std::filesystem::remove_all(train_checkpoint_path(config_.run.out, steps[i]), ignored);
  }
}

Status Run::finish() {
  SaveOptions options;
  options.dtype = config_.compute.save_dtype;
  options.companions_from = tokenizer_from();
  const std::string directory = config_.run.out + "/model";
  LOOPLM_RETURN_IF_ERROR(
      save_checkpoint(directory, model_, parameter_fill(*parameters_), options, device_->pool()));
  observer_.on_checkpoint(directory);
  return {};
}

Status Run::execute() {
  announce();
  bool saved = true;
  while (state_.step < config_.run.steps) {
    if (stopped()) {
      if (!saved) LOOPLM_RETURN_IF_ERROR(save());
      return {StatusCode::kCancelled,
              fmt::format("stopped at step {} of {}; --resume goes on from there", state_.step,
                          config_.run.steps)};
    }
    LOOPLM_ASSIGN_OR_RETURN(const StepReport report, run_step());
    saved = false;
    const bool last = report.step == config_.run.steps;
    if (last || report.step % config_.run.log_every == 0 || steps_timed_ == 1) {
      LOOPLM_RETURN_IF_ERROR(log_->write(report));
      observer_.on_step(report);
    }
    const bool validate =
        last || (config_.run.validate_every > 0 && report.step % config_.run.validate_every == 0);
    if (validate) LOOPLM_RETURN_IF_ERROR(validate_now());
    if (last ||
        (config_.run.checkpoint_every > 0 && report.step % config_.run.checkpoint_every == 0)) {
      LOOPLM_RETURN_IF_ERROR(save());
      saved = true;
    }
  }
  return finish();
}

}  // namespace

Status train(const TrainOptions& options, TrainObserver& observer) {
  LOOPLM_ASSIGN_OR_RETURN(const std::unique_ptr<Run> run, Run::create(options, observer));
  return run->execute();
}

}  // namespace looplm
