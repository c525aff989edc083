#include "train/train_state.h"

#include <algorithm>
#include <charconv>
#include <filesystem>

#include <fmt/format.h>

#include "base/directory.h"
#include "base/file.h"
#include "base/json.h"
#include "base/temporary.h"
#include "model/atomic_directory.h"
#include "model/checkpoint.h"
#include "model/safetensors.h"
#include "model/safetensors_writer.h"
#include "model/tensor_read.h"
#include "train/run_config_keys.h"

namespace looplm {
namespace {

constexpr const char* kOptimizerFile = "optimizer.safetensors";
constexpr const char* kTrainedFile = "trained.safetensors";
constexpr const char* kStateFile = "train_state.json";
constexpr const char* kFirstMoment = "first_moment";
constexpr const char* kSecondMoment = "second_moment";
constexpr const char* kStepPrefix = "step-";
constexpr int64_t kFormat = 2;

bool is_train_file(const std::string& name) {
  return is_checkpoint_file(name) || name == kOptimizerFile || name == kTrainedFile ||
         name == kStateFile;
}

std::string checkpoints_directory(const std::string& run) { return run + "/checkpoints"; }

Status write_optimizer(const std::string& path, const Optimizer& optimizer) {
  const ParameterSet& m = optimizer.first_moments();
  const ParameterSet& v = optimizer.second_moments();
  LOOPLM_ASSIGN_OR_RETURN(
      SafetensorsWriter writer,
      SafetensorsWriter::create(path, {{kFirstMoment, DType::kF32, {m.size()}},
                                       {kSecondMoment, DType::kF32, {v.size()}}}));
  LOOPLM_RETURN_IF_ERROR(writer.write(std::as_bytes(m.values())));
  LOOPLM_RETURN_IF_ERROR(writer.write(std::as_bytes(v.values())));
  return writer.commit();
}

Status read_moment(const Safetensors& file, const char* name, ParameterSet& to) {
  LOOPLM_ASSIGN_OR_RETURN(const TensorView view, file.find(name));
  if (view.dtype != DType::kF32 || view.count() != to.size()) {
    return invalid_argument(fmt::format("'{}' is {} {}; expected F32 [{}]", name,
                                        dtype_name(view.dtype), shape_text(view.shape), to.size()));
  }
  read_as_float(view, to.values());
  return {};
}

Status write_trained(const std::string& path, const ParameterSet& parameters) {
  std::vector<TensorDeclaration> entries;
  for (const ParameterSpec& spec : parameters.specs()) {
    entries.push_back({spec.name, DType::kF32, spec.shape});
  }
  LOOPLM_ASSIGN_OR_RETURN(SafetensorsWriter writer, SafetensorsWriter::create(path, entries));
  LOOPLM_RETURN_IF_ERROR(writer.write(std::as_bytes(parameters.values())));
  return writer.commit();
}

std::string state_json(const TrainState& state) {
  OrderedJson json;
  json["format"] = kFormat;
  json["step"] = state.step;
  json["optimizer_steps"] = state.optimizer_steps;
  json["run"] = write_run_config(state.run);
  json["data_hashes"] = state.data_hashes;
  json["frozen_hash"] = state.frozen_hash;
  if (state.best.step > 0) {
    json["best"] = {
        {"step", state.best.step}, {"loss", state.best.loss}, {"since", state.best.since}};
  }
  json["cursors"] = OrderedJson::array();
  for (const LoaderState::Cursor& c : state.loader.cursors) {
    json["cursors"].push_back(
        {{"epoch", c.epoch}, {"document", c.document}, {"offset", c.offset}, {"tokens", c.tokens}});
  }
  return dump_json(json, 1) + "\n";
}

// A run that goes on without one of them would not be the run that was saved.
Status check_keys(const Json& object, const char* name, const std::vector<const char*>& keys) {
  if (!object.is_object()) {
    return invalid_argument(
        fmt::format("'{}' is {}; expected an object", name, shown_json(object)));
  }
  for (const char* key : keys) {
    if (object.contains(key) && !object[key].is_null()) continue;
    return invalid_argument(fmt::format("'{}.{}' is missing", name, key));
  }
  return {};
}

Result<TrainState> parse_state(const Json& json) {
  constexpr int64_t kMost = INT64_MAX / 2;  // counting goes on from them
  TrainState state;
  if (!json.is_object()) return invalid_argument("expected an object");
  LOOPLM_ASSIGN_OR_RETURN(const int64_t format, json_int(json, "format", 0, 0, kMost));
  if (format != kFormat) {
    return unsupported(fmt::format(
        "'format' is {}; this version of looplm goes on from {} only. The checkpoint is a model "
        "like any other: a new run can start from it (model.from)",
        format, kFormat));
  }
  LOOPLM_ASSIGN_OR_RETURN(state.step, json_int(json, "step", -1, 0, kMost));
  LOOPLM_ASSIGN_OR_RETURN(state.optimizer_steps, json_int(json, "optimizer_steps", -1, 0, kMost));
  LOOPLM_ASSIGN_OR_RETURN(const std::string run, json_string(json, "run", ""));
  LOOPLM_ASSIGN_OR_RETURN(state.run, parse_written_run_config(run, "run"));
  const auto hashes = json.find("data_hashes");
  const auto cursors = json.find("cursors");
  if (state.step < 0 || state.optimizer_steps < 0 || hashes == json.end() || !hashes->is_array() ||
      cursors == json.end() || !cursors->is_array()) {
    return invalid_argument("'step', 'optimizer_steps', 'data_hashes' or 'cursors' is missing");
  }
  for (const Json& hash : *hashes) {
    if (!hash.is_number_unsigned()) return invalid_argument("'data_hashes' must hold numbers");
    state.data_hashes.push_back(hash.get<uint64_t>());
  }
  const auto frozen = json.find("frozen_hash");
  if (frozen == json.end() || !frozen->is_number_unsigned()) {
    return invalid_argument("'frozen_hash' is missing or not a number");
  }
  state.frozen_hash = frozen->get<uint64_t>();
  if (const auto best = json.find("best"); best != json.end()) {
    LOOPLM_RETURN_IF_ERROR(check_keys(*best, "best", {"step", "since", "loss"}));
    LOOPLM_ASSIGN_OR_RETURN(state.best.step, json_int(*best, "step", 0, 1, kMost));
    LOOPLM_ASSIGN_OR_RETURN(state.best.since, json_int(*best, "since", 0, 0, kMost));
    LOOPLM_ASSIGN_OR_RETURN(state.best.loss, json_number(*best, "loss", 0, -kHuge, kHuge));
  }
  for (const Json& cursor : *cursors) {
    LOOPLM_RETURN_IF_ERROR(
        check_keys(cursor, "cursors[]", {"epoch", "document", "offset", "tokens"}));
    LoaderState::Cursor c;
    LOOPLM_ASSIGN_OR_RETURN(c.epoch, json_int(cursor, "epoch", 0, 0, kMost));
    LOOPLM_ASSIGN_OR_RETURN(c.document, json_int(cursor, "document", 0, 0, kMost));
    LOOPLM_ASSIGN_OR_RETURN(c.offset, json_int(cursor, "offset", 0, 0, kMost));
    LOOPLM_ASSIGN_OR_RETURN(c.tokens, json_int(cursor, "tokens", 0, 0, kMost));
    state.loader.cursors.push_back(c);
  }
  return state;
}

}  // namespace

ParameterFill parameter_fill(const ParameterSet& parameters) {
  return [&parameters](int64_t parameter, int64_t first, std::span<float> out) {
    const float* from = parameters.data() + parameters.offset(static_cast<size_t>(parameter));
    std::copy_n(from + first, out.size(), out.begin());
  };
}

Status save_train_checkpoint(const std::string& directory, const ModelConfig& config,
                             const ParameterSet& parameters, const Optimizer& optimizer,
                             const TrainState& state, SaveOptions options, Device& device) {
  LOOPLM_RETURN_IF_ERROR(make_directories(std::filesystem::path(directory).parent_path().string()));
  LOOPLM_ASSIGN_OR_RETURN(AtomicDirectory target,
                          AtomicDirectory::create(directory, is_train_file));
  if (are_all_parameters(parameters.specs(), config)) {
    options.dtype = DType::kF32;
    LOOPLM_RETURN_IF_ERROR(write_checkpoint_files(target.path(), config, parameter_fill(parameters),
                                                  options, device.pool()));
  } else {
    LOOPLM_RETURN_IF_ERROR(write_trained(target.path() + "/" + kTrainedFile, parameters));
  }
  LOOPLM_RETURN_IF_ERROR(write_optimizer(target.path() + "/" + kOptimizerFile, optimizer));
  LOOPLM_RETURN_IF_ERROR(write_text_file(target.path() + "/" + kStateFile, state_json(state)));
  return target.commit();
}

Result<TrainState> read_train_state(const std::string& directory) {
  const std::string path = directory + "/" + kStateFile;
  LOOPLM_ASSIGN_OR_RETURN(const Json json, read_json_file(path));
  Result<TrainState> state = parse_state(json);
  return state.ok() ? std::move(state) : state.status().with_context(path);
}

Status load_train_checkpoint(const std::string& directory, const ModelConfig& config,
                             ParameterSet& parameters, Optimizer& optimizer) {
  if (are_all_parameters(parameters.specs(), config)) {
    LOOPLM_ASSIGN_OR_RETURN(const Checkpoint checkpoint, open_checkpoint(directory));
    ModelConfig saved = checkpoint.config;
    saved.dtype = config.dtype;  // checkpoints are fp32, whatever the run started from
    if (model_config_json(saved) != model_config_json(config)) {
      return invalid_argument(
          fmt::format("'{}' holds a model of another shape than the run's", directory));
    }
    LOOPLM_RETURN_IF_ERROR(parameters.load(checkpoint_source(checkpoint)));
  } else {
    LOOPLM_ASSIGN_OR_RETURN(const Safetensors trained,
                            Safetensors::open(directory + "/" + kTrainedFile));
    LOOPLM_RETURN_IF_ERROR(
        parameters.load([&trained](const std::string& name) { return trained.find(name); }));
  }
  LOOPLM_ASSIGN_OR_RETURN(const Safetensors moments,
                          Safetensors::open(directory + "/" + kOptimizerFile));
  LOOPLM_RETURN_IF_ERROR(read_moment(moments, kFirstMoment, optimizer.first_moments()));
  return read_moment(moments, kSecondMoment, optimizer.second_moments());
}

std::string train_checkpoint_path(const std::string& run_directory, int64_t step) {
  return fmt::format("{}/{}{:08}", checkpoints_directory(run_directory), kStepPrefix, step);
}

Result<std::vector<int64_t>> list_train_checkpoints(const std::string& run_directory) {
  std::vector<int64_t> steps;
  const std::string directory = checkpoints_directory(run_directory);
  if (!is_directory(directory)) return steps;
  LOOPLM_ASSIGN_OR_RETURN(const std::vector<std::string> names, list_directory(directory));
  for (const std::string& name : names) {
    if (!name.starts_with(kStepPrefix)) continue;
    const char* begin = name.data() + std::string_view(kStepPrefix).size();
    const char* end = name.data() + name.size();
    int64_t step = 0;
    const auto parsed = std::from_chars(begin, end, step);
    if (parsed.ec == std::errc() && parsed.ptr == end) steps.push_back(step);
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

void remove_abandoned_checkpoints(const std::string& run_directory) {
  remove_abandoned(checkpoints_directory(run_directory), kStepPrefix);
}

}  // namespace looplm
