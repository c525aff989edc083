// looplm merge: a checkpoint with an adapter added to its matrices.
#include <memory>

#include <fmt/format.h>

#include "looplm/chat.h"

#include "base/cpu.h"
#include "base/file.h"
#include "cli/commands.h"
#include "cli/model_choice.h"
#include "model/adapter.h"
#include "model/atomic_directory.h"
#include "model/chat_model.h"
#include "model/checkpoint.h"
#include "model/guess_maps.h"
#include "model/tensor_read.h"
#include "model/tokenizer_files.h"

namespace looplm::cli {
namespace {

struct MergeOptions {
  std::string directory;
  std::string adapter;
  std::string out;
  int threads = 0;
};

// Of the adapter's chat template, else of the base's.
Result<std::vector<int32_t>> ends_of_turn(const Checkpoint& base, const std::string& adapter) {
  // Weights may be merged beside a tokenizer that cannot be read.
  const auto tokenizer = checkpoint_tokenizer(base);
  if (!tokenizer.ok() || tokenizer.value() == nullptr) return std::vector<int32_t>();
  LOOPLM_ASSIGN_OR_RETURN(const ChatFiles files,
                          model_chat_files(base, *tokenizer.value(), adapter));
  return end_of_turn_ids(files, *tokenizer.value());
}

Status merge(const MergeOptions& o) {
  LOOPLM_ASSIGN_OR_RETURN(const std::string directory, locate_model(o.directory));
  LOOPLM_RETURN_IF_ERROR(check_other_place("--out", o.out, directory));
  LOOPLM_ASSIGN_OR_RETURN(const int threads, choose_thread_count(o.threads));
  ThreadPool pool(threads);
  CheckpointOptions opening;
  opening.pool = &pool;
  LOOPLM_ASSIGN_OR_RETURN(const Checkpoint base, open_checkpoint(directory, opening));
  LOOPLM_RETURN_IF_ERROR(check_finite(base, pool));
  LOOPLM_ASSIGN_OR_RETURN(const Adapter adapter, read_adapter(o.adapter, base.config));
  LOOPLM_RETURN_IF_ERROR(AtomicDirectory::check(o.out, is_checkpoint_file));
  LOOPLM_ASSIGN_OR_RETURN(const AdaptedTensors merged, AdaptedTensors::create(base, adapter, pool));
  const TensorSource source = merged.source();
  std::vector<TensorView> views;
  for (const ParameterSpec& spec : base.specs) {
    LOOPLM_ASSIGN_OR_RETURN(TensorView view, source(spec.name));
    views.push_back(std::move(view));
  }
  LOOPLM_RETURN_IF_ERROR(check_finite(base.specs, views, pool));
  SaveOptions saving;
  saving.dtype = merged.matrix_dtype();
  saving.companions_from = directory;
  LOOPLM_ASSIGN_OR_RETURN(const ChatFiles chat, read_chat_files(o.adapter));
  LOOPLM_ASSIGN_OR_RETURN(const ChatFiles own, read_chat_files(companion_directory(directory)));
  for (const ChatTemplateSource& learnt : chat.templates) {
    if (learnt.name != "default" || own.has_template(learnt.text)) continue;
    saving.chat_template = learnt.text;
  }
  LOOPLM_ASSIGN_OR_RETURN(saving.ends_of_turn, ends_of_turn(base, o.adapter));
  if (!saving.ends_of_turn.empty()) {
    const Status named = check_generation_config(directory, base.config.vocab_size);
    if (!named.ok()) {
      fmt::print(
          "note: {}; '{}' gets this file as it is, and other programs may not stop at the end "
          "of a turn\n",
          named.message(), o.out);
    }
  }
  LOOPLM_RETURN_IF_ERROR(save_checkpoint(
      o.out, base.config,
      [&views](int64_t parameter, int64_t first, std::span<float> out) {
        read_as_float(views[static_cast<size_t>(parameter)], first, out);
      },
      saving, pool));
  fmt::print("{}: {} with the adapter {} (rank {}), {}\n", o.out, directory, o.adapter,
             adapter.settings.rank, dtype_name(saving.dtype));
  if (file_exists(guess_file(directory))) {
    fmt::print("note: the guess maps of '{}' were trained without the adapter; '{}' has none\n",
               directory, o.out);
  }
  return {};
}

}  // namespace

void add_merge_command(Program& program) {
  auto options = std::make_shared<MergeOptions>();
  Command* command = program.app().add_subcommand(
      "merge", "Write a model with an adapter (LoRA) added to its matrices");
  add_model_argument(*command, options->directory);
  command
      ->add_option("--lora", options->adapter,
                   "Directory with adapter_config.json and adapter_model.safetensors")
      ->required();
  command->add_option("--out", options->out, "Directory to write")->required();
  command->add_threads(options->threads);
  program.on(command, [options] { return merge(*options); });
}

}  // namespace looplm::cli
