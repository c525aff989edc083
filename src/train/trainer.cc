#include "train/trainer.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "looplm/chat.h"

#include "base/check.h"
#include "base/count_text.h"
#include "base/cpu.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/rng.h"
#include "base/timer.h"
#include "model/chat_model.h"
#include "model/checkpoint.h"
#include "model/tensor_read.h"

namespace looplm {
namespace {

constexpr double kNotMeasured = std::numeric_limits<double>::quiet_NaN();

// Sums over targets as means; what was not measured is NaN.
std::vector<double> means(const std::vector<double>& sums, int64_t targets, int64_t first = 0) {
  std::vector<double> values(sums.size(), kNotMeasured);
  for (size_t t = static_cast<size_t>(first); t < sums.size() && targets > 0; ++t) {
    values[t] = sums[t] / static_cast<double>(targets);
  }
  return values;
}

double mean(double sum, int64_t targets) {
  return targets == 0 ? kNotMeasured : sum / static_cast<double>(targets);
}

Status verify(const TokenDataset& dataset) {
  for (const TokenShard& shard : dataset.shards()) LOOPLM_RETURN_IF_ERROR(shard.verify());
  return {};
}

}  // namespace

Result<std::unique_ptr<Trainer>> Trainer::open(const RunConfig& run, TrainerOptions options,
                                               bool shapes_only) {
  RunConfig asked = run;
  if (options.start) {
    if (!run.model.from.empty()) {
      return invalid_argument("model.from is given, and a model in memory too; expected one");
    }
    asked.model.config = options.start->config;
  }
  LOOPLM_ASSIGN_OR_RETURN(asked, complete_run_config(asked));
  if (asked.lora.any() && asked.model.from.empty() && !options.start) {
    return invalid_argument(
        "lora.rank is given without model.from; expected a model that the adapter stands beside");
  }
  if (asked.objective.kind == ObjectiveKind::kGuess && asked.model.from.empty() && !options.start) {
    return invalid_argument(
        "objective.kind is guess, without model.from; expected a model whose words are guessed");
  }
  const int threads = options.threads != 0 ? options.threads : asked.compute.threads;
  LOOPLM_ASSIGN_OR_RETURN(std::unique_ptr<Device> device, Device::create(threads));
  LOOPLM_ASSIGN_OR_RETURN(StartWeights start,
                          StartWeights::open(asked.model,
                                             {.given = options.start ? &*options.start : nullptr,
                                              .shapes_only = shapes_only},
                                             *device));
  std::unique_ptr<Trainer> trainer(
      new Trainer(std::move(asked), std::move(device), std::move(start)));
  LOOPLM_RETURN_IF_ERROR(trainer->check_model());
  LOOPLM_RETURN_IF_ERROR(trainer->prepare_data(options.streams));
  trainer->peak_.emplace(*trainer->device_, trainer->run_.compute.dtype);
  return trainer;
}

Result<std::unique_ptr<Trainer>> Trainer::create(const RunConfig& run, TrainerOptions options) {
  LOOPLM_ASSIGN_OR_RETURN(std::unique_ptr<Trainer> trainer,
                          open(run, std::move(options), /*shapes_only=*/false));
  LOOPLM_RETURN_IF_ERROR(trainer->check_memory());
  LOOPLM_RETURN_IF_ERROR(trainer->prepare_model());
  return trainer;
}

Result<TrainPlan> Trainer::plan(const RunConfig& run, TrainerOptions options,
                                const std::string& checkpoint) {
  LOOPLM_ASSIGN_OR_RETURN(const std::unique_ptr<Trainer> trainer,
                          open(run, std::move(options), /*shapes_only=*/true));
  TrainPlan plan;
  plan.start = trainer->describe();
  // A large step, which need not fit into memory, is like its beginning.
  constexpr int64_t kSampled = 64;
  const int64_t sequences = trainer->run_.batch.accumulate * trainer->run_.batch.sequences;
  const int64_t some = std::min(sequences, kSampled);
  LOOPLM_ASSIGN_OR_RETURN(Batch sample, trainer->loader_->next(some));
  plan.step_flops = step_flops(trainer->run_, trainer->model(), {std::move(sample)}) *
                    (static_cast<double>(sequences) / static_cast<double>(some));
  plan.sequences = trainer->run_.batch.sequences;
  const Result<MachineMemory> memory = machine_memory();
  plan.usable_bytes = memory.ok() ? memory.value().usable() : 0;
  plan.choices = memory_choices(trainer->run_, trainer->model(), trainer->start_.format(),
                                trainer->device_->pool().size(), plan.usable_bytes);
  if (!checkpoint.empty()) {
    const Result<TrainState> state = read_train_state(checkpoint);
    plan.refusal = state.ok() ? trainer->check_same_run(state.value(), checkpoint) : state.status();
  }
  if (plan.refusal.ok()) plan.refusal = trainer->check_memory();
  return plan;
}

Status Trainer::check_model() {
  objective_ = make_objective(run_.objective, run_loops(run_, model()));
  if (objective_->needs_gate() && !model().exit_gate) {
    return unsupported(fmt::format(
        "objective.kind is {}, which needs an exit gate; the model has none", objective_->name()));
  }
  if (run_.lora.any() && !objective_->trains_trunk()) {
    return invalid_argument(
        fmt::format("objective.kind is {}, which trains {} alone; expected no [lora] beside it",
                    objective_->name(), objective_->trains_guesses() ? "guess maps" : "the gate"));
  }
  const std::string& from = run_.model.from;
  if (!run_.lora.any() && !objective_->trains_guesses() && !from.empty() &&
      file_exists(guess_file(from))) {
    notes_.push_back(fmt::format(
        "'{}' has guess maps, which were trained on its weights; the result gets none", from));
  }
  if (run_.compute.frozen != FrozenMatrices::kStored && trains_matrices(run_, *objective_)) {
    return invalid_argument(fmt::format(
        "compute.frozen is {}, and all matrices are trained; expected [lora], or objective.kind "
        "stage2 or guess, beside it",
        name_of(kFrozenMatricesNames, run_.compute.frozen)));
  }
  const int64_t loops = run_loops(run_, model()), back = run_.objective.backprop_loops;
  if (back > loops) {
    return invalid_argument(
        fmt::format("objective.backprop_loops is {}; the run has {} loops", back, loops));
  }
  if (objective_->trains_guesses() && (loops < 2 || loops != model().loops)) {
    return invalid_argument(
        fmt::format("objective.kind is guess, and the run has {} of the model's {}; expected all, "
                    "and at least 2",
                    count_text(loops, "loop"), model().loops));
  }
  if (run_.objective.kind == ObjectiveKind::kStageTwo && loops < 2) {
    return invalid_argument(
        "objective.kind is stage2, which trains the gate between loops; the run has 1 loop");
  }
  if (loops != model().loops) {
    notes_.push_back(fmt::format(
        "objective.loops is {}, and the model's config.json still says {}: give run and chat "
        "--loops {}, and a server's requests \"loop\": {{\"max_loops\": {}}}",
        loops, model().loops, loops, loops));
  }
  if (objective_->teacher() == Teacher::kLastLoop && loops < 2) {
    return invalid_argument(
        "objective.kind is distil, which teaches earlier loops by the last; the run has 1 loop. "
        "With objective.teacher = \"file\", another model teaches it");
  }
  if (run_.data.sequence_length > model().max_positions) {
    return invalid_argument(fmt::format("data.sequence_length is {}; the model has {} positions",
                                        run_.data.sequence_length, model().max_positions));
  }
  return {};
}

// Else the system would end this process, or another, in the middle of the first step.
Status Trainer::check_memory() const {
  const Result<MachineMemory> memory = machine_memory();
  if (!memory.ok()) return {};
  const uint64_t taken =
      training_memory(run_, model(), start_.format(), device_->pool().size()).total();
  if (taken <= memory.value().total + memory.value().swap) return {};
  return resource_exhausted(fmt::format(
      "the run takes {}, and this machine has {}; looplm train --plan shows which compute.memory "
      "and batch.sequences fit",
      bytes_text(taken), bytes_text(memory.value().total)));
}

Status Trainer::prepare_model() {
  const std::vector<ParameterSpec> specs = trained_parameters(run_, model(), *objective_);
  trained_.emplace(specs);
  gradients_.emplace(specs);
  optimizer_.emplace(specs, run_.optimizer);
  const bool all = are_all_parameters(specs, model());
  const TrunkShape shape = trunk_shape(run_, model(), objective_->trains_trunk());
  if (run_.lora.any()) {
    initialize_adapter(run_.run.seed, *trained_);
    adapter_.emplace(model(), run_adapter(run_, model()), AdapterUse::kTraining);
  } else if (objective_->trains_guesses()) {
    guesses_.emplace(model(), run_.compute.dtype);  // all zero: they change nothing
  } else {
    LOOPLM_RETURN_IF_ERROR(start_.fill(*trained_));
  }
  const TensorSource frozen = all ? trained_->source() : start_.tensors();
  const MatrixFormat format = run_format(run_, *objective_, start_.format());
  if (objective_->pairs() != nullptr && !run_.lora.any()) {
    const ParameterSet none(std::vector<ParameterSpec>{});
    LOOPLM_ASSIGN_OR_RETURN(
        reference_, ModelWeights::for_training(none, start_.tensors(), model(), format, *device_));
    LOOPLM_ASSIGN_OR_RETURN(state_.frozen_hash, start_.frozen_hash(none));
  }
  LOOPLM_ASSIGN_OR_RETURN(weights_,
                          ModelWeights::for_training(*trained_, frozen, model(), format, *device_));
  if (objective_->trains_trunk()) backward_weights_.emplace(model(), format);
  if (guesses_) backward_weights_ = BackwardWeights::of_head(model(), format);
  if (all) {
    start_.drop_tensors();
  } else {
    if (run_.lora.any() || guesses_) backward_weights_->repack(frozen, *device_);
    if (!reference_) {
      LOOPLM_ASSIGN_OR_RETURN(state_.frozen_hash, start_.frozen_hash(*trained_));
    }
  }
  start_.release_pages();
  pass_.emplace(model(), shape, adapter_ ? &*adapter_ : nullptr, guesses_ ? &*guesses_ : nullptr);
  state_.run = run_;
  return {};
}

LoaderOptions Trainer::loader_options() const {
  LoaderOptions options;
  options.sequence_length = run_.data.sequence_length;
  options.sequences = run_.batch.sequences;
  options.seed = run_.run.seed;
  options.split_documents = run_.data.split_documents;
  options.long_documents = run_.data.long_documents;
  options.shuffle = run_.data.shuffle;
  return options;
}

Status Trainer::prepare_data(const std::vector<std::shared_ptr<const DocumentStream>>& streams) {
  if (!streams.empty() && !run_.data.train.empty()) {
    return invalid_argument("data.train is given, and document streams too; expected one of them");
  }
  if (streams.empty() && run_.data.train.empty()) {
    return invalid_argument("data.train is missing");
  }
  if (!streams.empty() && objective_->pairs() != nullptr) {
    return invalid_argument("objective.kind is dpo; document streams hold no preference pairs");
  }
  if (!streams.empty() && objective_->teacher() == Teacher::kFile) {
    return invalid_argument("objective.teacher is file; document streams have no teacher");
  }
  std::vector<DataLoader::Source> sources;
  for (const auto& stream : streams) {
    state_.data_hashes.push_back(stream->hash());
    sources.push_back({{}, stream, 1});
  }
  int64_t targets = 0;
  for (const RunConfig::DataSource& source : run_.data.train) {
    LOOPLM_ASSIGN_OR_RETURN(TokenDataset dataset, open_dataset(source.path, "data.train"));
    LOOPLM_RETURN_IF_ERROR(verify(dataset));
    LOOPLM_RETURN_IF_ERROR(check_kind(dataset, "data.train"));
    targets += dataset.count_targets();
    state_.data_hashes.push_back(dataset.hash());
    sources.push_back({std::move(dataset), {}, source.weight});
  }
  if (streams.empty() && targets == 0) {
    return invalid_argument(
        "data.train has no token to learn: prompts and first tokens are only read");
  }
  LOOPLM_ASSIGN_OR_RETURN(loader_, DataLoader::create(std::move(sources), loader_options()));
  if (loader_->long_documents() > 0) {
    notes_.push_back(
        fmt::format("{} longer than a row and {}",
                    count_text(loader_->long_documents(), "document is", "documents are"),
                    run_.data.long_documents == LongDocuments::kCut ? "cut" : "left out"));
  }
  for (const std::string& path : run_.data.validation) {
    LOOPLM_ASSIGN_OR_RETURN(TokenDataset dataset, open_dataset(path, "data.validation"));
    LOOPLM_RETURN_IF_ERROR(verify(dataset));
    LOOPLM_RETURN_IF_ERROR(check_kind(dataset, "data.validation"));
    if (dataset.count_targets() == 0) {
      return invalid_argument(fmt::format("data.validation: '{}' has no token to learn", path));
    }
    // Refuses what a validation in the middle of the run would refuse.
    LOOPLM_RETURN_IF_ERROR(validation_loader(path).status());
    validation_.push_back(std::move(dataset));
  }
  LOOPLM_RETURN_IF_ERROR(take_chat_templates());
  return check_vocabularies();
}

Result<TokenDataset> Trainer::open_dataset(const std::string& path, const char* key) const {
  Result<TokenDataset> opened = TokenDataset::open(path);
  if (!opened.ok()) return opened.status().with_context(key);
  TokenDataset& dataset = opened.value();
  if (objective_->teacher() == Teacher::kFile && !dataset.is_pairs()) {
    LOOPLM_RETURN_IF_ERROR(dataset.open_teachers());
  }
  return opened;
}

Status Trainer::take_chat_templates() {
  std::string first;
  const auto take = [&](const TokenDataset& dataset) -> Status {
    const std::string name = "'" + dataset.path() + "'";
    LOOPLM_RETURN_IF_ERROR(
        take_chat_template(name, dataset.chat_template(), first, chat_template_));
    if (first.empty() && !chat_template_.empty()) first = name;
    return {};
  };
  for (const DataLoader::Source& source : loader_->sources()) {
    if (source.dataset) LOOPLM_RETURN_IF_ERROR(take(*source.dataset));
  }
  for (const TokenDataset& set : validation_) LOOPLM_RETURN_IF_ERROR(take(set));
  if (chat_template_.empty()) return {};
  const std::string& from = save_options().companions_from;
  ChatFiles own;
  if (!from.empty()) {
    LOOPLM_ASSIGN_OR_RETURN(own, read_chat_files(companion_directory(from)));
  }
  saves_chat_template_ = !own.has_template(chat_template_);
  const bool had_one = !own.templates.empty();
  LOOPLM_ASSIGN_OR_RETURN(const std::unique_ptr<Tokenizer> tokenizer, start_.load_tokenizer());
  if (tokenizer != nullptr) {
    own.templates = {{.text = std::string(chat_template_)}};
    ends_of_turn_ = end_of_turn_ids(own, *tokenizer);
  }
  if (!ends_of_turn_.empty() && !run_.lora.any() && !from.empty()) {
    const Status named = check_generation_config(from, model().vocab_size);
    if (!named.ok()) {
      notes_.push_back(
          fmt::format("{}; the result gets this file as it is, and other programs may not stop at "
                      "the end of a turn",
                      named.message()));
    }
  }
  if (saves_chat_template_ && had_one) {
    notes_.push_back(fmt::format(
        "{} holds chats in another form than the chat template of '{}'; the result gets theirs",
        first, from));
  }
  return {};
}

SaveOptions Trainer::save_options() const {
  SaveOptions options;
  options.dtype = run_.compute.save_dtype;
  options.companions_from = run_.model.tokenizer.empty() ? run_.model.from : run_.model.tokenizer;
  if (saves_chat_template_) options.chat_template = chat_template_;
  return options;
}

Status Trainer::check_kind(const TokenDataset& dataset, const char* key) const {
  if (dataset.is_pairs() == (objective_->pairs() != nullptr)) return {};
  if (dataset.is_pairs()) {
    return invalid_argument(
        fmt::format("{}: '{}' holds preference pairs, and objective.kind is {}; expected dpo", key,
                    dataset.path(), objective_->name()));
  }
  return invalid_argument(fmt::format(
      "{}: '{}' holds no preference pairs, which objective.kind {} learns from; looplm data build "
      "makes them of lines with 'chosen' and 'rejected'",
      key, dataset.path(), objective_->name()));
}

// Of all data, and of the model.
Status Trainer::check_vocabularies() const {
  struct Named {
    std::string name;
    Vocabulary vocabulary;
  };
  std::vector<Named> all;
  for (const DataLoader::Source& source : loader_->sources()) {
    all.push_back({source.name(), source.vocabulary()});
  }
  for (const TokenDataset& set : validation_) {
    all.push_back({"'" + set.path() + "'", set.vocabulary()});
  }
  bool any_known = false;
  const std::string& from = run_.model.tokenizer.empty() ? run_.model.from : run_.model.tokenizer;
  for (const Named& data : all) {
    if (data.vocabulary.size > model().vocab_size) {
      return invalid_argument(fmt::format("{} is made with a vocabulary of {}; the model has {}",
                                          data.name, data.vocabulary.size, model().vocab_size));
    }
    LOOPLM_RETURN_IF_ERROR(check_same_vocabulary(data.name, data.vocabulary, all.front().name,
                                                 all.front().vocabulary));
    any_known = any_known || data.vocabulary.hash != 0;
  }
  if (!any_known) return {};
  LOOPLM_ASSIGN_OR_RETURN(const std::unique_ptr<Tokenizer> tokenizer, start_.load_tokenizer());
  if (tokenizer == nullptr) return {};
  for (const Named& data : all) {
    LOOPLM_RETURN_IF_ERROR(
        check_same_tokenizer(data.name, data.vocabulary, "'" + from + "'", *tokenizer));
  }
  return {};
}

TensorSource Trainer::weights() const {
  return [of_set = trained_->source(), frozen = start_.given_tensors(),
          set = &*trained_](const std::string& name) -> Result<TensorView> {
    if (set->contains(name) || !frozen) return of_set(name);
    return frozen(name);
  };
}

TrainStart Trainer::describe() const {
  TrainStart start;
  start.parameters = model().parameter_count();
  start.trained_parameters = count_of(trained_parameters(run_, model(), *objective_));
  start.first_step = state_.step + 1;
  start.steps = run_.run.steps;
  start.tokens_per_step = run_.batch.accumulate * loader_->rows();
  for (const DataLoader::Source& source : loader_->sources()) {
    if (!source.dataset) continue;
    start.data_tokens += source.dataset->tokens();
    start.data_targets += source.dataset->count_targets();
  }
  start.machine =
      fmt::format("{}, {}, {}", processor_name(), count_text(device_->pool().size(), "thread"),
                  device_->kernels().name);
  start.peak_flops = peak_->flops();
  start.notes = notes_;
  const MemoryPlan plan = training_memory(run_, model(), start_.format(), device_->pool().size());
  for (const MemoryItem& item : plan.items()) {
    start.memory.push_back({item.name, item.bytes, item.note});
  }
  return start;
}

Result<StepReport> Trainer::step() {
  const Timer timer;
  std::vector<Batch> batches;
  int64_t targets = 0;
  int64_t losses = 0;  // over all micro-batches, which therefore weigh by what they have to learn
  for (int64_t i = 0; i < run_.batch.accumulate; ++i) {
    LOOPLM_ASSIGN_OR_RETURN(Batch batch, loader_->next());
    targets += batch.target_count();
    losses += batch.losses();
    batches.push_back(std::move(batch));
  }
  BatchMetrics metrics;
  StepReport r;
  r.step = state_.step + 1;
  r.steps = run_.run.steps;
  r.learning_rate = run_.schedule.at(r.step, run_.run.steps);
  r.gradient_norm = kNotMeasured;
  if (targets > 0) {
    std::fill(gradients_->values().begin(), gradients_->values().end(), 0.0f);
    repack();
    if (trains_matrices(run_, *objective_)) {
      backward_weights_->repack(trained_->source(), *device_);
    }
    const double scale = 1.0 / static_cast<double>(losses);
    for (const Batch& batch : batches) {
      const std::vector<PairScores> reference = reference_scores(batch);
      if (adapter_) adapter_->set_dropout(dropout_key(r.step, &batch - batches.data()));
      metrics.add(pass_->train(*weights_, backward_weights_ ? &*backward_weights_ : nullptr, batch,
                               *objective_, scale, *gradients_, *device_, reference));
    }
    r.gradient_norm = optimizer_->step(*trained_, *gradients_, r.learning_rate, *device_);
  } else {
    metrics.nll.resize(static_cast<size_t>(run_loops(run_, model())));
  }
  r.targets = targets;
  r.loss = mean(metrics.loss, losses);
  r.margin = mean(metrics.margin, metrics.pairs);
  r.preferred = mean(metrics.preferred, metrics.pairs);
  r.nll = means(metrics.nll, targets, metrics.first_loop);
  r.mean_exit = targets == 0 ? kNotMeasured : metrics.mean_exit();
  r.exit_entropy = mean(metrics.exit_entropy, targets);
  r.seconds = timer.seconds();
  if (targets > 0 && (!std::isfinite(r.loss) || !std::isfinite(r.gradient_norm))) {
    return invalid_argument(fmt::format(
        "step {}: the loss is {} and the gradient norm {}; the run stops here, and its last "
        "checkpoint is untouched. A smaller learning rate or more warm-up usually helps",
        r.step, r.loss, r.gradient_norm));
  }

  const auto rows = static_cast<double>(run_.batch.accumulate * loader_->rows());
  r.tokens_per_second = rows / r.seconds;
  r.peak_share =
      targets == 0 ? kNotMeasured : peak_->share(step_flops(run_, model(), batches), r.seconds);
  seconds_ += r.seconds;
  ++steps_timed_;
  r.seconds_left =
      seconds_ / static_cast<double>(steps_timed_) * static_cast<double>(run_.run.steps - r.step);
  state_.step = r.step;
  state_.optimizer_steps = optimizer_->steps();
  state_.loader = loader_->state();
  return r;
}

std::vector<PairScores> Trainer::reference_scores(const Batch& batch) {
  if (objective_->pairs() == nullptr) return {};
  if (reference_) return pass_->score(*reference_, batch, *device_);
  adapter_->set_enabled(false);
  std::vector<PairScores> scores = pass_->score(*weights_, batch, *device_);
  adapter_->set_enabled(true);
  return scores;
}

void Trainer::repack() {
  weights_->repack(*trained_, *device_);
  if (guesses_) guesses_->repack(*trained_, *device_);
  if (!adapter_) return;
  adapter_->repack(*trained_, *device_);
  adapter_->set_dropout({});
}

// Another one for each micro-batch of a run, whether or not it was resumed.
uint64_t Trainer::dropout_key(int64_t step, int64_t micro_batch) const {
  const PhiloxBlock bits =
      philox(run_.run.seed, static_cast<uint64_t>(step), static_cast<uint64_t>(micro_batch));
  return uint64_t{bits[0]} << 32 | bits[1];
}

Result<std::vector<ValidationReport>> Trainer::validate() {
  std::vector<ValidationReport> reports;
  if (!validation_.empty()) repack();
  for (size_t set = 0; set < validation_.size(); ++set) {
    LOOPLM_ASSIGN_OR_RETURN(ValidationReport report, validate_on(validation_[set]));
    report.set = static_cast<int64_t>(set);
    reports.push_back(std::move(report));
  }
  double loss = 0, tokens = 0;
  for (const ValidationReport& report : reports) {
    loss += report.loss * static_cast<double>(report.tokens);
    tokens += static_cast<double>(report.tokens);
  }
  if (tokens > 0 && state_.step > 0) {
    loss /= tokens;
    if (state_.best.step == 0 || loss < state_.best.loss) {
      state_.best = {state_.step, loss, 0};
    } else {
      ++state_.best.since;
    }
  }
  return reports;
}

// Every document once. Opening is only mapping, so each validation begins with a new loader.
Result<DataLoader> Trainer::validation_loader(const std::string& path) const {
  LoaderOptions options = loader_options();
  options.shuffle = false;
  options.one_epoch = true;
  LOOPLM_ASSIGN_OR_RETURN(TokenDataset dataset, open_dataset(path, "data.validation"));
  std::vector<DataLoader::Source> sources;
  sources.push_back({std::move(dataset), {}, 1});
  return DataLoader::create(std::move(sources), options);
}

Result<ValidationReport> Trainer::validate_on(const TokenDataset& validation) {
  LOOPLM_ASSIGN_OR_RETURN(DataLoader loader, validation_loader(validation.path()));
  BatchMetrics metrics;
  for (int64_t i = 0; run_.run.validate_batches == 0 || i < run_.run.validate_batches; ++i) {
    LOOPLM_ASSIGN_OR_RETURN(const Batch batch, loader.next());
    const std::vector<PairScores> reference = reference_scores(batch);
    metrics.add(pass_->evaluate(*weights_, batch, *objective_, *device_, reference));
    if (loader.epochs() > 0) break;
  }
  ValidationReport report;
  report.step = state_.step;
  report.tokens = metrics.tokens;
  report.loss = mean(metrics.loss, metrics.losses());
  report.margin = mean(metrics.margin, metrics.pairs);
  report.preferred = mean(metrics.preferred, metrics.pairs);
  report.nll = means(metrics.nll, metrics.tokens);
  report.accuracy = means(metrics.right, metrics.tokens);
  report.agreement = means(metrics.agrees, metrics.tokens);
  report.unmapped_agreement = means(metrics.agrees_unmapped, metrics.tokens);
  report.exit = means(metrics.exit, metrics.tokens);
  report.mean_exit = metrics.tokens == 0 ? kNotMeasured : metrics.mean_exit();
  report.exit_entropy = mean(metrics.exit_entropy, metrics.tokens);
  return report;
}

Status Trainer::save(const std::string& directory) const {
  return save_train_checkpoint(directory, model(), *trained_, *optimizer_, state_, save_options(),
                               *device_);
}

Status Trainer::restore(const std::string& directory) {
  LOOPLM_ASSIGN_OR_RETURN(TrainState state, read_train_state(directory));
  LOOPLM_RETURN_IF_ERROR(check_resumable(state, directory));
  LOOPLM_RETURN_IF_ERROR(load_train_checkpoint(directory, model(), *trained_, *optimizer_));
  LOOPLM_RETURN_IF_ERROR(loader_->restore(state.loader));
  optimizer_->set_steps(state.optimizer_steps);
  state_ = std::move(state);
  state_.run = run_;
  return {};
}

Status Trainer::check_same_data(const TrainState& state, const std::string& directory) const {
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

// Whether a saved state is of this run, but for what is known only of loaded weights.
Status Trainer::check_same_run(const TrainState& state, const std::string& directory) const {
  const std::vector<RunKeyDifference> differences = run_differences(state.run, run_);
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
  if (run_.run.steps >= state.step) return {};
  return invalid_argument(fmt::format("run.steps is {}; '{}' has done {} already", run_.run.steps,
                                      directory, count_text(state.step, "step")));
}

// Whether this run may go on from a saved state.
Status Trainer::check_resumable(const TrainState& state, const std::string& directory) {
  LOOPLM_RETURN_IF_ERROR(check_same_run(state, directory));
  if (state.frozen_hash != state_.frozen_hash) {
    return invalid_argument(
        fmt::format("the frozen weights ({}) are not those with which '{}' was saved",
                    run_.model.from.empty() ? "of a model without a path"
                                            : "model.from '" + run_.model.from + "'",
                    directory));
  }
  const int64_t steps = run_.run.steps, before = state.run.run.steps;
  if (steps != before && run_.schedule.looks_ahead()) {
    notes_.push_back(fmt::format(
        "run.steps is {}; the checkpoint was made with {}: schedule.kind {} now ends at step {}, "
        "and the learning rate goes from {:.3g} to {:.3g} with the next step",
        steps, before, name_of(kScheduleNames, run_.schedule.kind), steps,
        run_.schedule.at(state.step, before), run_.schedule.at(state.step + 1, steps)));
  }
  return {};
}

Status Trainer::save_model(const std::string& directory) const {
  if (run_.lora.any()) {
    return save_adapter(directory, run_adapter(run_, model()), *trained_, run_.model.from,
                        std::string(chat_template_));
  }
  if (guesses_) return save_guesses(directory, *trained_, run_.compute.save_dtype);
  SaveOptions options = save_options();
  options.ends_of_turn = ends_of_turn_;
  const TensorSource source = weights();
  std::vector<TensorView> views;
  for (const ParameterSpec& spec : parameter_specs(model())) {
    LOOPLM_ASSIGN_OR_RETURN(TensorView view, source(spec.name));
    views.push_back(std::move(view));
  }
  const ParameterFill fill = [&](int64_t parameter, int64_t first, std::span<float> out) {
    read_as_float(views[static_cast<size_t>(parameter)], first, out);
  };
  return save_checkpoint(directory, model(), fill, options, device_->pool());
}

}  // namespace looplm
