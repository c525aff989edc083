// looplm quantize: a checkpoint with matrices in small integers.
#include <memory>
#include <utility>

#include <fmt/format.h>

#include "base/cpu.h"
#include "base/directory.h"
#include "base/file.h"
#include "base/timer.h"
#include "cli/commands.h"
#include "cli/model_choice.h"
#include "model/guess_maps.h"
#include "model/quantized_checkpoint.h"
#include "tensor/memory_plan.h"

namespace looplm::cli {
namespace {

struct QuantizeOptions {
  std::string directory;
  std::string out;
  std::string to = "int8";
  std::string head = "int8";
  std::vector<std::string> keep;
  int threads = 0;
};

Quant quant_named(const std::string& name) {
  return name == "int8" ? Quant::kInt8 : name == "int4" ? Quant::kInt4 : Quant::kNone;
}

// "down=int8": a stack of the blocks' matrices that stays wider than the rest.
Status keep_stack(const std::string& text, BlockQuants& blocks) {
  const size_t equals = text.find('=');
  const std::string name = text.substr(0, equals);
  const std::string format = equals == std::string::npos ? "" : text.substr(equals + 1);
  constexpr std::pair<const char*, Quant BlockQuants::*> kStacks[] = {
      {"qkv", &BlockQuants::qkv},
      {"o", &BlockQuants::output},
      {"gate_up", &BlockQuants::gate_up},
      {"down", &BlockQuants::down}};
  for (const auto& [known, stack] : kStacks) {
    if (name == known && (format == "int8" || format == "float")) {
      blocks.*stack = quant_named(format);
      return {};
    }
  }
  return invalid_argument(fmt::format(
      "--keep holds '{}'; expected qkv, o, gate_up or down, '=', and int8 or float", text));
}

Status quantize(const QuantizeOptions& o) {
  LOOPLM_ASSIGN_OR_RETURN(const std::string directory, locate_model(o.directory));
  LOOPLM_RETURN_IF_ERROR(check_other_place("--out", o.out, directory));
  BlockQuants blocks = BlockQuants::all(quant_named(o.to));
  for (const std::string& text : o.keep) LOOPLM_RETURN_IF_ERROR(keep_stack(text, blocks));
  LOOPLM_ASSIGN_OR_RETURN(const int threads, choose_thread_count(o.threads));
  ThreadPool pool(threads);
  CheckpointOptions opening;
  opening.pool = &pool;
  LOOPLM_ASSIGN_OR_RETURN(const Checkpoint source, open_checkpoint(directory, opening));
  LOOPLM_RETURN_IF_ERROR(check_finite(source, pool));
  const Timer timer;
  LOOPLM_RETURN_IF_ERROR(save_quantized(o.out, source, blocks, quant_named(o.head), pool));
  LOOPLM_ASSIGN_OR_RETURN(const Checkpoint written, open_checkpoint(o.out));
  uint64_t before = 0, after = 0;
  for (const auto& [model, bytes] : {std::pair{&source, &before}, {&written, &after}}) {
    for (const std::string& file : model->files()) {
      LOOPLM_ASSIGN_OR_RETURN(const uint64_t size, file_size(file));
      *bytes += size;
    }
  }
  std::string kept;
  for (const std::string& text : o.keep) kept += fmt::format(", {}", text);
  fmt::print("{}: {} in blocks{}, {} in the head, {} (from {}), {:.1f} s\n", o.out, o.to, kept,
             o.head, bytes_text(after), bytes_text(before), timer.seconds());
  const std::string guesses = guess_file(o.out);
  if (file_exists(guesses)) fmt::print("{}: the guess maps, as they were\n", guesses);
  return {};
}

}  // namespace

void add_quantize_command(Program& program) {
  auto options = std::make_shared<QuantizeOptions>();
  Command* command =
      program.app().add_subcommand("quantize", "Convert a model's weights to int8 or int4");
  add_model_argument(*command, options->directory);
  const std::vector<std::string> types = {"int8", "int4"};
  command->add_choice(
      "--dtype,--to", types, options->to,
      [options, types](size_t index) { options->to = types[index]; },
      "Type of the blocks' matrices: int8 (a scale per row) or int4 (a scale and minimum per 64 "
      "weights)");
  command
      ->add_option("--keep", options->keep,
                   "Exceptions from --dtype, such as down=int8,o=int8: qkv, o, gate_up or down, "
                   "kept in int8 "
                   "or float (as stored); down and o matter most")
      ->delimiter(',');
  command->add_option("--head", options->head, "Type of the head: int8, int4, or keep (as stored)")
      ->check(one_of({"int8", "int4", "keep"}))
      ->capture_default_str();
  command->add_option("--out", options->out, "Directory to write")->required();
  command->add_threads(options->threads);
  program.on(command, [options] { return quantize(*options); });
}

}  // namespace looplm::cli
