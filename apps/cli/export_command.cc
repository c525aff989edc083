// looplm export: a checkpoint in the form of another program.
#include <iterator>
#include <memory>

#include <fmt/format.h>

#include "base/count_text.h"
#include "base/cpu.h"
#include "base/directory.h"
#include "base/file.h"
#include "base/timer.h"
#include "cli/commands.h"
#include "cli/model_choice.h"
#include "model/chat_model.h"
#include "model/checkpoint.h"
#include "model/gguf_encode.h"
#include "model/gguf_export.h"
#include "tensor/memory_plan.h"

namespace looplm::cli {
namespace {

struct ExportOptions {
  std::string directory;
  std::string gguf;
  GgufExportOptions writing;
  int threads = 0;
};

Status run_export(const ExportOptions& o) {
  LOOPLM_ASSIGN_OR_RETURN(const std::string directory, locate_model(o.directory));
  LOOPLM_RETURN_IF_ERROR(check_other_place("--gguf", o.gguf, directory));
  LOOPLM_ASSIGN_OR_RETURN(const int threads, choose_thread_count(o.threads));
  ThreadPool pool(threads);
  CheckpointOptions opening;
  opening.pool = &pool;
  opening.block_dtype = DType::kF32;  // all that the blocks of a GGUF file say
  LOOPLM_ASSIGN_OR_RETURN(const Checkpoint source, open_checkpoint(directory, opening));
  // Parts of a split file.
  for (const std::string& file : source.files()) {
    LOOPLM_RETURN_IF_ERROR(check_other_place("--gguf", o.gguf, file));
  }
  LOOPLM_RETURN_IF_ERROR(check_finite(source, pool));
  GgufExportOptions options = o.writing;
  LOOPLM_ASSIGN_OR_RETURN(options.chat_templates, chat_template_texts(directory));
  const Timer timer;
  LOOPLM_ASSIGN_OR_RETURN(const GgufExport result, export_gguf(source, o.gguf, options, pool));
  std::string matrices;
  for (const auto& [name, count] : result.matrices) {
    matrices += fmt::format("{}{} in {}", matrices.empty() ? "" : ", ",
                            count_text(count, "matrix", "matrices"), name);
  }
  LOOPLM_ASSIGN_OR_RETURN(const uint64_t bytes, file_size(o.gguf));
  fmt::print("{}: {} ({}), {:.1f} s\n", o.gguf, bytes_text(bytes), matrices, timer.seconds());
  if (!result.gate_file.empty()) {
    fmt::print("{}: the exit gate, for which llama.cpp has no place\n", result.gate_file);
  }
  if (!result.guess_file.empty()) fmt::print("{}: the guess maps\n", result.guess_file);
  return {};
}

}  // namespace

void add_export_command(Program& program) {
  auto options = std::make_shared<ExportOptions>();
  Command* command = program.app().add_subcommand(
      "export", "Write a model as a GGUF file, which llama.cpp and its like read");
  add_model_argument(*command, options->directory);
  command
      ->add_option("--gguf", options->gguf, "File to write; exit gate and guess maps go beside it")
      ->required();
  std::vector<std::string> types;
  types.reserve(std::size(kWrittenGgmlTypes));
  for (const GgmlType type : kWrittenGgmlTypes) types.push_back(ggml_block(type).name);
  command->add_choice(
      "--dtype,--type", types, ggml_block(options->writing.type).name,
      [options](size_t index) { options->writing.type = kWrittenGgmlTypes[index]; },
      "Type of the matrices; with a four-bit type, embedding and head are Q8_0");
  command->add_threads(options->threads);
  program.on(command, [options] { return run_export(*options); });
}

}  // namespace looplm::cli
