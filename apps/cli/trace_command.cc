// looplm trace: what every loop says about every token of a text.
#include <cmath>
#include <cstdio>
#include <memory>
#include <optional>

#include <fmt/format.h>

#include "looplm/trace.h"

#include "base/json.h"
#include "cli/commands.h"
#include "cli/depth_choice.h"
#include "cli/model_choice.h"
#include "cli/token_text.h"
#include "model/exit_distribution.h"
#include "model/npy.h"

namespace looplm::cli {
namespace {

struct TraceCommandOptions {
  ModelChoice model;
  std::optional<std::string> prompt;
  std::optional<std::string> ids;
  std::string logits_path;
  int64_t loops = 0;
  int64_t top = 5;
  bool last = false;
  bool json = false;
};

std::string_view token_bytes(const Model& model, int32_t id) {
  return model.tokenizer() == nullptr ? std::string_view() : model.tokenizer()->bytes(id);
}

OrderedJson top_json(const Model& model, const std::vector<TopToken>& top) {
  OrderedJson list = OrderedJson::array();
  for (const TopToken& token : top) {
    OrderedJson entry = {{"id", token.id}, {"log_probability", token.log_probability}};
    if (model.tokenizer() != nullptr) entry["text"] = std::string(token_bytes(model, token.id));
    list.push_back(std::move(entry));
  }
  return list;
}

// (loop, token) arrays.
OrderedJson trace_json(const Model& model, const Trace& trace) {
  OrderedJson json;
  json["loops"] = trace.loops;
  json["exit_gate"] = model.config().exit_gate;
  json["ids"] = trace.ids;
  if (model.tokenizer() != nullptr) {
    json["tokens"] = OrderedJson::array();
    for (int32_t id : trace.ids) json["tokens"].push_back(std::string(token_bytes(model, id)));
  }
  const auto table = [&](const char* name, auto value) {
    OrderedJson rows = OrderedJson::array();
    for (int64_t loop = 0; loop < trace.loops; ++loop) {
      OrderedJson row = OrderedJson::array();
      for (size_t i = 0; i < trace.ids.size(); ++i) {
        row.push_back(value(trace.at(loop, static_cast<int64_t>(i))));
      }
      rows.push_back(std::move(row));
    }
    json[name] = std::move(rows);
  };
  table("gate_logit", [](const LoopReading& cell) { return cell.gate_logit; });
  table("exit_probability", [](const LoopReading& cell) { return cell.exit_probability; });
  table("hidden_difference", [](const LoopReading& cell) { return cell.hidden_difference; });
  table("hidden_norm", [](const LoopReading& cell) { return cell.hidden_norm; });
  table("entropy", [](const LoopReading& cell) { return cell.entropy; });
  table("top", [&](const LoopReading& cell) { return top_json(model, cell.top); });
  return json;
}

std::string named_token(const Model& model, int32_t id) {
  return model.tokenizer() == nullptr ? fmt::format("#{}", id) : quoted(token_bytes(model, id));
}

void print_trace(const Model& model, const Trace& trace, bool last) {
  const bool gate = model.config().exit_gate;
  fmt::print(
      "gate: probability of exiting if this loop is reached; exit: of exiting here;\n"
      "moved: |h - h of the loop before|; entropy of the next token in nats\n");
  for (size_t i = last ? trace.ids.size() - 1 : 0; i < trace.ids.size(); ++i) {
    const int32_t id = trace.ids[i];
    const std::string text =
        model.tokenizer() == nullptr ? std::string() : "  " + named_token(model, id);
    fmt::print("\n{:>4}  #{}{}\n", i, id, text);
    fmt::print("      loop   gate   exit    moved  entropy  next\n");
    for (int64_t loop = 0; loop < trace.loops; ++loop) {
      const LoopReading& cell = trace.at(loop, static_cast<int64_t>(i));
      std::string top;
      for (const TopToken& token : cell.top) {
        top += fmt::format("  {} {:.3f}", named_token(model, token.id),
                           std::exp(static_cast<double>(token.log_probability)));
      }
      const std::string lambda =
          gate ? fmt::format("{:.3f}", sigmoid(static_cast<double>(cell.gate_logit))) : "-";
      const std::string moved = loop == 0 ? "-" : fmt::format("{:.3f}", cell.hidden_difference);
      fmt::print("      {:>4}  {:>5}  {:.3f}  {:>7}  {:>7.3f}{}\n", loop + 1, lambda,
                 cell.exit_probability, moved, cell.entropy, top);
    }
  }
}

Status run_trace(const TraceCommandOptions& options) {
  if (options.prompt.has_value() == options.ids.has_value()) {
    return invalid_argument("trace needs tokens: expected either --prompt or --ids");
  }
  std::vector<int32_t> ids;
  if (options.ids.has_value()) {
    LOOPLM_ASSIGN_OR_RETURN(ids, parse_ids("--ids", *options.ids));
  }
  LOOPLM_ASSIGN_OR_RETURN(const std::string directory, locate_model(options.model.directory));
  LOOPLM_ASSIGN_OR_RETURN(const auto model, Model::load(directory, options.model.options()));
  if (options.prompt.has_value()) {
    LOOPLM_ASSIGN_OR_RETURN(ids, encode_prompt(*model, *options.prompt));
  }

  TraceOptions trace_options;
  trace_options.loops = options.loops;
  trace_options.top = options.top;
  std::optional<NpyWriter> writer;
  if (!options.logits_path.empty()) {
    const int64_t loops = options.loops == 0 ? model->config().loops : options.loops;
    LOOPLM_ASSIGN_OR_RETURN(
        NpyWriter opened,
        NpyWriter::create(options.logits_path,
                          {loops, static_cast<int64_t>(ids.size()), model->config().vocab_size}));
    writer.emplace(std::move(opened));
    // One chunk, so that logits come in the file's order: loop by loop.
    trace_options.prompt_chunk = std::max<int64_t>(1, static_cast<int64_t>(ids.size()));
    trace_options.on_logits = [&](int64_t, int64_t, std::span<const float> logits) {
      return writer->write(logits);
    };
  }
  LOOPLM_ASSIGN_OR_RETURN(const Trace result, trace(*model, ids, trace_options));
  if (writer.has_value()) LOOPLM_RETURN_IF_ERROR(writer->commit());
  if (options.json) {
    fmt::print("{}\n", dump_json(trace_json(*model, result)));
  } else {
    print_trace(*model, result, options.last);
  }
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    return io_error("cannot write to standard output");
  }
  return {};
}

}  // namespace

void add_trace_command(Program& program) {
  auto options = std::make_shared<TraceCommandOptions>();
  Command* command = program.app().add_subcommand(
      "trace", "Show what every loop says about every token of a text");
  add_model_argument(*command, options->model.directory);
  command->add_option("-p,--prompt", options->prompt, "Text to read");
  command->add_option("--ids", options->ids, "Token ids to read, such as 1,2,3");
  add_loops_option(*command, options->loops);
  add_weight_options(*command, options->model);
  command->add_option("--top", options->top, "Likely next tokens to list per loop")
      ->check(range(int64_t{0}, kMaxVocabSize))
      ->capture_default_str();
  command->add_option("--logits", options->logits_path,
                      "Write all logits to this .npy file: float32 (loops, tokens, vocabulary)");
  command->add_flag("--last", options->last, "Print only the last token: what comes next");
  command->add_flag("--json", options->json,
                    "Print one JSON object: loops, ids, tokens, and arrays [loop][token] of "
                    "gate_logit, exit_probability, hidden_difference, hidden_norm, entropy, top");
  program.on(command, [options] { return run_trace(*options); });
}

}  // namespace looplm::cli
