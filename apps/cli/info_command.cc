// looplm info: what a model is made of and what it needs to run.
#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "looplm/config.h"

#include "base/count_text.h"
#include "base/json.h"
#include "cli/commands.h"
#include "cli/info_memory.h"
#include "cli/model_choice.h"
#include "cli/token_text.h"
#include "infer/weight_format.h"
#include "model/checkpoint.h"
#include "model/end_of_text.h"
#include "model/guess_maps.h"
#include "model/tokenizer_files.h"

namespace looplm::cli {
namespace {

struct InfoOptions {
  std::string directory;
  std::string gate_file;
  int64_t context = 0;
  bool tensors = false;
  bool json = false;
};

const char* placement_name(NormPlacement placement) {
  return placement == NormPlacement::kSandwich ? "sandwich" : "pre";
}

// "bfloat16", or "Q4_K, Q6_K and F32" of a GGUF file, types of more elements first.
std::string stored_text(const Checkpoint& checkpoint) {
  if (!checkpoint.gguf.has_value()) return checkpoint.config.dtype;
  std::map<std::string, int64_t> elements;
  for (size_t i = 0; i < checkpoint.specs.size(); ++i) {
    elements[checkpoint.stored_types[i]] += checkpoint.specs[i].count();
  }
  std::vector<std::pair<int64_t, std::string>> types;
  types.reserve(elements.size());
  for (const auto& [type, count] : elements) types.emplace_back(-count, type);
  std::sort(types.begin(), types.end());
  std::string text;
  for (size_t i = 0; i < types.size(); ++i) {
    text += (i == 0 ? "" : i + 1 < types.size() ? ", " : " and ") + types[i].second;
  }
  return text;
}

std::string runs_in(const Checkpoint& checkpoint) {
  return weight_format_text(
      weight_format(WeightType::kAsStored, checkpoint.specs, checkpoint.tensors));
}

// "2 <|im_end|>": the token's text where there is a tokenizer.
std::string end_name(const EndOfText& end, const Tokenizer* tokenizer) {
  return tokenizer == nullptr ? std::to_string(end.id)
                              : fmt::format("{} {}", end.id, quoted(tokenizer->bytes(end.id)));
}

void print_ends(const EndsOfText& ends, const Tokenizer* tokenizer) {
  const char* label = "ends of text";
  if (ends.ends.empty() && ends.texts.empty()) {
    fmt::print("  {:<16} none: generation goes on to its limit\n", label);
  }
  for (const EndOfText& end : ends.ends) {
    fmt::print("  {:<16} {}: {}\n", label, end_name(end, tokenizer), fmt::join(end.named_by, "; "));
    label = "";
  }
  for (const std::string& text : ends.texts) {
    fmt::print("  {:<16} before {}: generation_config.json: stop_strings\n", label,
               cli::quoted(text));
    label = "";
  }
  for (const std::string& note : ends.notes) fmt::print("  note             {}\n", note);
}

// "loops 1 to 3, in guess.safetensors"; empty: there are none.
Result<std::string> guesses_text(const Checkpoint& checkpoint) {
  LOOPLM_ASSIGN_OR_RETURN(const std::optional<StoredGuesses> guesses,
                          read_guesses(checkpoint.directory, checkpoint.config));
  if (!guesses) return std::string();
  const std::string file = guess_file(checkpoint.directory);
  const int64_t last = checkpoint.config.loops - 1;
  return fmt::format("{}, {} in {}", last == 1 ? "loop 1" : fmt::format("loops 1 to {}", last),
                     dtype_name(guesses->dtype), file.substr(file.rfind('/') + 1));
}

void print_config(const Checkpoint& checkpoint, const std::string& guesses) {
  const ModelConfig& c = checkpoint.config;
  std::string files;
  for (const std::string& file : checkpoint.files()) {
    files += (files.empty() ? "" : ", ") + file.substr(file.rfind('/') + 1);
  }
  fmt::print("{}\n", checkpoint.directory);
  fmt::print("  type             {}, stored as {} in {}\n", c.model_type, stored_text(checkpoint),
             files);
  fmt::print("  runs in          {} (--dtype auto)\n", runs_in(checkpoint));
  fmt::print("  parameters       {} in {}\n", c.parameter_count(),
             count_text(checkpoint.specs.size(), "tensor"));
  fmt::print("  loops            {}; norm between loops {}; exit gate {}\n", c.loops,
             c.norm_between_loops ? "on" : "off", c.exit_gate ? "yes" : "no");
  fmt::print("  stack            {}, hidden {}, feed-forward {}, {} norms\n",
             count_text(c.layers, "layer"), c.hidden_size, c.intermediate_size,
             placement_name(c.norm_placement));
  fmt::print("  attention        {}, {}, head size {}\n", count_text(c.heads, "head"),
             count_text(c.kv_heads, "key-value head"), c.head_dim);
  fmt::print("  vocabulary       {}{}\n", c.vocab_size, c.tie_embeddings ? ", tied head" : "");
  fmt::print("  positions        {}, RoPE base {}\n", c.max_positions, c.rope_theta);
  if (!guesses.empty()) fmt::print("  guess maps       {}\n", guesses);
  for (const std::string& note : checkpoint.notes) fmt::print("  note             {}\n", note);
}

OrderedJson ends_json(const EndsOfText& ends, const Tokenizer* tokenizer) {
  OrderedJson json = OrderedJson::array();
  for (const EndOfText& end : ends.ends) {
    OrderedJson entry = {{"id", end.id}};
    if (tokenizer != nullptr) entry["token"] = std::string(tokenizer->bytes(end.id));
    entry["named_by"] = end.named_by;
    json.push_back(std::move(entry));
  }
  return json;
}

OrderedJson info_json(const Checkpoint& checkpoint, int64_t context) {
  const ModelConfig& c = checkpoint.config;
  OrderedJson json;
  json["config"] = parse_ordered_json(model_config_json(c), "config").value();
  json["parameters"] = c.parameter_count();
  json["tensor_count"] = checkpoint.specs.size();
  json["tensors"] = OrderedJson::array();
  for (size_t i = 0; i < checkpoint.specs.size(); ++i) {
    json["tensors"].push_back({{"name", checkpoint.specs[i].name},
                               {"shape", checkpoint.specs[i].shape},
                               {"dtype", checkpoint.stored_types[i]}});
  }
  json["runs_in"] = runs_in(checkpoint);
  json["notes"] = checkpoint.notes;
  add_memory(checkpoint, context, json);
  return json;
}

Status info(const InfoOptions& options) {
  LOOPLM_ASSIGN_OR_RETURN(const std::string path, locate_model(options.directory));
  LOOPLM_ASSIGN_OR_RETURN(
      const Checkpoint checkpoint,
      open_checkpoint(path, {.gate_file = options.gate_file, .shapes_only = true}));
  const int64_t context = options.context == 0
                              ? std::min<int64_t>(4096, checkpoint.config.max_positions)
                              : options.context;
  if (context > checkpoint.config.max_positions) {
    return invalid_argument(fmt::format("--context is {}; the model has {} positions", context,
                                        checkpoint.config.max_positions));
  }
  LOOPLM_ASSIGN_OR_RETURN(const std::unique_ptr<Tokenizer> tokenizer,
                          checkpoint_tokenizer(checkpoint));
  LOOPLM_ASSIGN_OR_RETURN(const EndsOfText ends, find_ends_of_text(checkpoint, tokenizer.get()));
  LOOPLM_ASSIGN_OR_RETURN(const std::string guesses, guesses_text(checkpoint));
  if (options.json) {
    OrderedJson json = info_json(checkpoint, context);
    json["guess_maps"] = guesses.empty() ? 0 : checkpoint.config.loops - 1;
    json["ends_of_text"] = ends_json(ends, tokenizer.get());
    json["stop_strings"] = ends.texts;
    for (const std::string& note : ends.notes) json["notes"].push_back(note);
    fmt::print("{}\n", dump_json(json, 1));
    return {};
  }
  print_config(checkpoint, guesses);
  print_ends(ends, tokenizer.get());
  print_memory(checkpoint, context);
  if (options.tensors) {
    fmt::print("tensors\n");
    size_t width = 0;
    for (const ParameterSpec& spec : checkpoint.specs) width = std::max(width, spec.name.size());
    for (size_t i = 0; i < checkpoint.specs.size(); ++i) {
      fmt::print("  {:<{}} {:<5} {}\n", checkpoint.specs[i].name, width, checkpoint.stored_types[i],
                 shape_text(checkpoint.specs[i].shape));
    }
  }
  return {};
}

}  // namespace

void add_info_command(Program& program) {
  auto options = std::make_shared<InfoOptions>();
  Command* command =
      program.app().add_subcommand("info", "Show a model's shape, tensors and memory needs");
  add_model_argument(*command, options->directory);
  add_gate_option(*command, options->gate_file);
  command
      ->add_option("--context", options->context,
                   "Context length in tokens for the memory table (0: 4096 or the model's)")
      ->check(range(int64_t{0}, kMaxPositions))
      ->capture_default_str();
  command->add_flag("--tensors", options->tensors, "List every tensor");
  command->add_flag("--json", options->json, "Print one JSON object");
  program.on(command, [options] { return info(*options); });
}

}  // namespace looplm::cli
